// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"io"
	"log/slog"
	"mime"
	"net/http"
)

// Stream is an answer written piece by piece: an export that may be larger than memory.
type Stream struct {
	ContentType string
	// Filename makes browsers save the answer under this name.
	Filename string
	Write    func(ctx context.Context, w io.Writer) error
}

// serve writes the stream. When it fails half-way the connection is cut, so that the client sees an incomplete
// transfer and not a short file that looks whole.
func (s Stream) serve(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	h := w.Header()
	h.Set("Content-Type", s.ContentType)
	h.Set("Cache-Control", "no-store")
	if s.Filename != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": s.Filename}))
	}
	w.WriteHeader(http.StatusOK)
	if err := s.Write(r.Context(), w); err != nil {
		if r.Context().Err() == nil {
			log.ErrorContext(r.Context(), "stream failed half-way", "path", r.URL.Path, "err", err)
		}
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to tell the client that the answer is cut
	}
}
