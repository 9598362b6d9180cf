// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		reads, value := 0, 1
		get := func(want int) {
			t.Helper()
			got, err := m.get("a", func() (int, error) { reads++; return value, nil })
			if got != want || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, want)
			}
		}
		get(1)
		value = 2
		get(1)
		m.forget()
		get(2)
		// A value that was read before a change is not kept after it.
		m.forget()
		_, _ = m.get("a", func() (int, error) { m.forget(); return 2, nil })
		value = 3
		get(3)
		value = 4
		<-time.After(accessFor - time.Millisecond)
		get(3)
		<-time.After(time.Millisecond)
		get(4)
		if reads != 4 {
			t.Errorf("%d reads, want 4", reads)
		}
		// Nor is an error, and a value is as old as the question.
		m.forget()
		if _, err := m.get("a", func() (int, error) { return 0, errors.New("away") }); err == nil {
			t.Error("no error")
		}
		_, _ = m.get("a", func() (int, error) { <-time.After(accessFor); return 4, nil })
		value = 5
		get(5)
	})
	t.Run("bounded", func(t *testing.T) {
		t.Parallel()
		var m memo[int, int]
		for i := range 2 * maxAccess {
			_, _ = m.get(i, func() (int, error) { return i, nil })
		}
		if len(m.values) > maxAccess {
			t.Errorf("%d values, want at most %d", len(m.values), maxAccess)
		}
	})
}
