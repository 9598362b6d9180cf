// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const (
	masterSecret  = "0123456789abcdef0123456789abcdef-master"
	sessionSecret = "0123456789abcdef0123456789abcdef-session"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func base(t *testing.T) Options {
	t.Helper()
	return Options{Home: t.TempDir(), WorkDir: t.TempDir(), Environ: []string{"Z4J_SECRET=" + masterSecret, "Z4J_SESSION_SECRET=" + sessionSecret}}
}

func faultNames(err error) []string {
	var faults *FaultError
	if !errors.As(err, &faults) {
		return nil
	}
	var names []string
	for _, f := range faults.Faults {
		names = append(names, f.Name)
	}
	return names
}

func TestPrecedence(t *testing.T) {
	o := base(t)
	write(t, filepath.Join(o.WorkDir, ".env"), "Z4J_BIND_PORT=2\nZ4J_BIND_HOST='2.2.2.2' # note\nOTHER=x\nOTHER=y\n", 0o644)
	write(t, filepath.Join(o.Home, "config.env"), "export Z4J_BIND_PORT=3\nZ4J_BIND_HOST=3.3.3.3\nZ4J_PASSWORD_MIN_LENGTH=16 # longer\nZ4J_LOG_LEVEL=\"warning\"\n", 0o644)
	write(t, filepath.Join(o.Home, "secret.env"), "Z4J_METRICS_AUTH_TOKEN=tok\nZ4J_LOG_LEVEL=ERROR\n", 0o600)
	o.Environ = append(o.Environ, "Z4J_BIND_PORT=1", "Z4J_PUBLIC_URL=")
	cfg, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Server.BindPort != 1 || cfg.Server.BindHost != "2.2.2.2" || cfg.Auth.PasswordMinLength != 16 || cfg.Log.Level != "WARNING" {
		t.Errorf("values: %+v %+v", cfg.Server, cfg.Log)
	}
	if cfg.Server.PublicURL != "http://localhost:1" {
		t.Errorf("public URL = %s", cfg.Server.PublicURL)
	}
	for name, want := range map[string]string{
		"Z4J_BIND_PORT": SourceEnv, "Z4J_BIND_HOST": SourceDotEnv, "Z4J_PASSWORD_MIN_LENGTH": SourceConfig,
		"Z4J_METRICS_AUTH_TOKEN": SourceSecret, "Z4J_HSTS_MAX_AGE_SECONDS": SourceDefault,
	} {
		if got := cfg.Source(name); got != want {
			t.Errorf("%s came from %s, want %s", name, got, want)
		}
	}
	o.Flags = map[string]string{"Z4J_BIND_PORT": "9"}
	if cfg, err = Load(o); err != nil || cfg.Server.BindPort != 9 {
		t.Errorf("flag: %v %v", cfg.Server.BindPort, err)
	}
}

