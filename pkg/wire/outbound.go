// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"strconv"
	"time"
)

// EventBatchAck confirms a batch: the agent deletes it, whatever the counts. Rejected is what was received but
// not newly stored, duplicates included.
type EventBatchAck struct {
	// AckedID is the batch frame's id.
	AckedID  string
	Received int
	Accepted int
}

// FrameID is the ack frame's own id: `eba_` and the acked id, cut to 64 characters.
func (a EventBatchAck) FrameID() string { return cut("eba_"+a.AckedID, MaxIDLength) }

// AppendPayload appends the payload object.
func (a EventBatchAck) AppendPayload(dst []byte) []byte {
	dst = append(dst, `{"acked_id":`...)
	dst = AppendString(dst, a.AckedID)
	dst = append(dst, `,"received":`...)
	dst = strconv.AppendInt(dst, int64(a.Received), 10)
	dst = append(dst, `,"accepted":`...)
	dst = strconv.AppendInt(dst, int64(a.Accepted), 10)
	dst = append(dst, `,"rejected":`...)
	dst = strconv.AppendInt(dst, int64(a.Received-a.Accepted), 10)
	return append(dst, '}')
}

// SignEventBatchAck appends a signed event_batch_ack frame.
func (s *Signer) SignEventBatchAck(dst []byte, a EventBatchAck, ts time.Time) ([]byte, error) {
	var stack [192]byte
	return s.Sign(dst, a.FrameID(), TypeEventBatchAck, a.AppendPayload(stack[:0]), ts)
}

// Command is the payload of a command frame, whose id is the command's UUID.
type Command struct {
	Action string
	// Target and Parameters are raw JSON objects; nil means {}. See [AppendTarget].
	Target     []byte
	Parameters []byte
	// TimeoutSeconds is informational: agents do not enforce it.
	TimeoutSeconds int
	// IssuedBy and DeliveryClaimToken are UUIDs; "" is sent as null.
	IssuedBy           string
	DeliveryClaimToken string
}

// AppendPayload appends the payload object.
func (c Command) AppendPayload(dst []byte) []byte {
	dst = append(dst, `{"action":`...)
	dst = AppendString(dst, c.Action)
	dst = append(dst, `,"target":`...)
	dst = appendObject(dst, c.Target)
	dst = append(dst, `,"parameters":`...)
	dst = appendObject(dst, c.Parameters)
	dst = append(dst, `,"timeout_seconds":`...)
	dst = strconv.AppendInt(dst, int64(c.TimeoutSeconds), 10)
	dst = append(dst, `,"issued_by":`...)
	dst = appendNullable(dst, c.IssuedBy)
	dst = append(dst, `,"delivery_claim_token":`...)
	dst = appendNullable(dst, c.DeliveryClaimToken)
	return append(dst, '}')
}

// SignCommand appends a signed command frame.
func (s *Signer) SignCommand(dst []byte, id string, c Command, ts time.Time) ([]byte, error) {
	return s.Sign(dst, id, TypeCommand, c.AppendPayload(nil), ts)
}

// DecodeCommand reads a command payload, as an agent would.
func DecodeCommand(payload []byte) Command {
	var c Command
	_ = ScanObject(payload, func(key, value []byte) error {
		switch string(key) {
		case "action":
			c.Action, _ = StringOf(value)
		case "target":
			c.Target = value
		case "parameters":
			c.Parameters = value
		case "timeout_seconds":
			n, _ := IntOf(value)
			c.TimeoutSeconds = int(n)
		case "issued_by":
			c.IssuedBy, _ = StringOf(value)
		case "delivery_claim_token":
			c.DeliveryClaimToken, _ = StringOf(value)
		}
		return nil
	})
	return c
}

// AppendTarget appends a command's target object `{type, id, engine?, scheduler?}`. id "" is sent as null. The
// engine is parameters.filter.engine if filter is an object, otherwise parameters.engine; the scheduler is
// parameters.scheduler.
func AppendTarget(dst []byte, kind, id string, parameters []byte) []byte {
	var engine, filterEngine, scheduler []byte
	filtered := false
	_ = ScanObject(parameters, func(key, value []byte) error {
		switch string(key) {
		case "engine":
			engine = value
		case "scheduler":
			scheduler = value
		case "filter":
			filtered, filterEngine = IsObject(value), nil
			if filtered {
				return ScanObject(value, func(k, v []byte) error {
					if string(k) == "engine" {
						filterEngine = v
					}
					return nil
				})
			}
		}
		return nil
	})
	if filtered {
		engine = filterEngine
	}
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, kind)
	dst = append(dst, `,"id":`...)
	dst = appendNullable(dst, id)
	if IsString(engine) {
		dst = append(append(dst, `,"engine":`...), engine...)
	}
	if IsString(scheduler) {
		dst = append(append(dst, `,"scheduler":`...), scheduler...)
	}
	return append(dst, '}')
}

// AppendPayload appends the payload object.
func (e ErrorFrame) AppendPayload(dst []byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = AppendString(dst, cut(e.Code, 80))
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, cut(e.Message, MaxErrorText))
	dst = append(dst, `,"fatal":`...)
	dst = strconv.AppendBool(dst, e.Fatal)
	return append(dst, '}')
}

// SignError appends a signed error frame.
func (s *Signer) SignError(dst []byte, id string, e ErrorFrame, ts time.Time) ([]byte, error) {
	return s.Sign(dst, cut(id, MaxIDLength), TypeError, e.AppendPayload(nil), ts)
}

func appendObject(dst, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, '{', '}')
	}
	return append(dst, raw...)
}

func appendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}
