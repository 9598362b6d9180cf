// SPDX-License-Identifier: AGPL-3.0-or-later

package rest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// counting is a router with a read that counts how often it is computed, and a write. answer gives the read's result.
func counting(t *testing.T, answer func(ctx context.Context, n int64) (any, error)) (*rest.Router, *atomic.Int64) {
	t.Helper()
	rt, n := router(t), new(atomic.Int64)
	rt.Share, rt.Timeout = true, 5*time.Second
	rt.Add(publicOp(rest.Op{
		Method: http.MethodGet, Path: "/sum", ID: "sum", Query: thingQuery{}, Response: map[string]int64{}, Status: 200, ShareFor: time.Second,
		Handle: func(r *rest.Request) (any, error) { return answer(r.Context(), n.Add(1)) },
	}), publicOp(rest.Op{Method: http.MethodPost, Path: "/sum", ID: "change", Status: 204}))
	if err := rt.Err(); err != nil {
		t.Fatal(err)
	}
	return rt, n
}

func TestCallersShareAnswers(t *testing.T) {
	t.Parallel()
	rt, n := counting(t, func(_ context.Context, n int64) (any, error) {
		if n == 5 {
			return nil, errors.New("no luck")
		}
		return map[string]int64{"n": n}, nil
	})
	synctest.Test(t, func(t *testing.T) {
		ask := func(query string, want int64) {
			t.Helper()
			call(t, rt, http.MethodGet, "/api/v1/sum"+query, "")
			if n.Load() != want {
				t.Errorf("computed %d times, want %d", n.Load(), want)
			}
		}
		ask("", 1)
		<-time.After(900 * time.Millisecond)
		ask("?limit=50&unknown=x", 1) // the default, and what nobody reads
		ask("?limit=7", 2)
		<-time.After(200 * time.Millisecond)
		ask("", 3)
		call(t, rt, http.MethodPost, "/api/v1/sum", "")
		ask("", 4)
		ask("?limit=9", 5) // fails
		ask("?limit=9", 6)
		rt.Share = false
		ask("", 7)
		ask("", 8)
		rt.Share = true
		<-time.After(time.Minute) // what is left is dropped
	})
}

func TestCallersJoinAComputation(t *testing.T) {
	t.Parallel()
	rt, n := counting(t, func(ctx context.Context, n int64) (any, error) {
		select {
		case <-time.After(2 * time.Second):
			return map[string]int64{"n": n}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// The caller that computes leaves, another one waits for less than it takes, the third gets the answer.
		answers := make([]*httptest.ResponseRecorder, 3)
		for i, patience := range []time.Duration{time.Second, 500 * time.Millisecond, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			answers[i] = httptest.NewRecorder()
			go rt.ServeHTTP(answers[i], httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/sum", nil))
			synctest.Wait()
		}
		<-time.After(3 * time.Second)
		synctest.Wait()
		if n.Load() != 1 || answers[2].Code != http.StatusOK || !strings.Contains(answers[2].Body.String(), `"n":1`) {
			t.Errorf("computed %d times, answered %d %s", n.Load(), answers[2].Code, answers[2].Body)
		}
		if answers[1].Code == http.StatusOK {
			t.Error("who had no patience got an answer")
		}
		// An answer that took longer than its age is nobody else's.
		call(t, rt, http.MethodGet, "/api/v1/sum", "")
		if n.Load() != 2 {
			t.Errorf("computed %d times, want 2", n.Load())
		}
	})
}

func TestAbortedComputationLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	rt, n := counting(t, func(_ context.Context, n int64) (any, error) {
		if n == 1 {
			<-time.After(time.Second)
			panic("a fault of the handler") //nolint:forbidigo // what is tested
		}
		return map[string]int64{"n": n}, nil
	})
	synctest.Test(t, func(t *testing.T) {
		go func() {
			defer func() { _ = recover() }()
			rt.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/sum", nil))
		}()
		synctest.Wait()
		if code, _ := call(t, rt, http.MethodGet, "/api/v1/sum", ""); code != http.StatusInternalServerError {
			t.Errorf("the waiting caller got %d", code)
		}
		if code, _ := call(t, rt, http.MethodGet, "/api/v1/sum", ""); code != http.StatusOK || n.Load() != 2 {
			t.Errorf("the next caller got %d after %d computations", code, n.Load())
		}
	})
}
