// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"hash/maphash"
	"slices"
	"time"
)

// Replay guard constants of the protocol (section 3.2).
const (
	MaxSkew       = 60 * time.Second
	NonceWindow   = 180 * time.Second
	MaxNonces     = 4096
	StoredNonces  = 64
	minNonceSlots = 16
	// maxListed is up to how many nonces are looked through one by one.
	maxListed = 64
)

// GuardState is what a guard must remember between requests when no process keeps it (long-poll).
type GuardState struct {
	LastSeq int64
	// Nonces are the most recent ones, oldest first, at most StoredNonces.
	Nonces []string
}

// Guard is the replay guard of one direction of one session: sequence numbers rise strictly, nonces do not
// repeat, and the sender's clock is within MaxSkew of ours. State changes only when a frame is accepted.
type Guard struct {
	lastSeq int64

	// In memory: hashes of the nonces of the last NonceWindow in arrival order, as a ring that grows on demand
	// (an idle agent sends 36 frames in that time, a busy one would fill MaxNonces). The set of them is built when there
	// are more than can be looked through as fast: idle agents do without.
	seed  maphash.Seed
	seen  map[uint64]struct{}
	since time.Time // the first nonce's arrival; entries count from here
	ring  []nonceEntry
	head  int
	count int

	// Stored: the nonces themselves, oldest first. The rising sequence number is the real guard there.
	stored bool
	recent []string
}

type nonceEntry struct {
	hash uint64
	at   time.Duration
}

// NewGuard returns the guard of a fresh session that lives in this process.
func NewGuard() *Guard {
	return &Guard{seed: maphash.MakeSeed()}
}

// NewStoredGuard returns a guard that continues from state; read it back with [Guard.State].
func NewStoredGuard(state GuardState) *Guard {
	recent := state.Nonces
	if len(recent) > StoredNonces {
		recent = recent[len(recent)-StoredNonces:]
	}
	return &Guard{stored: true, lastSeq: state.LastSeq, recent: slices.Clone(recent)}
}

// State returns what a stored guard must be given next time. The slice is a copy.
func (g *Guard) State() GuardState {
	return GuardState{LastSeq: g.lastSeq, Nonces: slices.Clone(g.recent)}
}

// LastSeq is the highest sequence number accepted so far.
func (g *Guard) LastSeq() int64 { return g.lastSeq }

// check runs the checks in the protocol's order and commits on success.
func (g *Guard) check(seqRaw, nonceRaw, tsRaw []byte, now time.Time) (seq int64, nonce []byte, ts time.Time, err error) {
	seq, ok := IntOf(seqRaw)
	if !ok {
		return 0, nil, ts, signatureError("seq", "must be an integer")
	}
	if seq < 1 {
		return 0, nil, ts, signatureError("seq", "must be at least 1")
	}
	nonce, ok = textOf(nonceRaw)
	if !ok || len(nonce) == 0 {
		return 0, nil, ts, signatureError("nonce", "must be a non-empty string")
	}
	text, ok := textOf(tsRaw)
	if !ok {
		return 0, nil, ts, signatureError("ts", "must be a string")
	}
	ts, aware, ok := ParseTime(text)
	if !ok {
		return 0, nil, ts, signatureError("ts", "is not an RFC 3339 time")
	}
	if !aware {
		return 0, nil, ts, signatureError("ts", "has no time zone")
	}
	if skew := now.Sub(ts); skew > MaxSkew || skew < -MaxSkew {
		return 0, nil, ts, skewError(skew, MaxSkew)
	}
	if seq <= g.lastSeq {
		return 0, nil, ts, signatureError("seq", "not greater than the last one")
	}
	if g.stored {
		if slices.Contains(g.recent, string(nonce)) {
			return 0, nil, ts, signatureError("nonce", "seen before")
		}
		if len(g.recent) >= StoredNonces {
			g.recent = slices.Delete(g.recent, 0, len(g.recent)-StoredNonces+1)
		}
		g.recent = append(g.recent, string(nonce))
	} else if !g.remember(nonce, now) {
		return 0, nil, ts, signatureError("nonce", "seen before")
	}
	g.lastSeq = seq
	return seq, nonce, ts, nil
}

// remember reports whether the nonce is new, and records it.
func (g *Guard) remember(nonce []byte, now time.Time) bool {
	if g.since.IsZero() {
		g.since = now
	}
	at := now.Sub(g.since)
	for g.count > 0 && at-g.ring[g.head].at > NonceWindow {
		g.dropOldest()
	}
	hash := maphash.Bytes(g.seed, nonce)
	if g.knows(hash) {
		return false
	}
	if g.count == MaxNonces {
		g.dropOldest()
	}
	if g.count == len(g.ring) {
		grown := make([]nonceEntry, max(minNonceSlots, min(2*len(g.ring), MaxNonces)))
		n := copy(grown, g.ring[g.head:])
		copy(grown[n:], g.ring[:g.head])
		g.ring, g.head = grown, 0
	}
	g.ring[(g.head+g.count)%len(g.ring)] = nonceEntry{hash: hash, at: at}
	g.count++
	switch {
	case g.seen != nil:
		g.seen[hash] = struct{}{}
	case g.count > maxListed:
		g.seen = make(map[uint64]struct{}, 2*maxListed)
		for i := range g.count {
			g.seen[g.ring[(g.head+i)%len(g.ring)].hash] = struct{}{}
		}
	}
	return true
}

// knows reports whether a nonce with this hash is remembered.
func (g *Guard) knows(hash uint64) bool {
	if g.seen != nil {
		_, ok := g.seen[hash]
		return ok
	}
	for i := range g.count {
		if g.ring[(g.head+i)%len(g.ring)].hash == hash {
			return true
		}
	}
	return false
}

func (g *Guard) dropOldest() {
	delete(g.seen, g.ring[g.head].hash)
	g.head = (g.head + 1) % len(g.ring)
	g.count--
	if g.count <= maxListed/2 {
		g.seen = nil
	}
}
