// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"testing"
	"time"
)

func TestAgentConnectsAndIsAckedAfterCommit(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	p := b.connect(c, "bare-1-1")
	ack := p.ackOf("ev_1", batch(event("task.received", "t1", time.Now(), map[string]any{"task_name": "x.y", "queue": "q"})))
	if ack["accepted"] != 1.0 || ack["received"] != 1.0 {
		t.Fatalf("ack %v", ack)
	}
}
