// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// ChangeMarks are texts that differ from the ones before when something of the kind changed in a project. They are
// cheap to read and say nothing else.
type ChangeMarks struct {
	Tasks, Commands, Agents string
}

const (
	// markWindow is how far back the counters of a mark look.
	markWindow   = 3 * time.Minute
	markCommands = 50
	markAgents   = 500
)

// ChangeMarks reads a project's marks by indexed reads of a few rows; it counts no tasks and scans no events.
func (s *Store) ChangeMarks(ctx context.Context, projectID int64) (m ChangeMarks, err error) {
	counts, err := s.TaskCounts(ctx, projectID)
	if err != nil {
		return m, err
	}
	n, err := s.q.MarkRollups(ctx, s.eng.read(), db.MarkRollupsParams{
		ProjectID: projectID, Since: s.Now().Add(-markWindow).Truncate(time.Minute),
	})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	queues, err := s.q.MarkQueues(ctx, s.eng.read(), db.MarkQueuesParams{ProjectID: projectID})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	workers, err := s.q.ProjectWorkerStates(ctx, s.eng.read(), db.ProjectWorkerStatesParams{ProjectID: projectID})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	states := map[string]int64{}
	for _, w := range workers {
		states[w.State] = w.N
	}
	m.Tasks = fmt.Sprint(counts, n, queues, states) // maps print in key order

	var b strings.Builder
	commands, err := s.q.MarkCommands(ctx, s.eng.read(), db.MarkCommandsParams{ProjectID: projectID, MaxRows: markCommands})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	for _, c := range commands {
		fmt.Fprint(&b, c.ID, c.Status)
	}
	m.Commands = b.String()

	b.Reset()
	agents, err := s.q.MarkAgents(ctx, s.eng.read(), db.MarkAgentsParams{ProjectID: projectID, MaxRows: markAgents})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	for _, a := range agents {
		fmt.Fprint(&b, a.UID, a.State)
		if a.AgentVersion != nil {
			b.WriteString(*a.AgentVersion)
		}
	}
	processes, err := s.q.MarkProcesses(ctx, s.eng.read(), db.MarkProcessesParams{ProjectID: projectID})
	if err != nil {
		return m, fmt.Errorf("read change marks: %w", s.err(err))
	}
	fmt.Fprint(&b, processes)
	m.Agents = b.String()
	return m, nil
}

// ObservedDepth is the depth of one queue of an active project.
type ObservedDepth = db.ListQueueDepthsRow

// QueueDepths lists the depths of all queues, at most limit.
func (s *Store) QueueDepths(ctx context.Context, limit int64) ([]ObservedDepth, error) {
	ds, err := s.q.ListQueueDepths(ctx, s.eng.read(), db.ListQueueDepthsParams{MaxRows: limit})
	return ds, s.err(err)
}
