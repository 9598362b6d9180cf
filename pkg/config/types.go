// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// List is a list setting, written as a JSON list or separated by commas.
type List []string

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *List) UnmarshalText(text []byte) error {
	value := strings.TrimSpace(string(text))
	if strings.HasPrefix(value, "[") {
		var items []string
		if err := json.Unmarshal([]byte(value), &items); err != nil {
			return errors.New(`starts with "[" but is not a JSON list of texts; write ["a","b"] or a,b`)
		}
		*l = items
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	*l = items
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (l List) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String writes the list as JSON.
func (l List) String() string {
	if len(l) == 0 {
		return "[]"
	}
	out, err := json.Marshal([]string(l))
	if err != nil {
		return "[]"
	}
	return string(out)
}

// Seconds is a duration setting, written as a number of seconds.
type Seconds time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Seconds) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f != f || f < -1e9 || f > 1e9 {
		return errors.New("is not a number of seconds")
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}

// Duration returns the setting as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// String writes the number of seconds.
func (s Seconds) String() string {
	return strconv.FormatFloat(time.Duration(s).Seconds(), 'f', -1, 64)
}

// Bool is a flag setting: true/false, 1/0, yes/no, on/off.
type Bool bool

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bool) UnmarshalText(text []byte) error {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "true", "1", "yes", "on", "y", "t":
		*b = true
	case "false", "0", "no", "off", "n", "f":
		*b = false
	default:
		return errors.New("is neither true nor false")
	}
	return nil
}

// Secret is a setting whose value never appears in logs, errors or listings.
type Secret string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// GoString hides the value from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// Bytes returns the value as key material; nil when unset.
func (s Secret) Bytes() []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// Secrets is a list of secrets, separated by commas.
type Secrets []Secret

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secrets) UnmarshalText(text []byte) error {
	var items List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*s = nil
	for _, item := range items {
		*s = append(*s, Secret(item))
	}
	return nil
}

// String hides the values.
func (s Secrets) String() string {
	if len(s) == 0 {
		return ""
	}
	return "***"
}

// MarshalText hides the values from encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
