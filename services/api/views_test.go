// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestSavedViews(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		const path = "/projects/shop/saved-views"
		names := func(as string) string {
			a := w.call(as, http.MethodGet, path, nil, nil)
			var list []struct{ Name string }
			if err := json.Unmarshal(a.raw, &list); err != nil {
				t.Fatalf("%d %s", a.status, a.raw)
			}
			var out []string
			for _, v := range list {
				out = append(out, v.Name)
			}
			return strings.Join(out, " ")
		}
		view := func(name string, filters map[string]any) map[string]any {
			return map[string]any{"name": name, "filters": filters}
		}
		a := w.call("viewer", http.MethodPost, path, nil, view(" Slow ", map[string]any{"query": "runtime:>2s", "priority": []string{"low", "high", "low"}}))
		if a.status != 201 || a.text("name") != "Slow" || a.text("filters", "query") != "runtime:>2s" ||
			!strings.Contains(string(a.raw), `"priority":["high","low"]`) || !strings.Contains(string(a.raw), `"state":null`) {
			t.Fatalf("create: %d %s", a.status, a.raw)
		}
		one := path + "/" + a.text("id")
		for name, body := range map[string]any{
			"a mistake in the query": view("x", map[string]any{"query": "stat:failure"}), "an unknown priority": view("x", map[string]any{"priority": []string{"urgent"}}),
			"an unknown state": view("x", map[string]any{"state": "done"}), "no name": view("", nil), "a blank name": view("  ", map[string]any{}),
			"no filters": map[string]any{"name": "x"}, "a long name": view(strings.Repeat("x", 81), map[string]any{}),
			"a NUL": view("x", map[string]any{"search": "a\x00"}),
		} {
			if a := w.call("viewer", http.MethodPost, path, nil, body); a.status != 422 {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
		}
		if a := w.call("viewer", http.MethodPost, path, nil, view("SLOW", map[string]any{})); a.status != 409 {
			t.Errorf("the same name in another case: %d", a.status)
		}
		if a := w.call("operator", http.MethodPost, path, nil, view("slow", map[string]any{})); a.status != 201 {
			t.Errorf("another user: %d %s", a.status, a.raw)
		}
		if a := w.call("viewer", http.MethodPut, one, nil, view("Slowest", map[string]any{"state": "failure"})); a.status != 200 || a.text("filters", "state") != "failure" {
			t.Errorf("change: %d %s", a.status, a.raw)
		}
		for _, method := range []string{http.MethodPut, http.MethodDelete} {
			var body any
			if method == http.MethodPut {
				body = view("mine", map[string]any{})
			}
			if a := w.call("operator", method, one, nil, body); a.status != 404 {
				t.Errorf("%s of somebody else's: %d", method, a.status)
			}
		}
		if got := names("viewer") + "; " + names("operator"); got != "Slowest; slow" {
			t.Errorf("lists: %s", got)
		}
		if a := w.call("viewer", http.MethodDelete, one, nil, nil); a.status != 204 {
			t.Errorf("delete: %d", a.status)
		}
		for i := range 100 {
			if a := w.call("viewer", http.MethodPost, path, nil, view(fmt.Sprintf("v%03d", i), map[string]any{})); a.status != 201 {
				t.Fatalf("view %d: %d %s", i, a.status, a.raw)
			}
		}
		if a := w.call("viewer", http.MethodPost, path, nil, view("one more", map[string]any{})); a.status != 409 || !strings.Contains(a.text("message"), "100") {
			t.Errorf("too many: %d %s", a.status, a.raw)
		}
		if n := strings.Count(strings.Join(actions(t, w.store), " "), "saved_view."); n != 104 {
			t.Errorf("%d audit records", n)
		}
	})
}
