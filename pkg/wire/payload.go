// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"time"
	"unicode/utf8"
)

// Limits of payload members.
const (
	MaxErrorText   = 8192
	MaxCounter     = 1<<53 - 1
	MaxHealthKeys  = 256
	maxAdapters    = 32
	maxStatusNames = 32
)

// Heartbeat is an agent's sign of life. Members that are missing or of the wrong type are zero.
type Heartbeat struct {
	BufferSize    int64
	DroppedEvents int64
	LastFlushAt   time.Time
	TelemetryLoss *TelemetryLoss
	// AdapterHealth maps `<engine>.<name>` to text, at most MaxHealthKeys entries.
	AdapterHealth map[string]string
}

// DecodeHeartbeat reads a heartbeat payload leniently.
func DecodeHeartbeat(payload []byte) Heartbeat {
	var h Heartbeat
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "buffer_size":
			h.BufferSize = lenientCount(value)
		case "dropped_events":
			h.DroppedEvents = lenientCount(value)
		case "last_flush_at":
			h.LastFlushAt = lenientTime(value)
		case "telemetry_loss":
			h.TelemetryLoss = lenientLoss(value)
		case "adapter_health":
			h.AdapterHealth = nil
			if !IsObject(value) {
				return nil
			}
			h.AdapterHealth = make(map[string]string)
			return ScanObject(value, func(k, v []byte) error {
				if s, ok := StringOf(v); ok && len(h.AdapterHealth) < MaxHealthKeys {
					h.AdapterHealth[string(k)] = s
				}
				return nil
			})
		}
		return nil
	})
	return h
}

// AgentStatus is an agent's report on itself. Members that are missing or of the wrong type are zero.
type AgentStatus struct {
	TelemetryLoss           *TelemetryLoss
	AuthFailureStreak       int64
	ProtocolFailureStreak   int64
	ConnectionFailureStreak int64
	LastSuccessfulConnectAt time.Time
	// CurrentSessionAge and BufferOldestAge are seconds; -1 when null or absent.
	CurrentSessionAge float64
	BufferDepth       int64
	BufferOldestAge   float64
	AgentVersion      string
	ProtocolVersion   string
	Engines           []string
	Schedulers        []string
}

// DecodeAgentStatus reads an agent_status payload leniently.
func DecodeAgentStatus(payload []byte) AgentStatus {
	a := AgentStatus{CurrentSessionAge: -1, BufferOldestAge: -1}
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "telemetry_loss":
			a.TelemetryLoss = lenientLoss(value)
		case "auth_failure_streak":
			a.AuthFailureStreak = lenientCount(value)
		case "protocol_failure_streak":
			a.ProtocolFailureStreak = lenientCount(value)
		case "connection_failure_streak":
			a.ConnectionFailureStreak = lenientCount(value)
		case "last_successful_connect_at":
			a.LastSuccessfulConnectAt = lenientTime(value)
		case "current_session_age_seconds":
			a.CurrentSessionAge = lenientAge(value)
		case "buffer_depth":
			a.BufferDepth = lenientCount(value)
		case "buffer_oldest_age_seconds":
			a.BufferOldestAge = lenientAge(value)
		case "agent_version":
			a.AgentVersion = cutString(value, 40)
		case "protocol_version":
			a.ProtocolVersion = cutString(value, 10)
		case "engines":
			a.Engines = lenientStrings(value, maxStatusNames)
		case "schedulers":
			a.Schedulers = lenientStrings(value, maxStatusNames)
		}
		return nil
	})
	return a
}

// TelemetryLoss are an agent's cumulative loss counters. The buffer's survive restarts of the same buffer
// file, the adapters' start again with each RuntimeID.
type TelemetryLoss struct {
	BufferID              string
	RuntimeID             string
	CapacityEvictedFrames int64
	ContentRejectedFrames int64
	EventRecords          int64
	CommandResults        int64
	OtherFrames           int64
	UnclassifiedFrames    int64
	AdapterEvents         map[string]int64
}

