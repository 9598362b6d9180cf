// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

// cheap keeps the tests fast; the algorithm is the same.
func cheap() Params { return Params{Time: 1, Memory: 64, Threads: 1, Salt: 16, Key: 32} }

func TestHasher(t *testing.T) {
	ctx := t.Context()
	h := NewHasher(HasherConfig{Params: cheap()})
	stored, err := h.Hash(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("not a PHC string: %s", stored)
	}
	if again, _ := h.Hash(ctx, "correct horse"); again == stored {
		t.Error("two hashes share a salt")
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false} {
		ok, rehash, err := h.Verify(ctx, stored, password)
		if err != nil || ok != want || rehash {
			t.Errorf("Verify(%q) = %v, %v, %v", password, ok, rehash, err)
		}
	}
	if err := h.VerifyDummy(ctx, "anything"); err != nil {
		t.Errorf("VerifyDummy: %v", err)
	}
}

// TestHasherDefaults checks the real parameters, and a hash the reference implementation of Argon2 publishes as
// its test vector.
func TestHasherDefaults(t *testing.T) {
	h := NewHasher(HasherConfig{})
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, rehash, err := h.Verify(t.Context(), vector, "password"); !ok || !rehash || err != nil {
		t.Errorf("reference vector: %v, %v, %v", ok, rehash, err)
	}
	stored, err := h.Hash(t.Context(), "password")
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("%s, %v", stored, err)
	}
	ok, rehash, err := h.Verify(t.Context(), stored, "password")
	if err != nil || !ok || rehash {
		t.Errorf("%v %v %v", ok, rehash, err)
	}
}

func TestHasherRehash(t *testing.T) {
	weak := cheap()
	stored, err := NewHasher(HasherConfig{Params: weak}).Hash(t.Context(), "pw")
	if err != nil {
		t.Fatal(err)
	}
	stronger, mixed := weak, weak
	stronger.Memory = 128
	mixed.Memory, mixed.Key = 128, 24
	for name, tt := range map[string]struct {
		now  Params
		want bool
	}{"same": {weak, false}, "stronger": {stronger, true}, "stronger here, weaker there": {mixed, false}} {
		ok, rehash, err := NewHasher(HasherConfig{Params: tt.now}).Verify(t.Context(), stored, "pw")
		if err != nil || !ok || rehash != tt.want {
			t.Errorf("%s: %v, %v, %v", name, ok, rehash, err)
		}
		ok, rehash, _ = NewHasher(HasherConfig{Params: tt.now}).Verify(t.Context(), stored, "wrong")
		if ok || rehash {
			t.Errorf("%s: a wrong password asks for a rehash", name)
		}
	}
}

func TestHasherRefusesBadHashes(t *testing.T) {
	h := NewHasher(HasherConfig{Params: cheap()})
	salt, key := "c29tZXNhbHRzb21lc2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, stored := range []string{
		"", "x", "$argon2id$", "$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + key, "$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=99999999,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=1000,p=1$" + salt + "$" + key, "$argon2id$v=19$m=64,t=1,p=300$" + salt + "$" + key,
		"$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + key, "$argon2id$v=19$m=64,t=1,p=1$$" + key,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + strings.Repeat("A", 400),
		"$argon2id$v=19$m=-1,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key + "$x",
	} {
		if ok, _, err := h.Verify(t.Context(), stored, "pw"); ok || !errors.Is(err, ErrBadHash) {
			t.Errorf("Verify(%q) = %v, %v", stored, ok, err)
		}
	}
}

func TestHasherIsBounded(t *testing.T) {
	h := NewHasher(HasherConfig{Params: Params{Time: 2, Memory: 8 * 1024, Threads: 1, Salt: 16, Key: 32}, Slots: 1, Queue: 2})
	var busy, done atomic.Int64
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			switch _, err := h.Hash(t.Context(), "pw"); {
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			case err == nil:
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if busy.Load()+done.Load() != 30 || done.Load() == 0 || busy.Load() == 0 {
		t.Errorf("%d done, %d refused", done.Load(), busy.Load())
	}
	// A caller that gives up while it waits leaves its place in the queue.
	h.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, "pw"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without end: %v", err)
	}
	<-h.slots
	if len(h.tokens) != 0 || len(h.slots) != 0 {
		t.Errorf("left over: %d tokens, %d slots", len(h.tokens), len(h.slots))
	}
}

