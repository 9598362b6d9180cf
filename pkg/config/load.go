// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Sources of a value, as `config show` names them.
const (
	SourceFlag    = "command line"
	SourceEnv     = "env"
	SourceDotEnv  = ".env"
	SourceConfig  = "config.env"
	SourceSecret  = "secret.env"
	SourceOTel    = "OTEL_* env"
	SourceDefault = "default"
)

// Options says where Load looks.
type Options struct {
	// Environ is the process environment, usually os.Environ().
	Environ []string
	// WorkDir holds .env; empty means the working directory.
	WorkDir string
	// Home is the state directory; empty means DefaultHome(Environ).
	Home string
	// Flags are values typed on the command line, by setting name; they win over everything.
	Flags map[string]string
	// Mint creates the state directory and the secrets that are missing, when the database is SQLite.
	Mint bool
	// ExplicitHosts says that hosts were given by --allowed-host.
	ExplicitHosts bool
	// Role is the single service that the process runs: RoleGateway and so on; empty means all of them in one.
	Role string
	// DefaultPort, if set, takes the place of the default of Z4J_BIND_PORT.
	DefaultPort int
}

// Notice is a setting that was given but has no effect, and why.
type Notice struct {
	Name   string
	Source string
	Text   string
}

// String writes the notice as one line for the start's output.
func (n Notice) String() string {
	return fmt.Sprintf("%s (%s) has no effect: %s", n.Name, n.Source, n.Text)
}

// CheckFile reads a settings file by itself, as it would be read from the state directory: its form, its
// permissions, and each value's type and bounds. Names without effect are returned as notices.
func CheckFile(path string) ([]Notice, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, fmt.Errorf("check the settings file: %w", err)
	}
	values, faults := readFile(path)
	kept, sources := merge([]layer{{filepath.Base(path), values}})
	parse("", kept, sources, &faults)
	list := notices(kept, sources)
	if len(faults) > 0 {
		return list, &FaultError{Faults: faults}
	}
	return list, nil
}

// Environ returns the process environment for Options.
func Environ() []string { return os.Environ() }

// Lookup returns one variable of the process environment, for commands that must not read all settings.
func Lookup(name string) string { return os.Getenv(name) }

// DropFromEnvironment removes a variable from the process, so that child processes and crash dumps
// don't carry a password any longer than needed.
func DropFromEnvironment(name string) { _ = os.Unsetenv(name) }

