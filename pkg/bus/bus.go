// SPDX-License-Identifier: AGPL-3.0-or-later

// Package bus carries hints between the parts of the brain: "something changed here, look". A hint is delivered
// at most once, may be lost at any moment, and never blocks whoever publishes it. Rows in the database are the
// truth, and everything a hint announces is also polled, so a lost hint costs time and nothing else.
//
// In one process the bus is Memory, between replicas Redis. Topics are built by the functions in this package only.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Bus publishes and receives hints. Implementations are safe for concurrent use.
type Bus interface {
	// Publish sends a hint and does not wait for anybody to get it. An error means that the hint was refused
	// for what it is (no topic, too large) or that the bus is closed; a hint that is merely lost is none.
	Publish(ctx context.Context, topic Topic, payload []byte) error
	// Subscribe receives the hints of the topics published from now on, until Close or the end of ctx.
	Subscribe(ctx context.Context, topics ...Topic) (Subscription, error)
	// Close ends every subscription and releases what the bus holds.
	Close() error
}

// Subscription is a bounded queue of hints. When its reader is slow, hints are dropped and counted.
type Subscription interface {
	// C delivers the hints, in the order of each publisher. It is closed when the subscription ends.
	C() <-chan Message
	// Close ends the subscription. It may be called more than once.
	Close()
}

// Message is one hint. The payload is shared by all its receivers and must not be changed.
type Message struct {
	Topic   Topic
	Payload []byte
}

// MaxPayload is the longest payload in bytes. A hint names what changed; it does not carry it.
const MaxPayload = 64 << 10

// queueLen is how many hints a subscription holds for its reader.
const queueLen = 256

// Errors of Publish and Subscribe.
var (
	ErrClosed   = errors.New("the bus is closed")
	ErrNoTopic  = errors.New("a hint needs a topic")
	ErrTooLarge = fmt.Errorf("a hint is at most %d bytes", MaxPayload)
)

// Topic says what hints are about. Only the functions below make one.
type Topic struct {
	name string
}

// String is the topic's name.
func (t Topic) String() string { return t.name }

// ProjectTasks announces changed tasks, events, queues and workers of a project.
func ProjectTasks(projectID int64) Topic { return projectTopic(projectID, "task") }

// ProjectCommands announces commands of a project that were made or changed.
func ProjectCommands(projectID int64) Topic { return projectTopic(projectID, "command") }

// ProjectAgents announces agents of a project that came, went or changed.
func ProjectAgents(projectID int64) Topic { return projectTopic(projectID, "agent") }

// ProjectArchived announces the end of a project: its agents are to be disconnected.
func ProjectArchived(projectID int64) Topic { return projectTopic(projectID, "archived") }

// AgentCommands announces commands waiting for an agent.
func AgentCommands(agentID int64) Topic { return agentTopic(agentID, "command") }

// AgentRevoked announces that an agent's token was revoked: its sockets are to be closed.
func AgentRevoked(agentID int64) Topic { return agentTopic(agentID, "revoked") }

// UserSessions announces that sessions of a user ended: its push sockets are to be closed.
func UserSessions(userID uuid.UUID) Topic { return Topic{"user." + userID.String() + ".sessions"} }

func projectTopic(id int64, kind string) Topic {
	return Topic{"project." + strconv.FormatInt(id, 10) + "." + kind}
}

func agentTopic(id int64, kind string) Topic {
	return Topic{"agent." + strconv.FormatInt(id, 10) + "." + kind}
}

func check(topic Topic, payload []byte) error {
	switch {
	case topic.name == "":
		return ErrNoTopic
	case len(payload) > MaxPayload:
		return ErrTooLarge
	}
	return nil
}

// Config says which bus to open.
type Config struct {
	// URL is a Redis URL; empty is the memory bus. See parseRedisURL for its forms.
	URL string
	// Namespace keeps installations that share a Redis apart; empty takes "z4j". Use the installation's id when
	// the Redis is shared.
	Namespace string
	// DropPercent of the hints are lost on purpose, at random: for tests that nothing depends on a hint. 0 is right
	// for everybody else.
	DropPercent int
	// Logger tells of lost and regained connections; nil discards.
	Logger *slog.Logger
	// Registerer gets the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// Open opens the bus the configuration names.
func Open(cfg Config) (Bus, error) {
	var b Bus
	if cfg.URL == "" {
		b = NewMemory(cfg.Registerer)
	} else {
		r, err := NewRedis(cfg)
		if err != nil {
			return nil, err
		}
		b = r
	}
	if cfg.DropPercent > 0 {
		b = NewLossy(b, float64(cfg.DropPercent)/100, rand.Uint64()) //nolint:gosec // no secret is drawn here
	}
	return b, nil
}