// DecodeTelemetryLoss reads and validates counters. Invalid ones end the connection.
func DecodeTelemetryLoss(raw []byte) (*TelemetryLoss, error) {
	if !IsObject(raw) {
		return nil, payloadError("telemetry_loss", "must be an object or null")
	}
	loss := new(TelemetryLoss)
	err := ScanObject(raw, func(key, value []byte) error {
		var err error
		switch string(key) {
		case "buffer_id":
			loss.BufferID, err = strictString("telemetry_loss.buffer_id", value, 64, false)
		case "runtime_id":
			loss.RuntimeID, err = strictString("telemetry_loss.runtime_id", value, 64, false)
		case "capacity_evicted_frames":
			loss.CapacityEvictedFrames, err = strictCounter("capacity_evicted_frames", value)
		case "content_rejected_frames":
			loss.ContentRejectedFrames, err = strictCounter("content_rejected_frames", value)
		case "event_records":
			loss.EventRecords, err = strictCounter("event_records", value)
		case "command_results":
			loss.CommandResults, err = strictCounter("command_results", value)
		case "other_frames":
			loss.OtherFrames, err = strictCounter("other_frames", value)
		case "unclassified_frames":
			loss.UnclassifiedFrames, err = strictCounter("unclassified_frames", value)
		case "adapter_events":
			loss.AdapterEvents, err = strictAdapterEvents(value)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case loss.BufferID == "":
		return nil, payloadError("telemetry_loss.buffer_id", "must be a string of 1 to 64 characters")
	case loss.RuntimeID == "":
		return nil, payloadError("telemetry_loss.runtime_id", "must be a string of 1 to 64 characters")
	}
	return loss, nil
}

func strictCounter(name string, raw []byte) (int64, error) {
	n, ok := IntOf(raw)
	if !ok || n < 0 || n > MaxCounter {
		return 0, payloadError("telemetry_loss."+name, "must be an integer from 0 to 2^53-1")
	}
	return n, nil
}

func strictAdapterEvents(raw []byte) (map[string]int64, error) {
	if !IsObject(raw) {
		return nil, payloadError("telemetry_loss.adapter_events", "must be an object of counters")
	}
	counts := make(map[string]int64)
	err := ScanObject(raw, func(key, value []byte) error {
		if utf8.RuneCount(key) > 64 {
			return payloadError("telemetry_loss.adapter_events", "has an engine name longer than 64 characters")
		}
		n, err := strictCounter("adapter_events", value)
		if err != nil {
			return err
		}
		counts[string(key)] = n
		if len(counts) > maxAdapters {
			return payloadError("telemetry_loss.adapter_events", "has more than %d entries", maxAdapters)
		}
		return nil
	})
	return counts, err
}

// CommandAck says a command was received; the frame's id is the command's.
type CommandAck struct{ DeliveryClaimToken string }

// DecodeCommandAck reads a command_ack payload leniently.
func DecodeCommandAck(payload []byte) CommandAck {
	var a CommandAck
	_ = ScanObject(payload, func(key, value []byte) error {
		if string(key) == "delivery_claim_token" {
			a.DeliveryClaimToken, _ = StringOf(value)
		}
		return nil
	})
	return a
}

// Command result statuses; the wire knows no others.
const (
	ResultSuccess = "success"
	ResultFailed  = "failed"
)

// CommandResult is the outcome of a command; the frame's id is the command's.
type CommandResult struct {
	Status string
	// Result is the raw JSON value, nil when null or absent.
	Result             []byte
	Error              string
	DeliveryClaimToken string
}

// DecodeCommandResult reads a command_result payload: leniently, except that status must be success or failed.
func DecodeCommandResult(payload []byte) (CommandResult, error) {
	var r CommandResult
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "status":
			r.Status, _ = StringOf(value)
		case "result":
			r.Result = nil
			if !IsNull(value) {
				r.Result = value
			}
		case "error":
			r.Error = cutString(value, MaxErrorText)
		case "delivery_claim_token":
			r.DeliveryClaimToken, _ = StringOf(value)
		}
		return nil
	})
	if r.Status != ResultSuccess && r.Status != ResultFailed {
		return CommandResult{}, payloadError("status", "must be success or failed")
	}
	return r, nil
}

// RegistryDelta is a change of an engine's task registry. Stock agents do not send it.
type RegistryDelta struct {
	Engine                  string
	Added, Removed, Updated int
}

// DecodeRegistryDelta reads a registry_delta payload leniently, counting the entries of its lists.
func DecodeRegistryDelta(payload []byte) RegistryDelta {
	var d RegistryDelta
	count := func(raw []byte) (n int) {
		_ = ScanArray(raw, func([]byte) error { n++; return nil })
		return n
	}
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "engine":
			d.Engine = cutString(value, 40)
		case "added":
			d.Added = count(value)
		case "removed":
			d.Removed = count(value)
		case "updated":
			d.Updated = count(value)
		}
		return nil
	})
	return d
}

// ErrorFrame is the payload of an error frame, in either direction.
type ErrorFrame struct {
	Code    string
	Message string
	Fatal   bool
}

// DecodeErrorFrame reads an error payload leniently.
func DecodeErrorFrame(payload []byte) ErrorFrame {
	var e ErrorFrame
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "code":
			e.Code = cutString(value, 80)
		case "message":
			e.Message = cutString(value, MaxErrorText)
		case "fatal":
			e.Fatal, _ = BoolOf(value)
		}
		return nil
	})
	return e
}

func lenientCount(raw []byte) int64 {
	n, ok := IntOf(raw)
	if !ok || n < 0 {
		return 0
	}
	return n
}

func lenientAge(raw []byte) float64 {
	f, ok := FloatOf(raw)
	if !ok || f < 0 {
		return -1
	}
	return f
}

func lenientTime(raw []byte) time.Time {
	text, ok := textOf(raw)
	if !ok {
		return time.Time{}
	}
	t, _, ok := ParseTime(text)
	if !ok {
		return time.Time{}
	}
	return t
}

func lenientLoss(raw []byte) *TelemetryLoss {
	loss, err := DecodeTelemetryLoss(raw)
	if err != nil {
		return nil
	}
	return loss
}

func lenientStrings(raw []byte, limit int) []string {
	var list []string
	_ = ScanArray(raw, func(value []byte) error {
		if s, ok := StringOf(value); ok && len(list) < limit {
			list = append(list, s)
		}
		return nil
	})
	return list
}

// cutString returns a raw string's text, cut to limit characters; "" for anything else.
func cutString(raw []byte, limit int) string {
	s, _ := StringOf(raw)
	return cut(s, limit)
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}
