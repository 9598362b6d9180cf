// SPDX-License-Identifier: AGPL-3.0-or-later

package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
)

// world is the brain that the records are replayed against, and what is known about how it differs from the one
// that was recorded: other ids and tokens.
type world struct {
	t     *testing.T
	brain *apitest.Brain
	doc   *document
	rows  []*difference
	// alias maps what recorded requests hold (ids, tokens) to ours.
	alias map[string]string
	// accounts maps the recorded names to addresses.
	accounts map[string]string
	clients  map[string]*apitest.Client
}

// passwords are those that accounts have at some time of the recording.
func passwords() []string {
	return []string{"Sturdy-Pass-4821", "Sturdy-Pass-4822", "Sturdy-Pass-9921", "Correct-Horse-Battery-9", "Sturdy-Pass-7777"}
}

// client returns the browser of an account, logged in again when its session ended.
func (w *world) client(as string, mayBeDead bool) *apitest.Client {
	email, known := w.accounts[as]
	if !known {
		return w.brain.Client()
	}
	c := w.clients[as]
	if c == nil {
		c = w.brain.Client()
		w.clients[as] = c
	}
	if mayBeDead {
		return c
	}
	if c.Do(http.MethodGet, "/api/v1/auth/me", nil).Status == http.StatusOK {
		return c
	}
	for _, password := range passwords() {
		if c.Do(http.MethodPost, "/api/v1/auth/login", map[string]any{"email": email, "password": password}).Status == http.StatusOK {
			return c
		}
	}
	w.t.Fatalf("nobody knows the password of %s (%s)", as, email)
	return nil
}

var idPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|A{30,}[a-z0-9]{2}`)

// translate puts our ids and tokens in place of recorded ones. Unknown ones stay: they are meant to be unknown.
func (w *world) translate(text string) string {
	return idPattern.ReplaceAllStringFunc(text, func(id string) string {
		if ours, ok := w.alias[id]; ok {
			return ours
		}
		return id
	})
}

// send repeats the recorded request.
func (w *world) send(r *record) apitest.Answer {
	dead := r.Status == http.StatusUnauthorized && (strings.Contains(r.Case, "revoked") || strings.Contains(r.Case, "second time"))
	c := w.client(r.As, dead)
	if !strings.Contains(r.header("cookie"), "<session>") && r.As != "anonymous" && r.Operation != "POST /api/v1/auth/login" && r.Operation != "POST /api/v1/setup/complete" && !dead {
		c = w.brain.Client()
	}
	c.NoCSRF = r.header("x-csrf-token") == ""
	c.Header = http.Header{}
	if v := r.header("x-csrf-token"); v != "" && v != "<present>" {
		c.NoCSRF = true
		c.Header.Set(auth.CSRFHeader, v)
	}
	if v := r.header("x-request-id"); v != "" {
		c.Header.Set("X-Request-Id", v)
	}
	switch v := r.header("authorization"); {
	case v == "Bearer <metrics token>":
		c.Header.Set("Authorization", "Bearer "+apitest.MetricsToken)
	case v != "":
		c.Header.Set("Authorization", v)
	}
	if v := r.header("if-none-match"); v != "" {
		c.Header.Set("If-None-Match", w.translateTag(v))
	}
	defer func() { c.Header, c.NoCSRF = http.Header{}, false }()
	return c.Do(r.Method, w.target(r), w.body(r))
}

// translateTag replaces a recorded ETag by ours, which the alias table learned from an answer before.
func (w *world) translateTag(tag string) string {
	if ours, ok := w.alias[tag]; ok {
		return ours
	}
	return tag
}

func (w *world) target(r *record) string {
	path := w.translate(r.Path)
	values := url.Values{}
	for name, v := range r.Query {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				values.Add(name, w.translate(fmt.Sprint(item)))
			}
		default:
			values.Set(name, w.translate(fmt.Sprint(v)))
		}
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	return path
}

// body returns what to send: JSON, or the literal text of a recorded malformed body.
func (w *world) body(r *record) any {
	raw := []byte(w.translate(string(r.RequestBody)))
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if strings.HasPrefix(text, "<9000 bytes") {
			return []byte(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`)
		}
		return []byte(text)
	}
	return raw
}

// learn walks both answers side by side and remembers which of our ids stands for which recorded one.
func (w *world) learn(recorded, ours any) {
	switch rec := recorded.(type) {
	case map[string]any:
		our, ok := ours.(map[string]any)
		if !ok {
			return
		}
		for name, v := range rec {
			w.learn(v, our[name])
		}
	case []any:
		our, ok := ours.([]any)
		if !ok {
			return
		}
		for _, item := range rec {
			if match := w.counterpart(item, our); match != nil {
				w.learn(item, match)
			}
		}
	case string:
		our, ok := ours.(string)
		if _, known := w.alias[rec]; ok && !known && idPattern.MatchString(rec) && idPattern.FindString(rec) == rec && our != rec {
			w.alias[rec] = our
		}
	}
}

