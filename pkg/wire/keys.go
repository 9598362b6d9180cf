// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined over SHA-1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/google/uuid"
)

const (
	projectKeyLabel = "z4j-project-secret-v1:"
	tokenHashLabel  = "z4j-agent-token-v1"
)

// ProjectKey derives the signing key all agents of a project share. It is never stored: the master secret
// (the UTF-8 bytes of the setting, used as given) and the project's UUID are enough.
func ProjectKey(master []byte, project uuid.UUID) [32]byte {
	m := hmac.New(sha256.New, master)
	m.Write([]byte(projectKeyLabel))
	// The UUID enters in Microsoft order: the first three fields byte-swapped, the rest unchanged.
	le := [16]byte(project)
	le[0], le[1], le[2], le[3] = le[3], le[2], le[1], le[0]
	le[4], le[5] = le[5], le[4]
	le[6], le[7] = le[7], le[6]
	m.Write(le[:])
	var key [32]byte
	m.Sum(key[:0])
	return key
}

// HMACSecretText is the project key as it is shown once to the user and put into Z4J_HMAC_SECRET.
func HMACSecretText(key [32]byte) string {
	return base64.URLEncoding.EncodeToString(key[:])
}

// TokenHash is what is stored and looked up for an agent's bearer token.
func TokenHash(master []byte, token string) string {
	key := make([]byte, 0, len(master)+len(tokenHashLabel))
	key = append(append(key, master...), tokenHashLabel...)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(token))
	return hex.EncodeToString(m.Sum(nil))
}

// PurgeToken confirms a purge: the agent recomputes it with the depth it measures itself.
func PurgeToken(key [32]byte, queue string, depth int64) string {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte("purge|" + queue + "|" + strconv.FormatInt(depth, 10)))
	return hex.EncodeToString(m.Sum(nil))
}

// eventNamespace is c4d2c84e-2f0a-4b6c-9c5b-1d6f9a1e7c2a, fixed by the protocol.
func eventNamespace() [16]byte {
	return [16]byte{0xc4, 0xd2, 0xc8, 0x4e, 0x2f, 0x0a, 0x4b, 0x6c, 0x9c, 0x5b, 0x1d, 0x6f, 0x9a, 0x1e, 0x7c, 0x2a}
}

// EventID is the stored identity of an event that belongs to a task: the same task and kind within one
// second is one event, whoever reports it and under whatever id. project is the lower-case dashed UUID.
func EventID(project, engine, taskID, kind string, unixSeconds int64) uuid.UUID {
	var stack [320]byte
	ns := eventNamespace()
	name := append(stack[:0], ns[:]...)
	name = append(name, project...)
	name = append(name, ':')
	name = append(name, engine...)
	name = append(name, ':')
	name = append(name, taskID...)
	name = append(name, ':')
	name = append(name, kind...)
	name = append(name, ':')
	name = strconv.AppendInt(name, unixSeconds, 10)
	return uuid5(name)
}

// LooseEventID is the stored identity of an event without a task id. ok is false when the sender's event id
// is not a dashed version 4 or 7 UUID; such an event gets a random id and is never de-duplicated.
func LooseEventID(project, eventID string) (id uuid.UUID, ok bool) {
	if len(eventID) != 36 {
		return uuid.Nil, false
	}
	parsed, err := uuid.Parse(eventID)
	if err != nil || (parsed.Version() != 4 && parsed.Version() != 7) || parsed.Variant() != uuid.RFC4122 {
		return uuid.Nil, false
	}
	var stack [128]byte
	ns := eventNamespace()
	name := append(stack[:0], ns[:]...)
	name = append(name, project...)
	name = append(name, ':')
	name = append(name, parsed.String()...)
	return uuid5(name), true
}

// uuid5 hashes namespace and name, already joined.
func uuid5(name []byte) uuid.UUID {
	sum := sha1.Sum(name) //nolint:gosec // UUIDv5 is defined over SHA-1
	var id uuid.UUID
	copy(id[:], sum[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}
