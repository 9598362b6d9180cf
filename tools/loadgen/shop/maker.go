// SPDX-License-Identifier: AGPL-3.0-or-later

package shop

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// maker draws values. The same seed draws the same ones.
type maker struct{ rng *rand.Rand }

func newMaker(seed uint64) *maker {
	//nolint:gosec // made-up data must be repeatable, not secret
	return &maker{rng: rand.New(rand.NewPCG(seed, 0x7a346a))}
}

func (m *maker) between(low, high int) int { return low + m.rng.IntN(high-low+1) }

// id is a number as databases have them.
func (m *maker) id() int { return m.between(10_000, 990_000) }

func (m *maker) chance(p float64) bool { return m.rng.Float64() < p }

func (m *maker) pick(of ...string) string { return of[m.rng.IntN(len(of))] }

func (m *maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
	return b
}

func (m *maker) hex(n int) string { return hex.EncodeToString(m.bytes((n + 1) / 2))[:n] }

// uuid is a version 4 UUID.
func (m *maker) uuid() string {
	id := uuid.UUID(m.bytes(16))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// seconds is a log-normal time with the given median.
func (m *maker) seconds(median, spread float64) time.Duration {
	return time.Duration(median * math.Exp(spread*m.rng.NormFloat64()) * float64(time.Second))
}

// customer is a name as a JSON string; product is a title.
func (m *maker) customer() string {
	return quoted(m.pick("Zoë Müller-Łukasiewicz", "山田 花子", "مريم عبد الله", "João da Conceição", "Anne O'Neill", "Søren Kjær", "Иван Петров", "Nguyễn Thị Mai"))
}

func (m *maker) product() string {
	return quoted(m.pick("Gießkanne 10 l, verzinkt", "包丁 三徳 165mm", "Koc wełniany 150×200", "Rain jacket “Fjord”", "Kaffeemühle № 3", "مصباح مكتب", "Set of 6 glasses <hand-blown> & boxed"))
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
