// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxListItem bounds one name in hello's lists, which the protocol leaves open.
const maxListItem = 200

// Hello is the content of the first frame of a connection.
type Hello struct {
	// ID is the frame's id.
	ID              string
	ProtocolVersion string
	AgentVersion    string
	Framework       string
	Engines         []string
	Schedulers      []string
	// Capabilities maps an adapter (engine or scheduler) to what it can do.
	Capabilities map[string][]string
	// Host is the raw JSON object; HostName its "name", if any.
	Host     []byte
	HostName string
	// WorkerID is "" for agents without worker identity: one legacy slot per agent.
	WorkerID   string
	WorkerRole string
	// WorkerPID is -1 when unknown.
	WorkerPID       int64
	WorkerStartedAt time.Time
	RuntimeFeatures []string
}

// HasFeature reports whether the agent announced a runtime feature.
func (h *Hello) HasFeature(name string) bool {
	return slices.Contains(h.RuntimeFeatures, name)
}

// Has reports whether an adapter announced a capability.
func (h *Hello) Has(adapter, capability string) bool {
	return slices.Contains(h.Capabilities[adapter], capability)
}

// ParseHello reads and validates the first frame strictly; the [*Error] names the member at fault. Whatever
// the class, the close code before the handshake is 4400. Which ProtocolVersion is admitted is the caller's decision
// (4426). Everything in the result is a copy, Host included.
func ParseHello(frame []byte) (*Hello, error) {
	c := acquireCanon()
	defer c.release()
	if err := c.parseFrame(frame, nil, DefaultMaxDepth); err != nil {
		return nil, err
	}
	env, err := c.envelope()
	if err != nil {
		return nil, err
	}
	if env.Type != TypeHello {
		return nil, protocolError("type", "the first frame must be hello, not %s", env.Type)
	}
	h := &Hello{WorkerPID: -1, Host: []byte("{}")}
	if h.ID, err = c.frameID(); err != nil {
		return nil, err
	}
	if h.ID == "" {
		return nil, protocolError("id", "must be a string of 1 to 64 characters")
	}
	if ts := c.raw(fieldTS); !IsNull(ts) {
		text, ok := textOf(ts)
		if !ok {
			return nil, protocolError("ts", "must be an RFC 3339 string or null")
		}
		if _, _, ok := ParseTime(text); !ok {
			return nil, protocolError("ts", "must be an RFC 3339 string or null")
		}
	}
	if env.Payload == nil {
		return nil, protocolError("payload", "missing")
	}
	if err := h.decode(env.Payload); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Hello) decode(payload []byte) error {
	var seen struct{ protocol, agent, framework bool }
	err := ScanObject(payload, func(key, value []byte) error {
		var err error
		switch string(key) {
		case "protocol_version":
			seen.protocol = true
			h.ProtocolVersion, err = strictString("protocol_version", value, 40, false)
		case "agent_version":
			seen.agent = true
			h.AgentVersion, err = strictString("agent_version", value, 40, false)
		case "framework":
			seen.framework = true
			h.Framework, err = strictString("framework", value, 40, false)
		case "engines":
			h.Engines, err = strictStrings("engines", value, 64)
		case "schedulers":
			h.Schedulers, err = strictStrings("schedulers", value, 64)
		case "runtime_features":
			h.RuntimeFeatures, err = strictStrings("runtime_features", value, 64)
		case "capabilities":
			h.Capabilities, err = strictCapabilities(value)
		case "host":
			err = h.decodeHost(value)
		case "worker_id":
			h.WorkerID, err = strictString("worker_id", value, 128, true)
		case "worker_role":
			h.WorkerRole, err = strictString("worker_role", value, 32, true)
		case "worker_pid":
			h.WorkerPID = -1
			if !IsNull(value) {
				pid, ok := IntOf(value)
				if !ok || pid < 0 || pid > 1<<31-1 {
					return payloadError("worker_pid", "must be an integer from 0 to 2147483647, or null")
				}
				h.WorkerPID = pid
			}
		case "worker_started_at":
			h.WorkerStartedAt, err = strictTime("worker_started_at", value)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !seen.protocol:
		return payloadError("protocol_version", "missing")
	case !seen.agent:
		return payloadError("agent_version", "missing")
	case !seen.framework:
		return payloadError("framework", "missing")
	}
	return nil
}

func (h *Hello) decodeHost(value []byte) error {
	if !IsObject(value) {
		return payloadError("host", "must be an object")
	}
	h.Host = append([]byte(nil), value...)
	h.HostName = ""
	return ScanObject(value, func(key, v []byte) error {
		if string(key) == "name" {
			h.HostName, _ = StringOf(v)
		}
		return nil
	})
}

func payloadError(name, format string, args ...any) error {
	return protocolError("payload."+name, format, args...)
}

func strictString(name string, raw []byte, limit int, nullable bool) (string, error) {
	if nullable && IsNull(raw) {
		return "", nil
	}
	s, ok := StringOf(raw)
	if !ok {
		if nullable {
			return "", payloadError(name, "must be a string or null")
		}
		return "", payloadError(name, "must be a string")
	}
	if len(s) > limit && utf8.RuneCountInString(s) > limit {
		return "", payloadError(name, "longer than %d characters", limit)
	}
	return s, nil
}

func strictStrings(name string, raw []byte, limit int) ([]string, error) {
	if !IsArray(raw) {
		return nil, payloadError(name, "must be a list of strings")
	}
	var list []string
	err := ScanArray(raw, func(value []byte) error {
		if len(list) == limit {
			return payloadError(name, "has more than %d entries", limit)
		}
		s, err := strictString(name+"["+strconv.Itoa(len(list))+"]", value, maxListItem, false)
		list = append(list, s)
		return err
	})
	return list, err
}

func strictCapabilities(raw []byte) (map[string][]string, error) {
	if !IsObject(raw) {
		return nil, payloadError("capabilities", "must be an object of lists")
	}
	caps := make(map[string][]string)
	err := ScanObject(raw, func(key, value []byte) error {
		if len(caps) >= 128 {
			return payloadError("capabilities", "has more than 128 entries")
		}
		if len(key) > maxListItem {
			return payloadError("capabilities", "has a name longer than %d bytes", maxListItem)
		}
		list, err := strictStrings("capabilities."+string(key), value, 256)
		caps[string(key)] = list
		return err
	})
	return caps, err
}

func strictTime(name string, raw []byte) (time.Time, error) {
	if IsNull(raw) {
		return time.Time{}, nil
	}
	text, ok := textOf(raw)
	if !ok {
		return time.Time{}, payloadError(name, "must be an RFC 3339 string or null")
	}
	t, _, ok := ParseTime(text)
	if !ok {
		return time.Time{}, payloadError(name, "must be an RFC 3339 string or null")
	}
	return t, nil
}

// HelloAck is the brain's answer to hello, the one frame it sends unsigned.
type HelloAck struct {
	ProtocolVersion          string
	BrainVersion             string
	AgentID                  string
	ProjectID                string
	SessionID                string
	HeartbeatIntervalSeconds int
	MaxFrameSizeBytes        int
	TS                       time.Time
}

// AppendHelloAck appends the complete frame. Its id is `hack_` and the first 12 hex digits of the session id.
func AppendHelloAck(dst []byte, a HelloAck) []byte {
	short := make([]byte, 0, 12)
	for i := 0; i < len(a.SessionID) && len(short) < 12; i++ {
		if a.SessionID[i] != '-' {
			short = append(short, a.SessionID[i])
		}
	}
	dst = append(dst, `{"v":2,"id":`...)
	dst = AppendString(dst, "hack_"+string(short))
	dst = append(dst, `,"ts":"`...)
	dst = AppendTime(dst, a.TS)
	dst = append(dst, `","type":"hello_ack","payload":{"protocol_version":`...)
	dst = AppendString(dst, a.ProtocolVersion)
	dst = append(dst, `,"brain_version":`...)
	dst = AppendString(dst, a.BrainVersion)
	dst = append(dst, `,"agent_id":`...)
	dst = AppendString(dst, a.AgentID)
	dst = append(dst, `,"project_id":`...)
	dst = AppendString(dst, a.ProjectID)
	dst = append(dst, `,"session_id":`...)
	dst = AppendString(dst, a.SessionID)
	dst = append(dst, `,"heartbeat_interval_seconds":`...)
	dst = strconv.AppendInt(dst, int64(a.HeartbeatIntervalSeconds), 10)
	dst = append(dst, `,"max_frame_size_bytes":`...)
	dst = strconv.AppendInt(dst, int64(a.MaxFrameSizeBytes), 10)
	return append(dst, `}}`...)
}
