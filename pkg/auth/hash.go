// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// Params are the cost parameters of an argon2id hash.
type Params struct {
	Time    uint32 // passes over the memory
	Memory  uint32 // KiB
	Threads uint8
	Salt    uint32 // bytes
	Key     uint32 // bytes
}

// DefaultParams are the parameters new hashes get.
func DefaultParams() Params {
	return Params{Time: 3, Memory: 64 * 1024, Threads: 4, Salt: 16, Key: 32}
}

// Bounds on the parameters of a stored hash: a damaged or planted row must not be able to make one login
// take gigabytes or minutes.
const (
	maxTime    = 16
	maxMemory  = 256 * 1024
	maxThreads = 16
	maxSalt    = 64
	maxKey     = 64
)

// ErrBusy says that too many password checks are under way and waiting; the caller answers 503 and the
// client tries again.
var ErrBusy = errors.New("too many password checks at once")

// ErrBadHash marks a stored hash that is not an argon2id PHC string within our bounds.
var ErrBadHash = errors.New("not a usable argon2id hash")

// HasherConfig tunes a Hasher. The zero value is right for production.
type HasherConfig struct {
	// Params of new hashes; the zero value takes DefaultParams.
	Params Params
	// Slots is how many hashes are computed at once, each taking Params.Memory; 0 takes one per CPU, at most 4.
	Slots int
	// Queue is how many callers may wait for a slot before ErrBusy; 0 takes 64.
	Queue int
}

// Hasher computes and checks password hashes, a bounded number at a time so that a flood of logins cannot
// exhaust memory. It is safe for concurrent use.
type Hasher struct {
	params Params
	slots  chan struct{}
	tokens chan struct{} // slots plus waiters
	dummy  string
	// releasing is set while releaseSoon waits.
	releasing atomic.Bool
}

// NewHasher builds a Hasher. It hashes nothing yet: the dummy for unknown users is made of random bytes.
func NewHasher(cfg HasherConfig) *Hasher {
	if cfg.Params == (Params{}) {
		cfg.Params = DefaultParams()
	}
	if cfg.Slots <= 0 {
		cfg.Slots = min(runtime.GOMAXPROCS(0), 4)
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 64
	}
	h := &Hasher{
		params: cfg.Params,
		slots:  make(chan struct{}, cfg.Slots),
		tokens: make(chan struct{}, cfg.Slots+cfg.Queue),
	}
	h.dummy = encodePHC(cfg.Params, randomBytes(int(cfg.Params.Salt)), randomBytes(int(cfg.Params.Key)))
	return h
}

// Hash returns the PHC string of a password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := randomBytes(int(h.params.Salt))
	key, err := h.derive(ctx, password, h.params, salt)
	if err != nil {
		return "", err
	}
	return encodePHC(h.params, salt, key), nil
}

// Verify reports whether the password is the one of the stored hash, and, when it is, whether the caller
// should store a new hash: the present parameters are stronger somewhere and weaker nowhere.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (ok, rehash bool, err error) {
	p, salt, want, err := parsePHC(stored)
	if err != nil {
		return false, false, err
	}
	got, err := h.derive(ctx, password, p, salt)
	if err != nil {
		return false, false, err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return false, false, nil
	}
	return true, h.params.grewFrom(p), nil
}

// VerifyDummy spends the time of a Verify on a hash nobody has. Call it for an unknown or inactive user, so
// that the time of the answer does not tell whether an address has an account.
func (h *Hasher) VerifyDummy(ctx context.Context, password string) error {
	_, _, err := h.Verify(ctx, h.dummy, password)
	return err
}

func (h *Hasher) derive(ctx context.Context, password string, p Params, salt []byte) ([]byte, error) {
	select {
	case h.tokens <- struct{}{}:
		defer func() { <-h.tokens }()
	default:
		return nil, ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a password check: %w", ctx.Err())
	}
	key := argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, p.Key)
	h.releaseSoon()
	return key, nil
}

// releaseAfter is how long the memory of a hash stays for the next one.
const releaseAfter = 2 * time.Second

// releaseSoon gives the tens of MiB of a hash back to the system: people sign in rarely, and the runtime
// alone would keep them for minutes.
func (h *Hasher) releaseSoon() {
	if h.releasing.CompareAndSwap(false, true) {
		time.AfterFunc(releaseAfter, func() {
			h.releasing.Store(false)
			debug.FreeOSMemory()
		})
	}
}

// grewFrom reports whether p is at least as strong as old everywhere and stronger somewhere.
func (p Params) grewFrom(old Params) bool {
	return p != old && p.Time >= old.Time && p.Memory >= old.Memory && p.Threads >= old.Threads &&
		p.Salt >= old.Salt && p.Key >= old.Key
}

func encodePHC(p Params, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Time, p.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

func parsePHC(s string) (p Params, salt, key []byte, err error) {
	fields := strings.Split(s, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, ErrBadHash
	}
	params := strings.Split(fields[3], ",")
	if len(params) != 3 {
		return p, nil, nil, ErrBadHash
	}
	var values [3]uint64
	for i, rule := range []struct {
		prefix string
		limit  uint64
	}{{"m=", maxMemory}, {"t=", maxTime}, {"p=", maxThreads}} {
		text, found := strings.CutPrefix(params[i], rule.prefix)
		if !found {
			return p, nil, nil, ErrBadHash
		}
		values[i], err = strconv.ParseUint(text, 10, 32)
		if err != nil || values[i] == 0 || values[i] > rule.limit {
			return p, nil, nil, ErrBadHash
		}
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(fields[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(fields[5])
	if saltErr != nil || keyErr != nil || len(salt) < 8 || len(salt) > maxSalt || len(key) < 16 || len(key) > maxKey {
		return p, nil, nil, ErrBadHash
	}
	return Params{
		Memory: uint32(values[0]), Time: uint32(values[1]), Threads: uint8(values[2]), //nolint:gosec // bounded above
		Salt: uint32(len(salt)), Key: uint32(len(key)), //nolint:gosec // bounded above
	}, salt, key, nil
}

// randomBytes reads n bytes from the system's random source, which never fails (crypto/rand aborts the
// process instead).
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
