// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// TestSharedAnswersAreForEverybody: what callers of a project share holds nothing that depends on who asks.
func TestSharedAnswersAreForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	at := w.store.Now().Add(-time.Minute)
	failed := event(domain.KindFailed, "bad", "shop.pay", at)
	failed.Exception = new("ValueError: no")
	w.ingest(event(domain.KindReceived, "bad", "shop.pay", at.Add(-time.Second)), failed, event(domain.KindReceived, "waits", "shop.pay", at))

	var doc struct {
		Paths map[string]map[string]struct {
			Description string `json:"description"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.call("viewer", http.MethodGet, "/openapi.json", nil, nil).raw, &doc); err != nil {
		t.Fatal(err)
	}
	// Windows end when they were asked for.
	times := regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]*Z|"[a-z_]*_(?:seconds|ms)":[0-9.]*`)
	read := func(as, path string) string {
		a := w.call(as, http.MethodGet, path, nil, nil)
		if a.status != http.StatusOK {
			t.Errorf("GET %s as %s: %d %s", path, as, a.status, a.raw)
		}
		return times.ReplaceAllString(string(a.raw), "")
	}
	shared := 0
	for path, item := range doc.Paths {
		if !strings.HasPrefix(item["get"].Description, "Callers who ask the same may share") || !strings.Contains(path, "{slug}") {
			continue
		}
		shared++
		path = strings.NewReplacer("/api/v1", "", "{slug}", "shop", "{fingerprint}", w.get("/issues").column("fingerprint")).Replace(path)
		for _, as := range []string{"operator", "padmin", "instance"} {
			if got, want := read(as, path), read("viewer", path); got != want {
				t.Errorf("GET %s as %s:\n%s\nas viewer:\n%s", path, as, got, want)
			}
		}
	}
	// What a caller may do with a queue is told to callers of his role only.
	const path = "/projects/shop/queues/celery/"
	queue := path + url.PathEscape(w.get("/queues").column("name"))
	may := func(as string) string {
		var page struct {
			Actions json.RawMessage `json:"allowed_actions"`
		}
		a := w.call(as, http.MethodGet, queue, nil, nil)
		if err := json.Unmarshal(a.raw, &page); err != nil || a.status != http.StatusOK {
			t.Fatalf("GET %s as %s: %d %v", queue, as, a.status, err)
		}
		return string(page.Actions)
	}
	viewer, operator := may("viewer"), may("operator")
	if viewer == operator || may("viewer") != viewer || may("operator") != operator {
		t.Errorf("a viewer may %s, an operator %s", viewer, operator)
	}
	if shared < 9 {
		t.Errorf("%d operations share their answers", shared)
	}
}
