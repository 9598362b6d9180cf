// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// api speaks REST as a browser does.
type api struct {
	base *url.URL
	http *http.Client
}

// statusError is an answer that is not a success.
type statusError struct {
	path   string
	status int
	answer []byte
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the brain answered %s with %d: %s", e.path, e.status, e.answer)
}

func newAPI(base string) (*api, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil {
		return nil, fmt.Errorf("the brain's address: %w", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("make a cookie jar: %w", err)
	}
	return &api{base: u, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}}, nil
}

func (a *api) get(ctx context.Context, path string, out any) error {
	return a.do(ctx, http.MethodGet, path, nil, out)
}

func (a *api) post(ctx context.Context, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the body of %s: %w", path, err)
	}
	return a.do(ctx, http.MethodPost, path, text, out)
}

func (a *api) do(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base.String()+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, cookie := range a.http.Jar.Cookies(a.base) {
		if strings.HasSuffix(cookie.Name, "z4j_csrf") {
			req.Header.Set("X-CSRF-Token", cookie.Value)
		}
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the brain: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return &statusError{path: path, status: resp.StatusCode, answer: answer}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: decode the answer: %w", path, err)
	}
	return nil
}