func TestPasswordPolicy(t *testing.T) {
	tests := []struct{ password, reason string }{
		{"", ReasonPasswordTooShort},
		{"Ab1!Ab1!Ab1", ReasonPasswordTooShort},
		{strings.Repeat("aB3$xyz9", 33), ReasonPasswordTooLong},
		{"alllowercase1", ReasonPasswordTooSimple},
		{"ALLUPPERCASE", ReasonPasswordTooSimple},
		{"lower1234567890", ReasonPasswordTooSimple},
		{"Password1234", ReasonPasswordBreached},
		{"P@ssw0rd2024!", ReasonPasswordBreached},
		{"Password123!", ReasonPasswordBreached},
		{"Qwertyuiop12!", ReasonPasswordBreached},
		{"passwordpassword", ReasonPasswordBreached},
		{"AdminAdmin2025", ReasonPasswordBreached},
		{"Welcome-Summer-2025", ReasonPasswordBreached},
		{"1234567890123456", ReasonPasswordBreached},
		{"aaaaaaaaaaaaaaaa", ReasonPasswordBreached},
		{"Adm1n1strat0r!", ReasonPasswordBreached},
		{"password123456789", ReasonPasswordBreached},
		{"$ecret-Admin99", ReasonPasswordBreached},
		{"abcdefghijklmnopqrst", ReasonPasswordBreached},
		{"1qaz2wsx3edc4rfv", ReasonPasswordBreached},
		{"Correct-Horse-Battery-9", ""},
		{"Sturdy-Pass-4821", ""},
		{"lower case sentence long", ""},
		{"Ab1!Ab1?Xb1!", ""},
		{"Zürich-Über-7!", ""},
		{"пароль-Длинный-9", ""},
		{"Password-9f3kd82hq", ""},
		{"a kettle of violet fish", ""},
	}
	for _, tt := range tests {
		err := PasswordPolicy{}.Check(tt.password)
		got := ""
		if err != nil {
			got, _ = err.Details["reason"].(string)
			if err.Code != domain.CodeValidation || tt.password != "" && strings.Contains(err.Message, tt.password) {
				t.Errorf("%q: %v", tt.password, err)
			}
		}
		if got != tt.reason {
			t.Errorf("Check(%q) = %q, want %q", tt.password, got, tt.reason)
		}
	}
	if err := (PasswordPolicy{MinLength: 30}).Check("Correct-Horse-Battery-9"); err == nil {
		t.Error("the configured minimum length is not applied")
	}
	if got := (PasswordPolicy{}).Public(); got.MinLength != 12 || got.RequiredCharacterClasses != 3 || len(got.CharacterClassNames) != 4 {
		t.Errorf("public policy %+v", got)
	}
}

func TestCanonicalEmail(t *testing.T) {
	good := map[string]string{
		"Ada@Example.COM": "ada@example.com", " ada@example.com\n": "ada@example.com", "ada+x@mail.example.com": "ada+x@mail.example.com",
		"ａｄａ@example.com": "ada@example.com", "STRASSE@bücher.de": "strasse@xn--bcher-kva.de", "straße@BÜCHER.de": "strasse@xn--bcher-kva.de",
		"a@corp.local": "a@corp.local", "a@host.test": "a@host.test", "a@localhost": "a@localhost", "a@example.com.": "a@example.com",
		"a@例え.jp": "a@xn--r8jz45g.jp",
	}
	for in, want := range good {
		got, err := CanonicalEmail(in)
		if err != nil || got != want {
			t.Errorf("CanonicalEmail(%q) = %q, %v; want %q", in, got, err, want)
		}
		if again, err := CanonicalEmail(got); err != nil || again != got {
			t.Errorf("not stable: %q -> %q, %v", got, again, err)
		}
	}
	for _, in := range []string{
		"", "x", "@example.com", "a@", "a@b", "a b@example.com", "a@exa mple.com", ".a@example.com", "a.@example.com", "a..b@example.com",
		"a@b@example.com", "a@-example.com", "a@127.0.0.1", "a@[::1]", "a\x00b@example.com", strings.Repeat("a", 65) + "@example.com",
		"a@" + strings.Repeat("b", 250) + ".com", "a@exam_ple.com", "a@.com", "a@example..com", "\"q\"@example.com", "a\u202eb@example.com",
	} {
		got, err := CanonicalEmail(in)
		var e *domain.Error
		if !errors.As(err, &e) || e.Code != domain.CodeValidation {
			t.Errorf("CanonicalEmail(%q) = %q, %v; want a refusal", in, got, err)
		}
	}
}

