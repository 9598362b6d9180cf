// SPDX-License-Identifier: AGPL-3.0-or-later

package obs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLoggerFormatsAndLevels(t *testing.T) {
	for _, tt := range []struct {
		level, format string
		want, not     string
	}{
		{"INFO", "json", `"took":"1.5s"`, "hidden"},
		{"warning", "text", "level=CRITICAL", "shown at info"},
		{"DEBUG", "text", "hidden", "\x00"},
	} {
		var out strings.Builder
		logger, err := NewLogger(&out, tt.level, tt.format)
		if err != nil {
			t.Fatal(err)
		}
		logger.Debug("hidden")
		logger.Info("shown at info", "took", 1500*time.Millisecond)
		logger.Log(t.Context(), LevelCritical, "worst")
		if !strings.Contains(out.String(), tt.want) || strings.Contains(out.String(), tt.not) {
			t.Errorf("%s %s:\n%s", tt.level, tt.format, out.String())
		}
	}
	if _, err := NewLogger(nil, "loud", "json"); err == nil {
		t.Error("unknown level accepted")
	}
	if _, err := NewLogger(nil, "INFO", "xml"); err == nil {
		t.Error("unknown format accepted")
	}
}

func TestRegistriesAreIndependent(t *testing.T) {
	NewRegistry()
	rec := httptest.NewRecorder()
	Handler(NewRegistry(), nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "z4j_build_info{") {
		t.Errorf("scrape: %d\n%.300s", rec.Code, rec.Body)
	}
}
