// SPDX-License-Identifier: AGPL-3.0-or-later

package decode

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// Limits of what one heartbeat may report.
const (
	maxDepths       = 1024
	maxWorkers      = 1024
	maxWorkerQueues = 256
	maxDepth        = int64(1) << 53
	maxMetadata     = 256 << 10
)

// Suffixes of adapter_health keys; what stands before them is the engine.
const (
	healthDepths  = ".queue_depths"
	healthWorkers = ".worker_details"
	healthBroker  = ".broker_type"
)

// Heartbeat decodes a heartbeat payload. Never nil: that the agent lives is news enough.
func (d *Decoder) Heartbeat(payload []byte) *store.HeartbeatInput {
	h := wire.DecodeHeartbeat(payload)
	in := new(store.HeartbeatInput)
	keys := make([]string, 0, len(h.AdapterHealth))
	for k := range h.AdapterHealth {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if engine, ok := strings.CutSuffix(k, healthDepths); ok && engineName(engine) {
			depths(in, engine, clean(h.AdapterHealth[engine+healthBroker]), h.AdapterHealth[k])
		}
		if engine, ok := strings.CutSuffix(k, healthWorkers); ok && engineName(engine) {
			d.workers(in, engine, h.AdapterHealth[k])
		}
	}
	return in
}

func engineName(s string) bool {
	return s != "" && !longer(s, maxEngine) && strings.IndexByte(s, 0) < 0
}

// clean bounds a name and drops what a database text can't hold.
func clean(s string) string { return cut(strings.ReplaceAll(s, "\x00", ""), maxName) }

func depths(in *store.HeartbeatInput, engine, broker, doc string) {
	raw := []byte(doc)
	if wire.Valid(raw) != nil || !wire.IsObject(raw) {
		return
	}
	_ = wire.ScanObject(raw, func(key, value []byte) error {
		n, ok := wire.IntOf(value)
		name := clean(string(key))
		if ok && n >= 0 && n <= maxDepth && name != "" && len(in.Depths) < maxDepths {
			in.Depths = append(in.Depths, store.QueueDepth{Engine: engine, Name: name, Pending: n, BrokerType: broker})
		}
		return nil
	})
}

// workerDetails is what is read of a worker's report; everything else is only kept as metadata.
type workerDetails struct {
	Hostname string `json:"hostname"`
	Stats    struct {
		PID  *int64 `json:"pid"`
		Pool struct {
			MaxConcurrency *int64          `json:"max-concurrency"`
			Processes      json.RawMessage `json:"processes"`
		} `json:"pool"`
		LoadAvg json.RawMessage `json:"loadavg"`
	} `json:"stats"`
	Active       []json.RawMessage `json:"active"`
	ActiveQueues []struct {
		Name string `json:"name"`
	} `json:"active_queues"`
}

func (d *Decoder) workers(in *store.HeartbeatInput, engine, doc string) {
	raw := []byte(doc)
	if wire.Valid(raw) != nil || !wire.IsObject(raw) {
		return
	}
	_ = wire.ScanObject(raw, func(key, value []byte) error {
		name := clean(string(key))
		if name == "" || !wire.IsObject(value) || len(in.Workers) >= maxWorkers {
			return nil
		}
		var w workerDetails
		// A member of the wrong type leaves its field empty and the others filled.
		_ = json.Unmarshal(value, &w)
		r := store.WorkerReport{
			Engine: engine, Name: name, Hostname: hostname(w.Hostname, name), PID: positive(w.Stats.PID),
			Concurrency: concurrency(w), ActiveTasks: int64(len(w.Active)), Metadata: d.metadata(value),
		}
		if w.ActiveQueues != nil { // a worker that has no time answers only some of its agent's questions
			r.Queues = []string{}
		}
		for _, q := range w.ActiveQueues {
			if q := clean(q.Name); q != "" && len(r.Queues) < maxWorkerQueues && !slices.Contains(r.Queues, q) {
				r.Queues = append(r.Queues, q)
			}
		}
		if wire.IsArray(w.Stats.LoadAvg) && len(w.Stats.LoadAvg) < maxName {
			r.LoadAverage = string(w.Stats.LoadAvg)
		}
		in.Workers = append(in.Workers, r)
		return nil
	})
}

// hostname is the reported one, or what stands behind the @ of a Celery worker's name.
func hostname(reported, worker string) string {
	if reported != "" {
		return clean(reported)
	}
	_, host, _ := strings.Cut(worker, "@")
	return host
}

func positive(n *int64) *int64 {
	if n == nil || *n < 0 {
		return nil
	}
	return n
}

func concurrency(w workerDetails) *int64 {
	if n := positive(w.Stats.Pool.MaxConcurrency); n != nil {
		return n
	}
	p := w.Stats.Pool.Processes
	if n, ok := wire.IntOf(p); ok && n >= 0 {
		return &n
	}
	if !wire.IsArray(p) {
		return nil
	}
	var n int64
	_ = wire.ScanArray(p, func([]byte) error { n++; return nil })
	return &n
}

// metadata keeps the protocol's members of a worker's report, redacted.
func (d *Decoder) metadata(value []byte) string {
	b := []byte{'{'}
	_ = wire.ScanMembers(value, func(name, v []byte) error {
		switch string(name) {
		case `"stats"`, `"active"`, `"active_queues"`, `"registered"`, `"conf"`:
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(append(append(b, name...), ':'), v...)
		}
		return nil
	})
	b = append(b, '}')
	if len(b) > maxMetadata {
		return "{}"
	}
	red, _ := d.Redact.JSON(nil, b)
	return string(red)
}
