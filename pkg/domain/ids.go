// SPDX-License-Identifier: AGPL-3.0-or-later

package domain

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// TaskUID derives the public id of a task row from its key, so that no column and no index has to
// hold it: a version 8 UUID of seven installation bytes and the key. KeyOfTask is its inverse.
func TaskUID(installation uuid.UUID, key int64) uuid.UUID {
	var u uuid.UUID
	copy(u[:6], installation[:6])
	u[6] = 0x80 | installation[6]&0x0f
	u[7] = installation[7]
	binary.BigEndian.PutUint64(u[8:], uint64(key)) //nolint:gosec // keys are positive and below 2^62
	u[8] = u[8]&0x3f | 0x80
	return u
}

// KeyOfTask returns the key inside a task's public id; ok is false for an id of another origin.
func KeyOfTask(installation, uid uuid.UUID) (key int64, ok bool) {
	var b [8]byte
	copy(b[:], uid[8:])
	b[0] &= 0x3f
	key = int64(binary.BigEndian.Uint64(b[:])) //nolint:gosec // the two top bits are clear
	return key, TaskUID(installation, key) == uid
}
