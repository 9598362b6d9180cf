// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// LargeTasks is how many tasks Large makes; otherRows is how many rows every other growing table has at least.
const (
	LargeTasks = 6_000
	otherRows  = 1500
)

// Large fills every table that grows, so that a planner has reason to use indexes, and gathers statistics. The tasks are of
// the agent's project, spread over the last ten days; the newest are named large-000000, large-000001 and so on.
func Large(t testing.TB, s *store.Store, databaseURL string, agent store.AgentRef) {
	t.Helper()
	now := s.Now().Add(-time.Minute)
	for first := 0; first < LargeTasks; first += 1000 {
		item := &store.IngestItem{Agent: agent, At: now}
		for i := first; i < first+1000; i++ {
			item.Events = append(item.Events, taskEvents(i, now.Add(-time.Duration(i)*144*time.Second))...)
		}
		if err := s.Ingest(context.Background(), []*store.IngestItem{item}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		n, err := s.FoldDeltas(context.Background(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if err := Exec(t, databaseURL, otherTables(s.Engine() == "sqlite", agent, now)...); err != nil {
		t.Fatal(err)
	}
	if err := Exec(t, databaseURL, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// taskEvents is the life of the i-th task: of ten, seven succeed, one fails, one runs and one waits.
func taskEvents(i int, at time.Time) []store.IngestEvent {
	id := fmt.Sprintf("large-%06d", i)
	e := func(kind domain.EventKind, after time.Duration) store.IngestEvent {
		return store.IngestEvent{
			ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: id, TaskName: fmt.Sprintf("shop.job_%02d", i%40),
			Queue: fmt.Sprintf("queue-%d", i%7), Worker: fmt.Sprintf("w%d@host", i%20), At: at.Add(after), Rest: []byte("{}"), Priority: domain.PriorityNormal,
		}
	}
	received := e(domain.KindReceived, 0)
	received.Args, received.Kwargs = new(`[1,"two"]`), new(fmt.Sprintf(`{"customer_id":%d}`, i))
	if i%5 == 4 {
		received.Root, received.Parent = new(fmt.Sprintf("large-%06d", i-1)), new(fmt.Sprintf("large-%06d", i-1))
	}
	list := []store.IngestEvent{received}
	if i%10 == 0 {
		return list
	}
	list = append(list, e(domain.KindStarted, time.Second))
	switch i % 10 {
	case 1:
	case 2:
		f := e(domain.KindFailed, 3*time.Second)
		// Letters, as digits are left out of what makes failures equal.
		word := string([]rune{'a' + rune(i/10%26), 'a' + rune(i/260%26), 'a' + rune(i/6760%26)})
		f.Exception = new("ValueError: bad " + word)
		f.Rest = []byte(`{"exception":"ValueError: bad ` + word + `"}`)
		list = append(list, f)
	default:
		d := e(domain.KindSucceeded, 3*time.Second)
		d.Result, d.RuntimeMS, d.Rest = new(`{"ok":true}`), new(int64(2000)), []byte(`{"result":{"ok":true},"runtime_ms":2000}`)
		list = append(list, d)
	}
	return list
}

// otherTables are the statements that fill what ingest of tasks leaves small.
func otherTables(lite bool, agent store.AgentRef, now time.Time) []string {
	numbers := fmt.Sprintf("generate_series(1, %d) AS g (i)", otherRows)
	id := "CAST('00000000-0000-4000-8000-' || lpad(CAST(i AS text), 12, '0') AS uuid)"
	at := fmt.Sprintf("(to_timestamp(%d) - i * interval '30 seconds')", now.Unix())
	blob := "CAST('x' AS bytea)"
	if lite {
		numbers = fmt.Sprintf("(WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < %d) SELECT i FROM g) AS g", otherRows)
		id = "'00000000-0000-4000-8000-' || printf('%012d', i)"
		at = fmt.Sprintf("(%d - i * 30000000)", now.UnixMicro())
		blob = "CAST('x' AS blob)"
	}
	fill := strings.NewReplacer("{numbers}", numbers, "{id}", id, "{at}", at, "{blob}", blob, "{project}", strconv.FormatInt(agent.ProjectID, 10), "{agent}", "(1000000 + i % 500)")
	var list []string
	for _, each := range []string{
		"names (text) SELECT 'name ' || i",
		"users (id, email, password_hash, created_at, updated_at) SELECT {id}, 'u' || i || '@example.com', 'x', {at}, {at}",
		"sessions (id, user_id, token_hash, csrf_token, issued_at, expires_at, last_seen_at, ip_at_issue) SELECT {id}, {id}, 't' || i, 'c', {at}, {at}, {at}, '127.0.0.1'",
		"saved_views (id, project_id, user_id, name, name_key, created_at, updated_at) SELECT {id}, {project}, {id}, 'v', 'v', {at}, {at}",
		"agents (id, uid, project_id, name, token_hash, created_at, updated_at) SELECT 999999 + i, {id}, {project}, 'agent-' || i, 't' || i, {at}, {at} FROM {numbers} WHERE i <= 500",
		"agent_workers (id, agent_id, project_id, worker_id, state, last_seen_at, created_at, updated_at) SELECT {id}, {agent}, {project}, 'w' || i, 'offline', {at}, {at}, {at}",
		"agent_status (agent_id, captured_at, payload) SELECT 1000000 + g.i % 20, {at}, '{}' FROM {numbers} CROSS JOIN (SELECT i AS j FROM {numbers} WHERE i <= 10) AS ten",
		"longpoll_sessions (agent_id, nonce, last_seen_at, created_at) SELECT {agent}, 'n' || i, {at}, {at}",
		"queues (uid, project_id, engine, name, created_at, updated_at, last_seen_at) SELECT {id}, {project}, 'rq', 'old-' || i, {at}, {at}, {at}",
		"workers (uid, project_id, engine, name, state, created_at, updated_at, last_heartbeat) SELECT {id}, {project}, 'rq', 'old-' || i, 'offline', {at}, {at}, {at}",
		"queue_depths (queue_id, res, at, depth, peak) SELECT (SELECT min(id) FROM queues), 1, {at}, 1, 1",
		"loose_events (uid, project_id, agent_id, engine_id, task_id, kind, occurred_at, payload) SELECT {id}, {project}, {agent}, 1, 't' || i, 'queue.depth', {at}, '{}'",
		"commands (id, project_id, agent_id, action, target_type, target_id, idempotency_key, status, issued_at, completed_at, timeout_at, timeout_seconds) " +
			"SELECT {id}, {project}, {agent}, 'retry_task', 'task', 't' || i, 'k' || i, 'completed', {at}, {at}, {at}, 60",
		"bulk_retry_requests (id, project_id, idempotency_key, canonical_digest, plan_digest, child_count, max_in_flight, is_open, deadline_at, sealed_at, touched_at, updated_at) " +
			"SELECT {id}, {project}, 'k' || i, 'c', 'p', 1, 1, false, {at}, {at}, {at}, {at}",
		"bulk_retry_children (parent_id, ordinal, engine, task_id, task_name, command_id) SELECT {id}, 0, 'celery', 't' || i, 'n', {id}",
		"audit_outbox (record, mac, created_at) SELECT '{}', 'm', {at}",
		"audit_set_aside (record, mac, reason, created_at, set_aside_at) SELECT '{}', 'm', 'r', {at}, {at}",
		"audit_refusals (minute, source_ip, action, reason, n, last_at) SELECT {at}, '127.0.0.1', 'a', 'r', 1, {at}",
		"audit_log (seq, id, action, target_type, result, occurred_at, hmac_version, hmac_key_id, chain_generation, row_hmac) SELECT i, {id}, 'a', 't', 'ok', {at}, 1, 'k', {id}, 'h'",
		"rollup_stale (project_id, res, at, changes) SELECT {project} + 1000, 10, {at}, 1",
		"rollup_spans (project_id, res, dim, at, key_id, sub_id, received, started, succeeded, failed, retried, revoked, durations) " +
			"SELECT {project} + 1000, 10, 1, {at}, i, 0, 1, 1, 1, 1, 1, 1, {blob}",
	} {
		if !strings.Contains(each, "{numbers}") {
			each += " FROM {numbers}"
		}
		list = append(list, "INSERT INTO "+fill.Replace(each))
	}
	return list
}
