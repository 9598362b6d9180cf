// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
)

// DocumentHandler serves the OpenAPI document: to users, or to everybody when it is public. Reads are recorded,
// because the document is a map for whoever looks for a way in.
func (rt *Router) DocumentHandler(document []byte, public bool) http.Handler {
	sum := sha256.Sum256(document)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	throttle := httpx.NewThrottle("openapi", 10, time.Minute)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := throttle.AllowIP(httpx.ClientIP(r.Context())); err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		req := &Request{HTTP: r, Writer: w}
		err := rt.auth.authenticate(req)
		if err == nil && !public {
			err = auth.Check(req.Subject(), auth.SchemaRead)
		}
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		w.Header().Set("ETag", etag)
		w.Header().Set("Cache-Control", "private, max-age=3600")
		if matches(r.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		err = rt.store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.Audit(ctx, req.Audit("openapi.schema_accessed", "openapi", ""))
		})
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})
}

// matches reports whether an If-None-Match header names the tag.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}
