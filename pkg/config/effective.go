// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Setting is one line of `config show` and of the settings page.
type Setting struct {
	Name   string
	Value  string
	Source string
	Secret bool
	Doc    string
}

// Source says where the value of a setting came from.
func (c *Config) Source(name string) string {
	if s := c.sources[name]; s != "" {
		return s
	}
	return SourceDefault
}

// Effective lists every setting with its value and source; secrets are masked.
func (c *Config) Effective() []Setting { return c.effective(false) }

// EffectiveRevealed is Effective with the secrets in clear, for an operator who asked for them.
func (c *Config) EffectiveRevealed() []Setting { return c.effective(true) }

func (c *Config) effective(reveal bool) []Setting {
	root := reflect.ValueOf(c).Elem()
	list := []Setting{{Name: "Z4J_HOME", Value: c.Home, Source: c.Source("Z4J_HOME"), Doc: homeDoc}}
	for f := range fields(root.Type()) {
		value := root.FieldByIndex(f.index)
		s := Setting{Name: f.env, Value: show(value), Source: c.Source(f.env), Secret: f.secret(), Doc: f.sf.Tag.Get("doc")}
		switch {
		case f.secret() && reveal:
			s.Value = revealed(value)
		case strings.HasSuffix(f.env, "_URL") && f.secret():
			s.Value, s.Secret = redactURL(revealed(value)), false
		}
		if f.secret() && s.Source == SourceDefault && s.Value != "" && !strings.HasSuffix(f.env, "_URL") {
			s.Source = "derived"
		}
		list = append(list, s)
	}
	return list
}

func show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Bool {
		return strconv.FormatBool(v.Bool())
	}
	return fmt.Sprint(v.Interface())
}

func revealed(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = v.Index(i).String()
			if s, ok := reflect.TypeAssert[Secret](v.Index(i)); ok {
				parts[i] = s.Reveal()
			}
		}
		return strings.Join(parts, ",")
	}
	if s, ok := reflect.TypeAssert[Secret](v); ok {
		return s.Reveal()
	}
	return show(v)
}

const homeDoc = "State directory: database, secrets, allowed-hosts file. Default: ~/.z4j."

// Reference writes the settings page of the documentation, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from pkg/config by `go test ./pkg/config -update`. Do not edit. -->\n\n# Settings\n\n" +
		"Read from, strongest first: the command line, the process environment, `./.env`, `~/.z4j/config.env`, the `OTEL_*` names of the\n" +
		"process environment that Traces below names, `~/.z4j/secret.env` (minted secrets only), the default. Lists are written `a,b` or `[\"a\",\"b\"]`; an empty value counts as not set.\n\n" +
		"A settings file must be a regular file of at most 1 MiB that names no setting twice. One that holds a secret must belong to\n" +
		"the user that runs z4j and be readable by nobody else (`chmod 600`).\n\n" +
		"`z4j config show` lists the values in force and where each came from. A `Z4J_*` name that z4j does not support is named at start.\n")
	group := ""
	for f := range fields(reflect.TypeFor[Config]()) {
		if f.group != group {
			group = f.group
			fmt.Fprintf(&b, "\n## %s\n\n%s| Name | Type | Default | Permitted | Meaning |\n|---|---|---|---|---|\n", groupTitle(group), groupNote(group))
			if group == "Server" {
				fmt.Fprintf(&b, "| `Z4J_HOME` | text | `~/.z4j` | | %s |\n", homeDoc)
			}
		}
		def := f.sf.Tag.Get("envDefault")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.env, f.kind(), def, f.bounds(), strings.ReplaceAll(f.sf.Tag.Get("doc"), "|", "\\|"))
	}
	b.WriteString("\n## Names without effect\n\nThese are known from the 1.13 line. Setting one is reported at start and changes nothing.\n\n| Name | Why |\n|---|---|\n")
	for _, name := range unsupportedNames() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, unsupportedWhy(name))
	}
	return b.String()
}

// groupNote is what a group says above its table.
func groupNote(group string) string {
	if group != "Traces" {
		return ""
	}
	var b strings.Builder
	b.WriteString("Of the standard names these are read too, from the process environment only; the name of ours wins:")
	for i, pair := range standardNames() {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n`%s` for `%s`", pair[0], pair[1])
	}
	b.WriteString(".\n\n")
	return b.String()
}

func groupTitle(group string) string {
	switch group {
	case "Server":
		return "Server and posture"
	case "Secret":
		return "Secrets"
	case "Hosts":
		return "Who may reach it"
	case "Auth":
		return "Sign-in"
	case "Bootstrap":
		return "First admin"
	case "API":
		return "REST API"
	}
	return group
}