func TestFileRules(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"duplicate":           {"Z4J_BIND_PORT=1\nZ4J_BIND_PORT=2\n", 0o600, "set twice"},
		"readable secret":     {"Z4J_SECRET=abc\n", 0o644, "chmod 600"},
		"readable URL":        {"Z4J_DATABASE_URL=postgres://u:pw@h/d\n", 0o640, "chmod 600"},
		"no equals":           {"Z4J_BIND_PORT\n", 0o600, `has no "="`},
		"open quote":          {"Z4J_BIND_HOST='x\n", 0o600, "not closed"},
		"text after quote":    {"Z4J_BIND_HOST='x' y\n", 0o600, "after the closing quote"},
		"plain and readable":  {"Z4J_BIND_PORT=1\nZ4J_PASSWORD_MIN_LENGTH=12\nZ4J_FIRST_BOOT_TOKEN_TTL_SECONDS=60\n", 0o644, ""},
		"secret of another":   {"POSTGRES_PASSWORD=x\n", 0o644, ""},
		"unknown secret name": {"Z4J_SOME_NEW_TOKEN=x\n", 0o644, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			o := base(t)
			write(t, filepath.Join(o.Home, "config.env"), tt.text, tt.mode)
			_, err := Load(o)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("link", func(t *testing.T) {
		o := base(t)
		target := filepath.Join(t.TempDir(), "x")
		write(t, target, "Z4J_BIND_PORT=1\n", 0o600)
		if err := os.Symlink(target, filepath.Join(o.Home, "config.env")); err != nil {
			t.Skip("this system has no links")
		}
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "regular file") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("large", func(t *testing.T) {
		o := base(t)
		write(t, filepath.Join(o.Home, "config.env"), strings.Repeat("#", 1<<20+1), 0o600)
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "1 MiB") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAllFaultsAtOnceWithoutValues(t *testing.T) {
	o := Options{Home: t.TempDir(), WorkDir: t.TempDir(), Environ: []string{
		"Z4J_DATABASE_URL=postgresql+asyncpg://z4j:hunter2@db/z4j", "Z4J_SECRET=shortvalue", "Z4J_BIND_PORT=abcport",
		"Z4J_LOGIN_LOCKOUT_THRESHOLD=1", "Z4J_METRICS_ENABLED=maybe", "Z4J_TRUSTED_PROXIES=10.0.0.0/8,nonsense",
		"Z4J_SESSION_COOKIE_SAMESITE=none",
	}}
	_, err := Load(o)
	got := faultNames(err)
	want := []string{
		"Z4J_BIND_PORT", "Z4J_METRICS_ENABLED", "Z4J_SESSION_COOKIE_SAMESITE", "Z4J_LOGIN_LOCKOUT_THRESHOLD", "Z4J_SECRET",
		"Z4J_SESSION_SECRET", "Z4J_PUBLIC_URL", "Z4J_ALLOWED_HOSTS", "Z4J_DATABASE_URL", "Z4J_TRUSTED_PROXIES",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v\n%v", got, want, err)
	}
	for _, secret := range []string{"hunter2", "shortvalue", "abcport"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a value leaked into the error: %v", err)
		}
	}
}

func TestPosture(t *testing.T) {
	pg := "Z4J_DATABASE_URL=postgres://u:p@h/d?sslmode=require"
	hosts := "Z4J_ALLOWED_HOSTS=z4j.example.com"
	for name, tt := range map[string]struct {
		env    []string
		dev    bool
		secure bool
		faults string
	}{
		"nothing":              {nil, true, false, ""},
		"https":                {[]string{"Z4J_PUBLIC_URL=https://z4j.example.com", hosts}, false, true, ""},
		"https without hosts":  {[]string{"Z4J_PUBLIC_URL=https://z4j.example.com"}, false, true, "Z4J_ALLOWED_HOSTS"},
		"postgres":             {[]string{pg, "Z4J_PUBLIC_URL=https://z4j.example.com", hosts}, false, true, ""},
		"postgres http":        {[]string{pg, hosts}, false, false, "Z4J_PUBLIC_URL"},
		"postgres http forced": {[]string{pg, hosts, "Z4J_ALLOW_HTTP_PUBLIC_URL=true"}, false, false, ""},
		"postgres dev":         {[]string{"Z4J_DATABASE_URL=postgres://u:p@h/d", "Z4J_ENVIRONMENT=dev"}, true, false, ""},
		"label":                {[]string{"Z4J_ENVIRONMENT=staging", hosts}, false, false, "Z4J_PUBLIC_URL"},
		"dev with https":       {[]string{"Z4J_ENVIRONMENT=dev", "Z4J_PUBLIC_URL=https://z4j.example.com"}, true, false, ""},
		"debug in production":  {[]string{"Z4J_PUBLIC_URL=https://a.example.com", hosts, "Z4J_DEBUG_HOST_ERRORS=1"}, false, true, "Z4J_DEBUG_HOST_ERRORS"},
	} {
		t.Run(name, func(t *testing.T) {
			o := base(t)
			o.Environ = append(o.Environ, tt.env...)
			cfg, err := Load(o)
			if got := strings.Join(faultNames(err), ","); got != tt.faults {
				t.Fatalf("faults %q, want %q", got, tt.faults)
			}
			if cfg.Dev() != tt.dev || cfg.SecureCookies() != tt.secure || (cfg.HSTSMaxAge() > 0) != tt.secure {
				t.Errorf("dev %v secure %v hsts %d", cfg.Dev(), cfg.SecureCookies(), cfg.HSTSMaxAge())
			}
		})
	}
	t.Run("hosts from file", func(t *testing.T) {
		o := base(t)
		o.Environ = append(o.Environ, "Z4J_PUBLIC_URL=https://z4j.example.com")
		write(t, filepath.Join(o.Home, "allowed-hosts"), "# names\nz4j.example.com\n", 0o644)
		if _, err := Load(o); err != nil {
			t.Error(err)
		}
	})
}

func TestDatabaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite+aiosqlite:////data/z4j.db":              "sqlite:////data/z4j.db",
		"sqlite:///z4j.db":                              "sqlite:///z4j.db",
		"postgresql+asyncpg://u:p@h:5432/d?ssl=require": "postgres://u:p@h:5432/d?sslmode=require",
		"postgresql://u:p@h/d?sslmode=verify-full":      "postgres://u:p@h/d?sslmode=verify-full",
		"mysql://u:p@h/d":                               "",
		"postgres://u:p@h":                              "",
		"sqlite:///:memory:":                            "",
		"postgres://u:p%zz@h/d":                         "",
	} {
		o := base(t)
		o.Environ = append(o.Environ, "Z4J_DATABASE_URL="+in, "Z4J_ENVIRONMENT=dev")
		cfg, err := Load(o)
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "zz") {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if err != nil || cfg.Database.URL.Reveal() != want {
			t.Errorf("%s: got %s %v, want %s", in, cfg.Database.URL.Reveal(), err, want)
		}
	}
	o := base(t)
	o.Environ = append(o.Environ, "Z4J_ENVIRONMENT=dev", "Z4J_DATABASE_HOST=db", "Z4J_DATABASE_PORT=5432", "Z4J_DATABASE_USER=u",
		"Z4J_DATABASE_PASSWORD=p@ss/w", "Z4J_DATABASE_NAME=z4j")
	cfg, err := Load(o)
	if err != nil || cfg.Database.URL.Reveal() != "postgres://u:p%40ss%2Fw@db:5432/z4j" || cfg.Database.SafeURL() != "postgres://u:***@db:5432/z4j" {
		t.Errorf("parts: %s %v", cfg.Database.URL.Reveal(), err)
	}
	o.Environ = append(base(t).Environ, "Z4J_DATABASE_HOST=db")
	if _, err = Load(o); !slices.Contains(faultNames(err), "Z4J_DATABASE_HOST") {
		t.Errorf("incomplete parts: %v", err)
	}
}

func TestLists(t *testing.T) {
	for in, want := range map[string]string{
		`["a","b"]`: `["a","b"]`, "a, b ,": `["a","b"]`, "a": `["a"]`, `[]`: `[]`,
	} {
		var l List
		if err := l.UnmarshalText([]byte(in)); err != nil || l.String() != want {
			t.Errorf("%s: %s %v", in, l, err)
		}
	}
	var l List
	if l.UnmarshalText([]byte(`["a"`)) == nil {
		t.Error("broken JSON accepted")
	}
}

func TestMintingIsRaceSafe(t *testing.T) {
	home := filepath.Join(t.TempDir(), "state")
	o := Options{Home: home, WorkDir: t.TempDir(), Mint: true}
	secrets := make([]Secret, 8)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			cfg, err := Load(o)
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = cfg.Secret.Master + cfg.Secret.Session + cfg.Secret.AuditChain + cfg.Metrics.AuthToken
		})
	}
	wg.Wait()
	for _, s := range secrets {
		if s != secrets[0] || len(s) != 64*3+43 {
			t.Fatalf("starts disagree or lengths are wrong: %d bytes", len(s))
		}
	}
	for path, mode := range map[string]os.FileMode{home: 0o700, filepath.Join(home, "secret.env"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	data, err := os.ReadFile(filepath.Join(home, "secret.env"))
	if err != nil || strings.Count(string(data), "\n") != 4 {
		t.Errorf("secret.env has %d lines, %v", strings.Count(string(data), "\n"), err)
	}
}

func TestMintingKeepsWhatIsThere(t *testing.T) {
	o := base(t)
	o.Mint = true
	o.Environ = nil
	write(t, filepath.Join(o.Home, "secret.env"), "# mine\nZ4J_SECRET="+masterSecret, 0o600)
	cfg, err := Load(o)
	if err != nil || cfg.Secret.Master != masterSecret || cfg.Secret.Session == "" {
		t.Fatalf("%v", err)
	}
	if err := SetSecret(o.Home, "Z4J_METRICS_AUTH_TOKEN", "new"); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(filepath.Join(o.Home, "secret.env"))
	if !strings.HasPrefix(string(data), "# mine\n") || !strings.Contains(string(data), "Z4J_METRICS_AUTH_TOKEN=new\n") || strings.Count(string(data), "METRICS") != 1 {
		t.Errorf("secret.env:\n%s", data)
	}
}

func TestFaultsDoNotAskForWhatWouldBeMinted(t *testing.T) {
	o := Options{Home: t.TempDir(), WorkDir: t.TempDir(), Mint: true, Environ: []string{"Z4J_BIND_PORT=x"}}
	if _, err := Load(o); fmt.Sprint(faultNames(err)) != "[Z4J_BIND_PORT]" {
		t.Errorf("faults %v", err)
	}
}

func TestNothingIsMintedForPostgreSQL(t *testing.T) {
	o := Options{Home: filepath.Join(t.TempDir(), "x"), WorkDir: t.TempDir(), Mint: true, Environ: []string{"Z4J_DATABASE_URL=postgres://u:p@h/d", "Z4J_ENVIRONMENT=dev"}}
	_, err := Load(o)
	if got := fmt.Sprint(faultNames(err)); got != "[Z4J_SECRET Z4J_SESSION_SECRET]" {
		t.Errorf("faults %s", got)
	}
	if _, err := os.Stat(o.Home); err == nil {
		t.Error("the state directory was created")
	}
}

func TestDerivedKeysAreStableAndDifferent(t *testing.T) {
	cfg, err := Load(base(t))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Load(base(t))
	if cfg.Secret.AuditChain == "" || cfg.Secret.AuditChain == cfg.Secret.Hop || cfg.Secret.AuditChain != again.Secret.AuditChain {
		t.Error("derived keys are wrong")
	}
}

func TestSecondServeIsRefused(t *testing.T) {
	home := t.TempDir()
	lock, err := LockHome(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockHome(home); !errors.Is(err, ErrHomeInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	lock, err = LockHome(home)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	_ = lock.Release()
}

func TestNotices(t *testing.T) {
	o := base(t)
	o.Environ = append(o.Environ, "Z4J_SENTRY_DSN=x", "Z4J_BIND_PROT=1", "Z4J_MAX_PAYLOAD_SIZE_BYTES=8192", "Z4J_BRAIN_URL=x", "Z4J_IMAGE=x", "Z4J_ZZZ=1")
	write(t, filepath.Join(o.WorkDir, ".env"), "Z4J_HOME=/elsewhere\n", 0o644)
	cfg, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range cfg.Notices {
		got = append(got, n.Name+": "+n.Text)
	}
	want := []string{
		"Z4J_BIND_PROT: no such setting; did you mean Z4J_BIND_PORT?",
		"Z4J_HOME: must be set in the process environment: the state directory is chosen before its files are read",
		"Z4J_MAX_PAYLOAD_SIZE_BYTES: body limits are fixed for each route: 1 MiB, and 8 MiB for imports and agents' uploads",
		"Z4J_SENTRY_DSN: not supported by this version",
		"Z4J_ZZZ: no such setting",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestEffectiveHidesSecrets(t *testing.T) {
	o := base(t)
	o.Environ = append(o.Environ, "Z4J_ENVIRONMENT=dev", "Z4J_DATABASE_URL=postgres://u:hunter2@h/d", "Z4J_PREVIOUS_SECRETS=oldsecret1,oldsecret2", "Z4J_LOG_JSON=false")
	cfg, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(cfg.Effective())
	logged := &strings.Builder{}
	slog.New(slog.NewJSONHandler(logged, nil)).Info("x", "secret", cfg.Secret.Master, "db", cfg.Database)
	asJSON, _ := json.Marshal(cfg.Secret)
	for _, secret := range []string{masterSecret, sessionSecret, "hunter2", "oldsecret", cfg.Secret.Hop.Reveal()} {
		for _, out := range []string{text, logged.String(), string(asJSON), fmt.Sprintf("%v %+v %#v", cfg.Secret, cfg.Secret, cfg.Secret)} {
			if strings.Contains(out, secret) {
				t.Errorf("a secret leaked: %s", out)
			}
		}
	}
	if !strings.Contains(text, "postgres://u:***@h/d") {
		t.Error("the database URL should be shown without its password")
	}
	if !strings.Contains(fmt.Sprint(cfg.EffectiveRevealed()), masterSecret) {
		t.Error("revealed listing hides secrets")
	}
	if cfg.Log.Format != "text" {
		t.Errorf("log format %q", cfg.Log.Format)
	}
}

func TestSettingsTable(t *testing.T) {
	if got := len(slices.Compact(slices.Sorted(slices.Values(knownNames())))); got != 184 {
		t.Errorf("%d known names, want the 183 settings and one variable", got)
	}
	seen := map[string]bool{}
	for f := range fields(reflect.TypeFor[Config]()) {
		if f.sf.Tag.Get("doc") == "" {
			t.Errorf("%s has no doc tag", f.env)
		}
		key := f.sf.Name + f.sf.Type.String()
		if f.kind() != "text" && f.kind() != "secret" && seen[key] {
			t.Errorf("%s: parse faults cannot tell fields named %s apart", f.env, f.sf.Name)
		}
		seen[key] = true
	}
}

func TestReferencePage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, Reference(), 0o644)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != Reference() {
		t.Errorf("docs/configuration.md is out of date (%v): run go test ./pkg/config -update", err)
	}
}

func TestCheckFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "candidate.env")
	write(t, path, "Z4J_BIND_PORT=70000\nZ4J_LOG_LEVEL=INFO\nZ4J_NOPE=1\n", 0o600)
	notices, err := CheckFile(path)
	if fmt.Sprint(faultNames(err)) != "[Z4J_BIND_PORT]" || !strings.Contains(err.Error(), "set in candidate.env") {
		t.Errorf("faults: %v", err)
	}
	if len(notices) != 1 || notices[0].String() != "Z4J_NOPE (candidate.env) has no effect: no such setting" {
		t.Errorf("notices: %v", notices)
	}
	if _, err := CheckFile(path + ".missing"); err == nil {
		t.Error("a missing file passed")
	}
}