// Load reads all settings. Its error is a *FaultError that lists everything wrong, or the failure to
// write the state directory. The Config is returned also with faults, as far as it could be read, for
// `check` and `config show`.
func Load(o Options) (*Config, error) {
	home := o.Home
	if home == "" {
		var err error
		if home, err = DefaultHome(o.Environ); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(home); err == nil && !info.IsDir() {
		return nil, notDirectory(home)
	}
	layers, faults := readLayers(o, home)
	cfg, mintErr := build(o, home, layers, &faults)
	if mintErr != nil {
		return nil, mintErr
	}
	if len(faults) > 0 {
		return cfg, &FaultError{Faults: faults}
	}
	return cfg, nil
}

type layer struct {
	source string
	values map[string]string
}

// readLayers returns the sources from the strongest to the weakest.
func readLayers(o Options, home string) ([]layer, []Fault) {
	environ := map[string]string{}
	for _, entry := range o.Environ {
		if key, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(key, prefix) {
			environ[key] = value
		}
	}
	dotEnv, faults := readFile(filepath.Join(o.WorkDir, ".env"))
	var configEnv map[string]string
	var more []Fault
	if filepath.Join(o.WorkDir, ".env") != filepath.Join(home, fileConfig) {
		configEnv, more = readFile(filepath.Join(home, fileConfig))
		faults = append(faults, more...)
	}
	secretEnv, more := readSecretFile(home)
	faults = append(faults, more...)
	return []layer{
		{SourceFlag, o.Flags}, {SourceEnv, environ}, {SourceDotEnv, dotEnv}, {SourceConfig, configEnv}, {SourceOTel, standardValues(o.Environ)}, {SourceSecret, secretEnv},
	}, faults
}

// readSecretFile reads secret.env and keeps only the names that belong there.
func readSecretFile(home string) (map[string]string, []Fault) {
	values, faults := readFile(filepath.Join(home, fileSecret))
	maps.DeleteFunc(values, func(name, _ string) bool {
		return !slices.ContainsFunc(mintable, func(m struct {
			name  string
			bytes int
		},
		) bool {
			return m.name == name
		})
	})
	return values, faults
}

// merge puts the layers on top of each other. An empty value counts as not given: compose files pass
// `Z4J_X=${Z4J_X:-}`.
func merge(layers []layer) (values, sources map[string]string) {
	values, sources = map[string]string{}, map[string]string{}
	for _, l := range slices.Backward(layers) {
		for name, value := range l.values {
			if value != "" {
				values[name], sources[name] = value, l.source
			}
		}
	}
	return values, sources
}

func build(o Options, home string, layers []layer, faults *[]Fault) (*Config, error) {
	values, sources := merge(layers)
	cfg := parse(home, values, sources, faults)
	if o.Mint && cfg.Database.Engine() == EngineSQLite && len(*faults) == 0 {
		if _, err := MintSecrets(home, values); err != nil {
			return nil, err
		}
		// Read again in any case: another process may have minted between our reading and our lock.
		secretEnv, more := readSecretFile(home)
		*faults = append(*faults, more...)
		layers[len(layers)-1].values = secretEnv
		values, sources = merge(layers)
		cfg = parse(home, values, sources, faults)
	}
	if o.DefaultPort != 0 && values["Z4J_BIND_PORT"] == "" {
		cfg.Server.BindPort = o.DefaultPort
	}
	cfg.role = o.Role
	cfg.derive()
	cfg.Notices = notices(values, sources)
	*faults = append(*faults, cfg.validate(o)...)
	return cfg, nil
}

// parse fills a Config from the merged values; what can't be read becomes a fault and keeps its default.
func parse(home string, values, sources map[string]string, faults *[]Fault) *Config {
	cfg := &Config{Home: home, sources: sources, given: values}
	if cfg.given == nil {
		cfg.given = map[string]string{}
	}
	err := env.ParseWithOptions(cfg, env.Options{Environment: values})
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		for _, one := range all.Errors {
			*faults = append(*faults, parseFault(one, values, sources))
		}
	} else if err != nil {
		*faults = append(*faults, Fault{Name: "settings", Problem: err.Error(), Remedy: "see docs/configuration.md"})
	}
	*faults = append(*faults, checkBounds(cfg, *faults)...)
	return cfg
}

// parseFault explains a value that has the wrong form. The value itself is not repeated.
func parseFault(err error, _, sources map[string]string) Fault {
	var parseErr env.ParseError
	if !errors.As(err, &parseErr) {
		return Fault{Name: "settings", Problem: err.Error(), Remedy: "see docs/configuration.md"}
	}
	name := parseErr.Name
	remedy := "see docs/configuration.md for its form"
	for f := range fields(reflect.TypeFor[Config]()) {
		if f.sf.Name == parseErr.Name && f.sf.Type == parseErr.Type && sources[f.env] != "" {
			name = f.env
			remedy = "it is set in " + sources[f.env] + "; " + f.form()
			break
		}
	}
	problem := "has a value that cannot be read"
	switch cause := parseErr.Err; {
	case parseErr.Type.Kind() == reflect.Int:
		problem = "is not a whole number"
	case parseErr.Type.Kind() == reflect.Float64:
		problem = "is not a number"
	case cause != nil && isOurs(parseErr.Type):
		problem = cause.Error()
	}
	return Fault{Name: name, Problem: problem, Remedy: remedy}
}

// isOurs reports whether the type is one of this package, whose errors never quote the value.
func isOurs(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == reflect.TypeFor[Config]().PkgPath()
}

// Fault is one thing wrong with the settings, and what to do about it.
type Fault struct {
	Name    string
	Problem string
	Remedy  string
}

// String writes the fault as one line.
func (f Fault) String() string { return fmt.Sprintf("%s %s: %s", f.Name, f.Problem, f.Remedy) }

// FaultError lists every fault of a configuration.
type FaultError struct{ Faults []Fault }

// Error implements error, one line a fault.
func (e *FaultError) Error() string {
	if len(e.Faults) == 1 {
		return "the configuration is not valid: " + e.Faults[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d faults:", len(e.Faults))
	for _, f := range e.Faults {
		b.WriteString("\n  - " + f.String())
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
