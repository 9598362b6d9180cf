// SPDX-License-Identifier: AGPL-3.0-or-later

// Package intake is the seam between whatever receives frames (sockets) and the group committer that
// makes them durable. It holds types and interfaces only.
package intake

import (
	"context"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
)

// Entry is one frame of one connection on its way into the database.
type Entry struct {
	Item store.IngestItem
	// Ack reports whether the peer waits for an event_batch_ack; FrameID and Received then belong in it.
	Ack      bool
	FrameID  string
	Received int
	// Began is when the entry was handed over; Submit sets it.
	Began time.Time
}

// Sink learns what became of the entries of one connection.
type Sink interface {
	// Settled is called exactly once for every entry that Submit accepted, in the order of submission:
	// with nil strictly after the commit of the transaction that holds it; with an error that is
	// domain.ErrTransient when it was not stored and the peer should send it again (no ack); with any
	// other error when it can never be stored (it is acked as rejected, so that the peer drops it).
	// It is called from the committer's goroutine and returns at once, whatever the peer does.
	Settled(e *Entry, err error)
}

// Queue is the bounded queue of one connection.
type Queue interface {
	// Submit hands an entry over, waiting while the queue is full: an unread socket is the backpressure.
	// After an error the entry is not in the queue and Settled is not called for it.
	Submit(ctx context.Context, e *Entry) error
	// Close says that no further entry will come. Entries in the queue are still committed and settled.
	Close()
}

// Committer folds the frames of many connections into few transactions.
type Committer interface {
	// Open gives a connection its queue. key pins connections of one agent to one writer.
	Open(key int64, sink Sink) Queue
}
