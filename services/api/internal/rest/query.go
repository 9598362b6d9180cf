// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// decodeQuery fills the struct dst points to from the query string, under the same tags as a body. Empty values
// count as missing and unknown parameters are ignored. Parameters of list fields may be repeated.
func decodeQuery(r *http.Request, dst any) error {
	values := r.URL.Query()
	members := map[string]any{}
	for _, f := range fields(reflect.TypeOf(dst).Elem()) {
		all := values[f.name]
		if slices.ContainsFunc(all, func(v string) bool { return strings.ContainsRune(v, 0) }) {
			// PostgreSQL has no such texts, so nothing can match.
			return httpx.Invalid("value_error", "Value error, the text holds a NUL character: take it out", "query", f.name)
		}
		if f.typ.Kind() == reflect.Slice {
			list := []string{}
			for _, v := range all {
				if v != "" {
					list = append(list, v)
				}
			}
			if len(list) > 0 {
				members[f.name] = list
			}
			continue
		}
		if len(all) == 0 || all[len(all)-1] == "" {
			continue
		}
		v := all[len(all)-1]
		if deref(f.typ) == timeType {
			v = mendZone(v)
		}
		members[f.name] = v
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return err
	}
	err = httpx.DecodeBytes(raw, dst)
	if invalid, ok := errors.AsType[*httpx.ValidationError](err); ok {
		for i := range invalid.Errors {
			invalid.Errors[i].Loc[0] = "query"
		}
	}
	return err
}

// mendZone restores the plus sign of `...+02:00` that a client sent without escaping it.
func mendZone(v string) string {
	if n := len(v); n > 6 && v[n-6] == ' ' && v[n-3] == ':' && strings.Contains(v[:n-6], ":") {
		return v[:n-6] + "+" + v[n-5:]
	}
	return v
}
