// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxFileBytes bounds a settings file.
const maxFileBytes = 1 << 20

// prefix of every setting of ours.
const prefix = "Z4J_"

// readFile reads KEY=value lines of a settings file. A missing file is empty. Only names starting with
// Z4J_ are taken: a .env in the working directory may belong to another program.
func readFile(path string) (map[string]string, []Fault) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []Fault{{Name: path, Problem: "cannot be read: " + errText(err), Remedy: "let the user that runs z4j read it, or remove it"}}
	}
	if !info.Mode().IsRegular() {
		return nil, []Fault{{Name: path, Problem: "is not a regular file", Remedy: "replace it by a plain file; links are not followed, so that nobody can swap the settings"}}
	}
	if info.Size() > maxFileBytes {
		return nil, []Fault{{Name: path, Problem: "is larger than 1 MiB", Remedy: "settings files hold KEY=value lines only"}}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, []Fault{{Name: path, Problem: "cannot be read: " + errText(err), Remedy: "let the user that runs z4j read it, or remove it"}}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return nil, []Fault{{Name: path, Problem: "cannot be read: " + errText(err), Remedy: "check the disk and the file's permissions"}}
	}
	values, faults := parseFile(path, string(data))
	if secret := firstSecret(values); secret != "" {
		if fault, ok := checkOwner(path, info, secret); !ok {
			faults = append(faults, fault)
		}
	}
	return values, faults
}

// parseFile understands `KEY=value`, `export KEY=value`, quotes around the value and # comments.
func parseFile(path, text string) (map[string]string, []Fault) {
	values := map[string]string{}
	var faults []Fault
	text = strings.TrimPrefix(text, "\ufeff")
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		where := fmt.Sprintf("%s line %d", path, number)
		if !ok {
			faults = append(faults, Fault{Name: where, Problem: "has no \"=\"", Remedy: "write NAME=value"})
			continue
		}
		value, err := unquote(value)
		if err != nil {
			faults = append(faults, Fault{Name: where, Problem: key + " " + err.Error(), Remedy: "close the quote, or leave quotes out"})
			continue
		}
		if _, twice := values[key]; twice {
			faults = append(faults, Fault{Name: where, Problem: key + " is set twice in this file", Remedy: "remove one of the two lines"})
			continue
		}
		values[key] = value
	}
	return values, faults
}

// unquote strips one pair of quotes; without quotes, " #" starts a comment.
func unquote(value string) (string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return "", nil
	}
	quote := value[0]
	if quote != '"' && quote != '\'' {
		if i := strings.Index(value, " #"); i >= 0 {
			value = strings.TrimSpace(value[:i])
		}
		return value, nil
	}
	end := strings.IndexByte(value[1:], quote)
	if end < 0 {
		return "", errors.New("opens a quote that is not closed")
	}
	rest := strings.TrimSpace(value[end+2:])
	if rest != "" && !strings.HasPrefix(rest, "#") {
		return "", errors.New("has text after the closing quote")
	}
	return value[1 : end+1], nil
}

// firstSecret returns the name of a value that others may not read, or "".
func firstSecret(values map[string]string) string {
	for _, name := range sortedKeys(values) {
		if values[name] != "" && isSecretName(name) {
			return name
		}
		if strings.HasSuffix(name, "_URL") && urlHasPassword(values[name]) {
			return name
		}
	}
	return ""
}

// isSecretName goes by the words in a name, so that it also covers settings of other versions.
func isSecretName(name string) bool {
	for _, word := range []string{"SECRET", "TOKEN", "PASSWORD", "PRIVATE_KEY", "CREDENTIAL", "HOP_KEY"} {
		if strings.Contains(name, word) {
			// Lengths and times are not secrets.
			return !strings.HasSuffix(name, "_SECONDS") && !strings.HasSuffix(name, "_LENGTH")
		}
	}
	return false
}

// urlHasPassword reports whether a URL carries a password, without needing it to be valid.
func urlHasPassword(value string) bool {
	_, rest, ok := strings.Cut(value, "://")
	if !ok {
		return false
	}
	at := strings.LastIndexByte(rest, '@')
	return at > 0 && strings.Contains(rest[:at], ":")
}

// errText returns the reason of a file error without the path, which the fault already names.
func errText(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}
