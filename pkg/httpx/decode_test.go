// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
)

type innerBody struct {
	Key string `json:"key" validate:"required,max=5"`
}

type testBody struct {
	Name     string         `json:"name" validate:"required,min=1,max=10"`
	Role     string         `json:"role" default:"viewer" validate:"oneof=viewer|admin"`
	Limit    int            `json:"limit" default:"30" validate:"ge=1,le=100"`
	Password string         `json:"password" validate:"min=8"`
	Slug     *string        `json:"slug" pattern:"^[a-z]+$"`
	ID       *uuid.UUID     `json:"id"`
	At       *Time          `json:"at"`
	Tags     []string       `json:"tags" validate:"max=2"`
	Items    []innerBody    `json:"items"`
	Extra    map[string]any `json:"extra"`
	On       bool           `json:"on"`
	Ratio    float64        `json:"ratio"`
}

type strictBody struct {
	_ struct{} `extra:"forbid"`
	A int      `json:"a" validate:"required"`
}

type pairBody struct {
	A *int `json:"a"`
	B *int `json:"b"`
}

func (p *pairBody) Validate(faults *Faults) {
	if (p.A == nil) != (p.B == nil) {
		faults.Add("value_error", "Value error, a and b go together")
	}
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v is not a ValidationError", err)
	}
	var out []string
	for _, f := range invalid.Errors {
		out = append(out, locString(f.Loc)+" "+f.Type)
	}
	return out
}

func TestDecodeFaults(t *testing.T) {
	tests := []struct {
		body string
		want string
	}{
		{`{"name":"a"}`, ""},
		{`{}`, "body.name missing"},
		{`[1]`, "body model_attributes_type"},
		{`{"name":`, "body.8 json_invalid"},
		{`{"name":"a"} x`, "body.14 json_invalid"},
		{`null`, "body model_attributes_type"},
		{``, "body missing"},
		{`{"name":""}`, "body.name string_too_short"},
		{`{"name":"12345678901"}`, "body.name string_too_long"},
		{`{"name":5}`, "body.name string_type"},
		{`{"name":null}`, "body.name string_type"},
		{`{"NAME":"a"}`, "body.name missing"},
		{`{"name":"a","role":"boss"}`, "body.role literal_error"},
		{`{"name":"a","limit":"7"}`, ""},
		{`{"name":"a","limit":7.0}`, ""},
		{`{"name":"a","limit":7.5}`, "body.limit int_parsing"},
		{`{"name":"a","limit":0}`, "body.limit greater_than_equal"},
		{`{"name":"a","limit":101}`, "body.limit less_than_equal"},
		{`{"name":"a","slug":"A"}`, "body.slug string_pattern_mismatch"},
		{`{"name":"a","slug":null}`, ""},
		{`{"name":"a","id":"x"}`, "body.id uuid_parsing"},
		{`{"name":"a","id":"7b1c8a52-2f0e-4b7c-9d52-0b6f2f3c1a11"}`, ""},
		{`{"name":"a","at":"x"}`, "body.at datetime_from_date_parsing"},
		{`{"name":"a","at":"2026-11-23T21:41:55"}`, ""},
		{`{"name":"a","tags":["a","b","c"]}`, "body.tags too_long"},
		{`{"name":"a","tags":[1]}`, "body.tags.0 string_type"},
		{`{"name":"a","tags":"x"}`, "body.tags list_type"},
		{`{"name":"a","items":[{"key":"ok"},{"key":"longer"},{}]}`, "body.items.1.key string_too_long, body.items.2.key missing"},
		{`{"name":"a","extra":[]}`, "body.extra dict_type"},
		{`{"name":"a","on":"yes"}`, ""},
		{`{"name":"a","on":"maybe"}`, "body.on bool_parsing"},
		{`{"name":"a","unknown":1}`, ""},
		{`{"limit":0,"role":"x"}`, "body.name missing, body.role literal_error, body.limit greater_than_equal"},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			var dst testBody
			got := strings.Join(faultsOf(t, Decode(post(tt.body), &dst)), ", ")
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeDefaultsAndStrictness(t *testing.T) {
	var dst testBody
	if err := Decode(post(`{"name":"a","limit":"7"}`), &dst); err != nil {
		t.Fatal(err)
	}
	if dst.Role != "viewer" || dst.Limit != 7 {
		t.Errorf("defaults: %+v", dst)
	}
	var strict strictBody
	if got := faultsOf(t, Decode(post(`{"a":1,"weird":2}`), &strict)); fmt.Sprint(got) != "[body.weird extra_forbidden]" {
		t.Errorf("extra: %v", got)
	}
	var pair pairBody
	if got := faultsOf(t, Decode(post(`{"a":1}`), &pair)); fmt.Sprint(got) != "[body value_error]" {
		t.Errorf("validator: %v", got)
	}
	var none pairBody
	if err := DecodeOptional(httptest.NewRequest(http.MethodPost, "/", nil), &none); err != nil {
		t.Errorf("optional body: %v", err)
	}
}

func TestDecodeNeverEchoesValues(t *testing.T) {
	for _, body := range []string{
		`{"name":"a","password":"hunt3r2"}`, `{"name":"a","password":["hunt3r2"]}`, `{"name":"hunt3r2hunt3r2"}`,
		`{"name":"a","at":"hunt3r2"}`, `{"name":"a","id":"hunt3r2"}`, `{"name":"a","role":"hunt3r2"}`,
		`{"name":"a","password":"hunt3r2" `,
	} {
		rec := httptest.NewRecorder()
		r := post(body)
		var dst testBody
		WriteError(rec, r, Decode(r, &dst))
		if rec.Code != 422 || strings.Contains(rec.Body.String(), "hunt3r2") {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
		if _, ok := envelope(t, rec)["detail"].([]any); !ok {
			t.Errorf("detail of a validation error must be a list: %s", rec.Body)
		}
	}
}

func TestDecodeContentType(t *testing.T) {
	for ct, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "application/merge-patch+json": true, "": true,
		"text/plain": false, "application/x-www-form-urlencoded": false,
	} {
		r := post(`{"name":"a"}`)
		r.Header.Set("Content-Type", ct)
		if ct == "" {
			r.Header.Del("Content-Type")
		}
		var dst testBody
		if err := Decode(r, &dst); (err == nil) != ok {
			t.Errorf("%q: %v", ct, err)
		}
	}
	cross := post(`{"name":"a"}`)
	cross.Header.Del("Content-Type")
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	var dst testBody
	if Decode(cross, &dst) == nil {
		t.Error("a body without type from another site was accepted")
	}
}

func TestBodyLimit(t *testing.T) {
	h := FixedBodyLimit(20)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var dst testBody
		if err := Decode(r, &dst); err != nil {
			WriteError(w, r, err)
			return
		}
		WriteJSON(w, 200, dst.Name)
	}))
	long := `{"name":"a","extra":{"x":"yyyyyyyyyyyyyyyyy"}}`
	streamed := post(long)
	streamed.ContentLength = -1
	for name, tt := range map[string]struct {
		req    *http.Request
		status int
		reason string
	}{
		"declared": {post(long), 413, "content_length_exceeded"},
		"streamed": {streamed, 413, "streamed_body_exceeded"},
		"fits":     {post(`{"name":"a"}`), 200, ""},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, tt.req)
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.reason) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

