// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Eventually polls until the condition returns nil, and fails the test with the condition's last
// complaint when that takes longer than limit.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	if err := poll(limit, condition); err != nil {
		t.Fatalf("%s: still not so after %s: %v", what, limit, err)
	}
}

// errEnded is a condition's complaint that no waiting will cure.
var errEnded = errors.New("the process has ended")

// poll is Eventually for callers that have another way out.
func poll(limit time.Duration, condition func() error) error {
	deadline := time.Now().Add(limit)
	pause := 20 * time.Millisecond
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || errors.Is(err, errEnded) {
			return err
		}
		<-time.After(pause)
		pause = min(pause*3/2, 400*time.Millisecond)
	}
}

// Equal is a condition on two comparable values.
func Equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
