// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// TestFirstBoot follows the first minutes of a new user.
func TestFirstBoot(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t)

	link, token := brain.SetupURL(t)
	if !strings.Contains(link, "/setup#token=") {
		t.Errorf("setup link %q: the token belongs into the fragment", link)
	}

	if !harness.OnPostgres() {
		homeIsPrivate(t, brain)
	}

	stranger := harness.NewClient(brain.URL())
	stranger.Must(t, http.MethodPost, "/setup/complete", map[string]any{
		"token": strings.Repeat("x", 43), "email": "eve@example.com", "display_name": "Eve", "password": harness.AdminPassword,
	}, http.StatusNotFound, nil)
	api := brain.Setup(t)
	stranger.Must(t, http.MethodPost, "/setup/complete", map[string]any{
		"token": token, "email": "eve@example.com", "display_name": "Eve", "password": harness.AdminPassword,
	}, http.StatusConflict, nil)
	var me struct {
		Email   string `json:"email"`
		IsAdmin bool   `json:"is_admin"`
	}
	api.Must(t, http.MethodGet, "/auth/me", nil, http.StatusOK, &me)
	if me.Email != harness.AdminEmail || !me.IsAdmin {
		t.Errorf("me = %+v, want the administrator", me)
	}

	if code := brain.Stop(t, 10*time.Second); code != 0 {
		t.Errorf("SIGTERM ended the brain with %d, want 0", code)
	}
	if took := brain.Start(t); took > 3*time.Second {
		t.Errorf("starting in an existing home took %s", took)
	}
	if strings.Contains(brain.Log(), "token=") {
		t.Error("a brain with an administrator prints a setup link")
	}
	harness.NewClient(brain.URL()).Login(t, harness.AdminEmail, harness.AdminPassword)
	code, stdout, stderr := brain.CLI(t, "", "audit", "verify")
	if code != 0 {
		t.Errorf("z4j audit verify ended with %d:\n%s%s", code, stdout, stderr)
	}
}

// homeIsPrivate: with SQLite the home holds everything, so it is closed to others and to a second
// brain, which would write the same database.
func homeIsPrivate(t *testing.T, brain *harness.Brain) {
	t.Helper()
	for name, want := range map[string]os.FileMode{"": 0o700, "secret.env": 0o600, "z4j.db": 0o600} {
		info, err := os.Stat(filepath.Join(brain.Home, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %q is %o, want %o", name, got, want)
		}
	}
	code, stdout, stderr := brain.CLI(t, "", "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(harness.FreePort(t)))
	if code == 0 || !strings.Contains(stderr, brain.Home) {
		t.Errorf("a second serve ended with %d, want a refusal that names the home:\n%s%s", code, stdout, stderr)
	}
}