func TestQuery(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/?limit=9&state=a&state=b&flag=1&since=2026-01-01T00:00:00+02:00&bad=x&big=5001", nil)
	q := NewQuery(r)
	if q.Int("limit", 50, 1, 100) != 9 || q.Int("missing", 50, 1, 100) != 50 || !q.Bool("flag", false) {
		t.Error("ints or flags are wrong")
	}
	if got := q.Strings("state"); len(got) != 2 {
		t.Errorf("repeated parameter: %v", got)
	}
	if since := q.Time("since"); since == nil || FormatTime(*since) != "2025-12-31T22:00:00.000000Z" {
		t.Errorf("since = %v", since)
	}
	if q.Err() != nil {
		t.Fatal(q.Err())
	}
	q.Int("big", 50, 1, 5000)
	q.UUID("bad")
	q.Enum("bad", "a", "a", "b")
	want := "[query.big less_than_equal query.bad uuid_parsing query.bad literal_error]"
	if got := fmt.Sprint(faultsOf(t, q.Err())); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","limit":"7","items":[{"key":"x"},null],"extra":{"a":[1]},"at":"2026-01-01"}`, `[]`, `{"name":null}`, `{"tags":[[]]}`,
		`{"ratio":1e999,"limit":9223372036854775808}`, `{"name":"\ud800"}`, "{\"name\":\"\x00\"}", `{"items":[{"key":{}}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var dst testBody
		err := DecodeBytes([]byte(body), &dst)
		var invalid *ValidationError
		switch {
		case err == nil && (dst.Name == "" || dst.Limit < 1 || dst.Limit > 100 || len(dst.Tags) > 2):
			t.Errorf("%q passed as %+v", body, dst)
		case err != nil && !errors.As(err, &invalid):
			t.Errorf("%q: %v is no validation error", body, err)
		case err != nil && len(invalid.Errors) > maxFaults:
			t.Errorf("%q: %d faults", body, len(invalid.Errors))
		}
	})
}