func FuzzCanonicalEmail(f *testing.F) {
	f.Add("Ada@Example.COM")
	f.Add("straße@BÜCHER.de")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := CanonicalEmail(in)
		if err != nil {
			return
		}
		if again, err := CanonicalEmail(got); err != nil || again != got {
			t.Errorf("not stable: %q -> %q -> %q, %v", in, got, again, err)
		}
	})
}

func TestTokens(t *testing.T) {
	a, b := NewToken(), NewToken()
	if len(a) != 43 || a == b || strings.ContainsAny(a, "+/=") {
		t.Errorf("tokens %q %q", a, b)
	}
	if k := NewAPIKey(); !strings.HasPrefix(k, "z4k_") || len(k) != 47 {
		t.Errorf("api key %q", k)
	}
	old, now := NewKeyring([]byte("old-master")), NewKeyring([]byte("new-master"), []byte("old-master"))
	// Computed with another implementation of HMAC-SHA256: key "old-master" and the salt, message "tok".
	if got, want := old.Hash(SaltAgentToken, "tok"), "30c7fa1411ac9d36cab047b5f5e11f4c9742ced6fc06c140bcb148e65d255c0c"; got != want {
		t.Errorf("Hash = %s, want %s", got, want)
	}
	stored := old.Hash(SaltAgentToken, a)
	if len(stored) != 64 || stored == old.Hash(SaltAPIKey, a) || stored == now.Hash(SaltAgentToken, a) {
		t.Error("hashes are not separated by salt and master")
	}
	if !now.Matches(SaltAgentToken, a, stored) || now.Matches(SaltAgentToken, b, stored) || now.Matches(SaltSetupToken, a, stored) {
		t.Error("Matches")
	}
	if c := now.Candidates(SaltAgentToken, a); len(c) != 2 || c[0] != now.Hash(SaltAgentToken, a) || c[1] != stored {
		t.Errorf("Candidates = %v", c)
	}
	if Equal("", "") || Equal("a", "") || Equal("a", "b") || !Equal("a", "a") {
		t.Error("Equal")
	}
}

func TestSessions(t *testing.T) {
	old := NewSessions([]byte("old-secret-old-secret-old-secret"))
	now := NewSessions([]byte("new-secret-new-secret-new-secret"), []byte("old-secret-old-secret-old-secret"))
	cookie, hash := old.Mint()
	if got, ok := old.Parse(cookie); !ok || got != hash || len(hash) != 64 || strings.Contains(cookie, hash) {
		t.Errorf("Parse = %q, %v", got, ok)
	}
	if got, ok := now.Parse(cookie); !ok || got != hash {
		t.Error("a cookie of the previous secret is refused")
	}
	fresh, _ := now.Mint()
	if _, ok := old.Parse(fresh); ok {
		t.Error("a cookie of an unknown secret is accepted")
	}
	for _, bad := range []string{
		"", ".", "x", strings.Repeat("A", 87), cookie[:86], cookie + "A", cookie[:43] + "_" + cookie[44:], "A" + cookie[1:], cookie[:44] + strings.Repeat("A", 43),
	} {
		if bad == cookie {
			continue
		}
		if _, ok := old.Parse(bad); ok {
			t.Errorf("Parse(%q) accepted", bad)
		}
	}
}

func TestLifetimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	live := SessionState{IssuedAt: at, ExpiresAt: at.Add(7 * 24 * time.Hour), LastSeenAt: at, UserActive: true}
	with := func(change func(*SessionState)) SessionState { s := live; change(&s); return s }
	tests := []struct {
		name  string
		state SessionState
		after time.Duration
		want  string
	}{
		{"fresh", live, 0, ""},
		{"just before idle", live, 30*time.Minute - 1, ""},
		{"idle", live, 30 * time.Minute, SessionIdle},
		{"remembered is never idle", with(func(s *SessionState) { s.Remember = true; s.ExpiresAt = at.Add(30 * 24 * time.Hour) }), 20 * 24 * time.Hour, ""},
		{"remembered ends", with(func(s *SessionState) { s.Remember = true; s.ExpiresAt = at.Add(30 * 24 * time.Hour) }), 30 * 24 * time.Hour, SessionExpired},
		{"expired", with(func(s *SessionState) { s.LastSeenAt = at.Add(7 * 24 * time.Hour) }), 7 * 24 * time.Hour, SessionExpired},
		{"a shortened setting counts at once", with(func(s *SessionState) {
			s.ExpiresAt = at.Add(300 * 24 * time.Hour)
			s.LastSeenAt = at.Add(8 * 24 * time.Hour)
		}), 8 * 24 * time.Hour, SessionExpired},
		{"revoked", with(func(s *SessionState) { s.RevokedAt = at }), 0, SessionRevoked},
		{"inactive user", with(func(s *SessionState) { s.UserActive = false }), 0, SessionUserInactive},
		{"password changed later", with(func(s *SessionState) { s.PasswordChangedAt = at.Add(2 * time.Second) }), 3 * time.Second, SessionPasswordChanged},
		{"issued with the change", with(func(s *SessionState) { s.PasswordChangedAt = at.Add(time.Second) }), 3 * time.Second, ""},
	}
	for _, tt := range tests {
		ok, reason := Lifetimes{}.Alive(tt.state, at.Add(tt.after))
		if reason != tt.want || ok != (tt.want == "") {
			t.Errorf("%s: %v, %q; want %q", tt.name, ok, reason, tt.want)
		}
	}
	if (Lifetimes{}).TouchDue(at, at.Add(59*time.Second)) || !(Lifetimes{}).TouchDue(at, at.Add(time.Minute)) ||
		!(Lifetimes{Idle: time.Minute}).TouchDue(at, at.Add(30*time.Second)) {
		t.Error("TouchDue")
	}
	if (Lifetimes{}).MaxAge(false) != 7*24*time.Hour || (Lifetimes{}).MaxAge(true) != 30*24*time.Hour {
		t.Error("MaxAge")
	}
}

func TestCookies(t *testing.T) {
	tests := []struct {
		cookies Cookies
		want    []string
	}{
		{Cookies{}, []string{"z4j_session=s; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax", "z4j_csrf=c; Path=/; Max-Age=604800; SameSite=Strict"}},
		{Cookies{Secure: true, Strict: true}, []string{
			"__Host-z4j_session=s; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict",
			"__Host-z4j_csrf=c; Path=/; Max-Age=604800; Secure; SameSite=Strict",
		}},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		tt.cookies.Set(w, "s", "c", 7*24*time.Hour)
		got := w.Header().Values("Set-Cookie")
		if len(got) != 2 || got[0] != tt.want[0] || got[1] != tt.want[1] {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		w = httptest.NewRecorder()
		tt.cookies.Clear(w)
		for _, c := range w.Header().Values("Set-Cookie") {
			if !strings.Contains(c, "Max-Age=0") {
				t.Errorf("not cleared: %s", c)
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if tt.cookies.Session(r) != "" {
			t.Error("a session without cookie")
		}
		r.AddCookie(&http.Cookie{Name: tt.cookies.SessionName(), Value: "v"})
		if tt.cookies.Session(r) != "v" {
			t.Error("cookie not read")
		}
	}
}

func TestCSRF(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
	if CSRFMatches(r, "") || CSRFMatches(r, "x") {
		t.Error("a missing header matches")
	}
	r.Header.Set(CSRFHeader, "tok")
	if !CSRFMatches(r, "tok") || CSRFMatches(r, "tok2") || CSRFMatches(r, "") {
		t.Error("CSRFMatches")
	}
	for method, want := range map[string]bool{"GET": false, "HEAD": false, "OPTIONS": false, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "X": true} {
		if NeedsCSRF(method) != want {
			t.Errorf("NeedsCSRF(%s) = %v", method, !want)
		}
	}
}