// identity lists members that tell rows of a list apart.
func identity() []string {
	return []string{"slug", "email", "user_email", "name", "task_id", "project_slug", "worker_id"}
}

// counterpart finds the item of our list that the recorded one stands for.
func (w *world) counterpart(item any, ours []any) any {
	rec, ok := item.(map[string]any)
	if !ok {
		return nil
	}
	for _, key := range identity() {
		want, ok := rec[key].(string)
		if !ok {
			continue
		}
		for _, o := range ours {
			if our, ok := o.(map[string]any); ok && our[key] == want {
				return our
			}
		}
		return nil
	}
	return nil
}

// decode returns a JSON value, nil when the text is empty or none.
func decode(raw []byte) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

// compare lists how our answer differs from the recorded one in what must be the same.
func (w *world) compare(r *record, a apitest.Answer) (faults []string) {
	want := r.Status
	if row := find(w.rows, r, kindStatus); row != nil {
		if want = row.wantStatus(); want == r.Status {
			faults = append(faults, "the row in rest-differences.md names the recorded status")
		}
	}
	if a.Status != want {
		return append(faults, fmt.Sprintf("status %d, want %d: %.300s", a.Status, want, a.Body))
	}
	faults = append(faults, w.fits(r, a)...)
	if want != r.Status {
		return faults
	}
	recorded, ours := decode(r.ResponseBody), decode(a.Body)
	var differs []string
	if r.Status >= http.StatusBadRequest {
		differs = compareRefusal(recorded, ours)
	} else {
		differs = withoutNew(w.rows, r, compareShape(recorded, ours, "$"), " is not in the recording")
		w.learn(recorded, ours)
		if tag, ok := r.ResponseHeaders["etag"].(string); ok {
			w.alias[tag] = a.Header.Get("ETag")
		}
	}
	differs = append(differs, compareHeaders(r, a)...)
	if len(differs) > 0 && find(w.rows, r, kindBody) == nil {
		faults = append(faults, differs...)
	}
	return faults
}

// fits checks our answer against our document.
func (w *world) fits(r *record, a apitest.Answer) []string {
	method, template, _ := strings.Cut(r.Operation, " ")
	op, ok := w.doc.operationFor(method, template)
	if !ok {
		return nil // /metrics and the document itself; TestSchemas tells of operations that should be there
	}
	schema, declared := op.schemaFor(a.Status)
	if !declared {
		return []string{fmt.Sprintf("status %d is not in our document", a.Status)}
	}
	if len(a.Body) == 0 {
		return nil
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	return prefix("our answer: ", w.doc.check(decode(a.Body), schema, "$"))
}

func prefix(p string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = p + s
	}
	return out
}

// compareShape compares member names and, where both have a value, types.
func compareShape(recorded, ours any, at string) (faults []string) {
	switch rec := recorded.(type) {
	case map[string]any:
		our, ok := ours.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: recorded an object, ours is %s", at, typeName(ours))}
		}
		if openMap(at) {
			return nil
		}
		for _, name := range sortedKeys(rec) {
			v, ok := our[name]
			if !ok {
				faults = append(faults, at+"."+name+" is missing")
				continue
			}
			faults = append(faults, compareShape(rec[name], v, at+"."+name)...)
		}
		for _, name := range sortedKeys(our) {
			if _, ok := rec[name]; !ok {
				faults = append(faults, at+"."+name+" is not in the recording")
			}
		}
	case []any:
		our, ok := ours.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: recorded a list, ours is %s", at, typeName(ours))}
		}
		// Rows of lists all have one shape: compare the first ones.
		if len(rec) > 0 && len(our) > 0 {
			faults = compareShape(rec[0], our[0], at+"[]")
		}
	default:
		a, b := typeName(recorded), typeName(ours)
		if recorded != nil && ours != nil && a != b && (!numeric(a) || !numeric(b)) {
			faults = append(faults, fmt.Sprintf("%s: recorded %s, ours is %s", at, a, b))
		}
	}
	return faults
}

func numeric(name string) bool { return name == "integer" || name == "number" }

