// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"strconv"
	"strings"
)

// What an agent hint is about.
const (
	HintCommand  = "command"
	HintRevoked  = "revoked"
	HintSlot     = "slot"
	HintArchived = "archived"
)

// AgentHint is a hint for whoever holds agents' connections.
type AgentHint struct {
	// Kind is one of the Hint constants; ID is the inner key of the agent, of the project for HintArchived.
	Kind string
	ID   int64
}

// Agents is the topic on which every hint about agents arrives, whatever the agent: a process that holds
// thousands of sockets would need as many subscriptions otherwise. Nobody publishes on it directly: what is
// published on AgentCommands, AgentRevoked, AgentSlot and ProjectArchived is repeated here.
func Agents() Topic { return Topic{"agents"} }

// AgentSlot announces that a connection of an agent took a slot that another replica held.
func AgentSlot(agentID int64) Topic { return agentTopic(agentID, HintSlot) }

// ParseAgentHint reads a message of the topic Agents.
func ParseAgentHint(m Message) (AgentHint, bool) {
	kind, id, ok := strings.Cut(string(m.Payload), ":")
	n, err := strconv.ParseInt(id, 10, 64)
	if !ok || err != nil {
		return AgentHint{}, false
	}
	return AgentHint{Kind: kind, ID: n}, true
}

// family returns what is to be repeated on Agents for a hint on t.
func (t Topic) family() (payload []byte, ok bool) {
	scope, rest, _ := strings.Cut(t.name, ".")
	id, kind, _ := strings.Cut(rest, ".")
	if scope != "agent" && (scope != "project" || kind != HintArchived) {
		return nil, false
	}
	return []byte(kind + ":" + id), true
}
