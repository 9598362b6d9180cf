// SPDX-License-Identifier: AGPL-3.0-or-later

package hub

import (
	"context"
	"testing"

	"github.com/z4jdev/z4j/pkg/store"
)

type slot struct {
	agent      int64
	worker     string
	generation int64
}

func (s *slot) Agent() store.AgentRef                      { return store.AgentRef{ID: s.agent} }
func (s *slot) WorkerID() string                           { return s.worker }
func (s *slot) Generation() int64                          { return s.generation }
func (s *slot) Contracts() []string                        { return nil }
func (s *slot) SendCommand(context.Context, Command) error { return nil }
func (s *slot) Close(int, string)                          {}

func TestHub(t *testing.T) {
	t.Parallel()
	var h Hub
	a1, a2, b1 := &slot{1, "x", 1}, &slot{1, "y", 1}, &slot{2, "x", 1}
	for _, s := range []*slot{a1, a2, b1} {
		if r := h.Register(s); r != nil {
			t.Fatalf("%v replaced %v", s, r)
		}
	}
	before := h.Slots(1)
	// A newer connection takes the slot, and stands behind those that were registered earlier.
	a3 := &slot{1, "x", 2}
	if r := h.Register(a3); r != a1 {
		t.Errorf("replaced %v", r)
	}
	if got := h.Slots(1); len(got) != 2 || got[0] != a2 || got[1] != a3 {
		t.Errorf("slots %v", got)
	}
	if len(before) != 2 || before[0] != a1 {
		t.Errorf("a list that was handed out changed: %v", before)
	}
	// An older one that comes late does not.
	if late := (&slot{1, "x", 1}); h.Register(late) != late {
		t.Error("an older connection took the slot")
	}
	if h.Remove(a1) || !h.Remove(a3) || !h.Remove(a2) || h.Connected(1) || !h.Connected(2) || h.Len() != 1 || len(h.All()) != 1 || len(h.Agents()) != 1 {
		t.Errorf("%d slots are left", h.Len())
	}
}