// openMap reports places whose members are data, not a form: what adapters and agents report.
func openMap(at string) bool {
	last := at[strings.LastIndexByte(at, '.')+1:]
	return slices.Contains([]string{
		"capabilities", "packages", "payload", "result", "metadata", "args", "kwargs", "adapter_events", "details", "data",
	}, strings.TrimSuffix(last, "[]"))
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// compareRefusal compares error answers. Ours always have the one envelope with `detail` beside it; the recorded
// ones have one of three shapes, and what each of them holds must be found in ours.
func compareRefusal(recorded, ours any) (faults []string) {
	rec, ok := recorded.(map[string]any)
	if !ok {
		return nil // a page
	}
	our, ok := ours.(map[string]any)
	if !ok {
		return []string{"$: ours is no object"}
	}
	if want, ok := rec["error"]; ok && our["error"] != want {
		faults = append(faults, fmt.Sprintf("error %v, recorded %v", our["error"], want))
	}
	details, _ := rec["details"].(map[string]any)
	ourDetails, _ := our["details"].(map[string]any)
	for _, name := range sortedKeys(details) {
		v, ok := ourDetails[name]
		if !ok {
			faults = append(faults, "details."+name+" is missing")
			continue
		}
		if (name == "reason" || name == "have" || name == "need") && v != details[name] {
			faults = append(faults, fmt.Sprintf("details.%s is %v, recorded %v", name, v, details[name]))
		}
	}
	switch detail := rec["detail"].(type) {
	case nil:
	case []any:
		list, ok := our["detail"].([]any)
		if !ok {
			return append(faults, "detail: recorded a list, ours is "+typeName(our["detail"]))
		}
		want, got := places(detail), places(list)
		if !slices.Equal(want, got) {
			faults = append(faults, fmt.Sprintf("detail: faults at %v, recorded %v", got, want))
		}
	default:
		if a, b := typeName(detail), typeName(our["detail"]); a != b {
			faults = append(faults, fmt.Sprintf("detail: recorded %s, ours is %s", a, b))
		}
	}
	return faults
}

// places lists where the faults of a 422 are, in order; positions inside malformed JSON are left out.
func places(list []any) []string {
	var out []string
	for _, item := range list {
		fault, _ := item.(map[string]any)
		loc, _ := fault["loc"].([]any)
		var parts []string
		for _, part := range loc {
			if _, isText := part.(string); isText || fault["type"] != "json_invalid" {
				parts = append(parts, fmt.Sprint(part))
			}
		}
		out = append(out, strings.Join(parts, "."))
	}
	sort.Strings(out)
	return out
}

// compareHeaders compares the headers clients act on.
func compareHeaders(r *record, a apitest.Answer) (faults []string) {
	for name, v := range r.ResponseHeaders {
		text, _ := v.(string)
		switch name {
		case "content-type":
			want, _, _ := strings.Cut(text, ";")
			got, _, _ := strings.Cut(a.Header.Get(name), ";")
			if got != want && len(r.ResponseBody) > 0 && string(r.ResponseBody) != "null" {
				faults = append(faults, fmt.Sprintf("content-type %q, recorded %q", got, want))
			}
		case "allow", "www-authenticate", "x-frame-options", "cache-control":
			if got := a.Header.Get(name); got != text {
				faults = append(faults, fmt.Sprintf("%s %q, recorded %q", name, got, text))
			}
		case "location", "retry-after", "etag", "content-disposition":
			if a.Header.Get(name) == "" {
				faults = append(faults, name+" is missing")
			}
		case "set-cookie":
			faults = append(faults, compareCookies(v, a.Header.Values("Set-Cookie"))...)
		}
	}
	return faults
}

// compareCookies compares names and what the browser does with them.
func compareCookies(recorded any, ours []string) (faults []string) {
	list, _ := recorded.([]any)
	got := map[string][]string{}
	for _, line := range ours {
		name, attrs := cookie(line)
		got[name] = attrs
	}
	for _, item := range list {
		name, attrs := cookie(fmt.Sprint(item))
		if name == "z4j_mfa_trust" {
			continue // no MFA yet, so there is no such cookie to clear
		}
		if slices.Contains(attrs, "max-age=0") {
			// A cookie to delete: only that it is deleted counts.
			if !slices.Contains(got[name], "max-age=0") {
				faults = append(faults, "cookie "+name+" is not deleted")
			}
			continue
		}
		if !slices.Equal(got[name], attrs) {
			faults = append(faults, fmt.Sprintf("cookie %s: %v, recorded %v", name, got[name], attrs))
		}
	}
	return faults
}

func cookie(line string) (name string, attrs []string) {
	parts := strings.Split(line, ";")
	name, _, _ = strings.Cut(parts[0], "=")
	for _, p := range parts[1:] {
		if p = strings.ToLower(strings.TrimSpace(p)); !strings.HasPrefix(p, "expires=") {
			attrs = append(attrs, p)
		}
	}
	sort.Strings(attrs)
	return name, attrs
}
