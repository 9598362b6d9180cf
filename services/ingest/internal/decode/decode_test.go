// SPDX-License-Identifier: AGPL-3.0-or-later

package decode

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/redact"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

func decoder(t testing.TB) *Decoder {
	t.Helper()
	e, err := redact.New(redact.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &Decoder{Redact: e}
}

func now() time.Time { return time.Date(2026, 11, 23, 22, 0, 0, 123456789, time.UTC) }

func one(t *testing.T, ev string) store.IngestEvent {
	t.Helper()
	b := decoder(t).Events([]byte(`{"events":[`+ev+`]}`), now())
	if len(b.Events) != 1 || b.Received != 1 {
		t.Fatalf("%d events of %d", len(b.Events), b.Received)
	}
	return b.Events[0]
}

func TestEventMembers(t *testing.T) {
	t.Parallel()
	ev := one(t, `{"id":"i","kind":"task.failed","engine":"celery","task_id":"t","occurred_at":"2026-11-23T21:59:00.5+00:00","data":{
		"task_name":"a.b","queue":null,"worker":"w","args":[1, "x"],"kwargs":null,"exception":"E","traceback":"T","runtime_ms":12.6,
		"priority":"high","eta":"2026-11-23T23:00:00Z","parent_task_id":"p","root_task_id":"t","tags":["a","b"],"extra":{"k":1}}}`)
	if ev.Kind != domain.KindFailed || ev.KindName != "task.failed" || ev.Engine != "celery" || ev.TaskID != "t" || ev.TaskName != "a.b" || ev.Worker != "w" {
		t.Errorf("got %+v", ev)
	}
	if !ev.At.Equal(time.Date(2026, 11, 23, 21, 59, 0, 500_000_000, time.UTC)) {
		t.Errorf("at %s", ev.At)
	}
	if ev.Nulls != store.MemberQueue|store.MemberKwargs || ev.Kwargs != nil || *ev.Args != `[1, "x"]` {
		t.Errorf("nulls %b, kwargs %v, args %v", ev.Nulls, ev.Kwargs, ev.Args)
	}
	if *ev.RuntimeMS != 13 || ev.Priority != domain.PriorityHigh || *ev.Parent != "p" || ev.Root != nil || *ev.Tags != `["a","b"]` || ev.ETA == nil {
		t.Errorf("got %+v", ev)
	}
	var rest map[string]any
	if err := json.Unmarshal(ev.Rest, &rest); err != nil {
		t.Fatal(err)
	}
	for _, apart := range []string{"task_name", "queue", "worker", "args", "kwargs"} {
		if _, ok := rest[apart]; ok {
			t.Errorf("%s is in the rest too", apart)
		}
	}
	for _, kept := range []string{"exception", "traceback", "runtime_ms", "priority", "tags", "extra"} {
		if _, ok := rest[kept]; !ok {
			t.Errorf("%s is missing in the rest", kept)
		}
	}
}

func TestEventsAreLenient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, payload    string
		received, stored int
		legacy           bool
	}{
		{"no payload", ``, 0, 0, false},
		{"not a list", `{"events":{}}`, 0, 0, false},
		{"entries that are no objects", `{"events":[1,"x",null,[]]}`, 4, 0, false},
		{"no engine, no kind", `{"events":[{"kind":"task.received","task_id":"a"},{"engine":"celery","task_id":"a"}]}`, 2, 0, false},
		{"names too long", `{"events":[{"kind":"task.received","engine":"` + strings.Repeat("e", 41) + `"},{"kind":"task.received","engine":"e","task_id":"` + strings.Repeat("t", 201) + `"}]}`, 2, 0, false},
		{"data of another type", `{"events":[{"kind":"task.received","engine":"e","task_id":"t","data":[1]}]}`, 1, 1, false},
		{"more than the limit", `{"events":[` + strings.TrimSuffix(strings.Repeat(`{},`, 5001), ",") + `]}`, 5001, 0, false},
		{"legacy schedule", `{"events":[{"kind":"task.received","engine":"e","task_id":"t"},{"kind":"schedule.updated","engine":"celery-beat","data":{"schedules":[]}}]}`, 2, 0, true},
		{"sequenced schedule", `{"events":[{"kind":"schedule.snapshot","engine":"celery-beat","data":{"external_snapshot_frame":{}}}]}`, 1, 0, false},
		{"schedule runs", `{"events":[{"kind":"schedule.run_started","engine":"celery-beat","data":{}}]}`, 1, 1, false},
	} {
		var payload []byte
		if c.payload != "" {
			payload = []byte(c.payload)
		}
		b := decoder(t).Events(payload, now())
		if b.Received != c.received || len(b.Events) != c.stored || b.Legacy != c.legacy {
			t.Errorf("%s: received %d, stored %d, legacy %v; want %d, %d, %v", c.name, b.Received, len(b.Events), b.Legacy, c.received, c.stored, c.legacy)
		}
	}
}

func TestEventKindsWithoutATask(t *testing.T) {
	t.Parallel()
	if ev := one(t, `{"kind":"task.received","engine":"e","task_id":""}`); ev.Kind != 0 || ev.KindName != "task.received" {
		t.Errorf("life-cycle kind without a task: %d %s", ev.Kind, ev.KindName)
	}
	if ev := one(t, `{"kind":"surprise","engine":"e","task_id":"t"}`); ev.Kind != 0 || ev.KindName != "unknown" {
		t.Errorf("unknown kind: %d %s", ev.Kind, ev.KindName)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	ev := one(t, `{"kind":"task.received","engine":"e","task_id":"t","data":{"kwargs":{"password":"hunter2","card":"x"},"pass\u0077ord":"hunter2"}}`)
	if strings.Contains(*ev.Kwargs, "hunter2") || strings.Contains(string(ev.Rest), "hunter2") {
		t.Errorf("a secret is left: %s %s", *ev.Kwargs, ev.Rest)
	}
	if !strings.Contains(*ev.Kwargs, `"card":"x"`) {
		t.Errorf("too much is gone: %s", *ev.Kwargs)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	details := `{"w1@host.example": {"stats": {"pid": 7, "pool": {"max-concurrency": 4}, "loadavg": [0.5, 1, 2]}, "active": [{}, {}],
		"active_queues": [{"name": "a"}, {"name": "b"}, {"name": "a"}], "registered": ["x"], "conf": {"broker_password": "x", "password": "hunter2"}, "other": 1},
		"w2": {"stats": {"pool": {"processes": [1, 2, 3]}}}, "w3": 5, "w4": {"stats": "wrong", "active_queues": []}}`
	payload, err := json.Marshal(map[string]any{"adapter_health": map[string]any{
		"celery.broker_type": "redis", "celery.queue_depths": `{"a": 3, "b": -1, "c": "x", "d": 0}`, "celery.worker_details": details,
		"rq.queue_depths": "not json", ".queue_depths": `{"z": 1}`, "arq.worker_details": "[]",
	}})
	if err != nil {
		t.Fatal(err)
	}
	in := decoder(t).Heartbeat(payload)
	wantDepths := []store.QueueDepth{{Engine: "celery", Name: "a", Pending: 3, BrokerType: "redis"}, {Engine: "celery", Name: "d", BrokerType: "redis"}}
	if !reflect.DeepEqual(in.Depths, wantDepths) {
		t.Errorf("depths %+v", in.Depths)
	}
	if len(in.Workers) != 3 {
		t.Fatalf("workers %+v", in.Workers)
	}
	w := in.Workers[0]
	if w.Name != "w1@host.example" || w.Hostname != "host.example" || *w.PID != 7 || *w.Concurrency != 4 || w.ActiveTasks != 2 ||
		!reflect.DeepEqual(w.Queues, []string{"a", "b"}) || w.LoadAverage != "[0.5, 1, 2]" {
		t.Errorf("worker %+v", w)
	}
	if strings.Contains(w.Metadata, "hunter2") || strings.Contains(w.Metadata, "other") || !strings.Contains(w.Metadata, "registered") {
		t.Errorf("metadata %s", w.Metadata)
	}
	// What is not told is not empty.
	if *in.Workers[1].Concurrency != 3 || in.Workers[1].Queues != nil || in.Workers[2].Name != "w4" || in.Workers[2].Queues == nil {
		t.Errorf("workers %+v", in.Workers[1:])
	}
	if in := decoder(t).Heartbeat(nil); in == nil || len(in.Depths) != 0 {
		t.Errorf("empty heartbeat %v", in)
	}
}

func FuzzPayloads(f *testing.F) {
	f.Add([]byte(`{"events":[{"id":"i","kind":"task.failed","engine":"celery","task_id":"t","occurred_at":"2026-11-23T21:59:00Z","data":{"task_name":"a","args":[1],"runtime_ms":1}}]}`))
	f.Add([]byte(`{"adapter_health":{"celery.queue_depths":"{\"a\": 1}","celery.worker_details":"{\"w\": {\"stats\": {}}}"}}`))
	f.Add([]byte(`{"events":[{"kind":"k","engine":"e","data":{"\u0061rgs":null,"args":1,"queue":5}}]}`))
	d := decoder(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if wire.Valid(payload) != nil || !wire.IsObject(payload) {
			return // frames reach the decoder verified
		}
		b := d.Events(payload, now())
		if len(b.Events) > b.Received {
			t.Fatalf("%d events of %d received", len(b.Events), b.Received)
		}
		for _, ev := range b.Events {
			for _, text := range []*string{ev.Args, ev.Kwargs, ev.Result, ev.Tags} {
				if text != nil && wire.Valid([]byte(*text)) != nil {
					t.Fatalf("not JSON: %q", *text)
				}
			}
			if wire.Valid(ev.Rest) != nil || ev.Rest[0] != '{' {
				t.Fatalf("rest is not an object: %q", ev.Rest)
			}
			for _, name := range []string{ev.TaskName, ev.Queue, ev.Worker, ev.TaskID, ev.Engine} {
				if strings.ContainsRune(name, 0) {
					t.Fatalf("NUL in %q", name)
				}
			}
		}
		d.Heartbeat(payload)
		d.Status(payload)
	})
}

// TestStatusKey checks which reports of an agent count as telling the same.
func TestStatusKey(t *testing.T) {
	d := decoder(t)
	key := func(depth, oldest, age, streak string) uint64 {
		_, k := d.Status([]byte(`{"telemetry_loss":null,"connection_failure_streak":` + streak + `,"current_session_age_seconds":` + age +
			`,"buffer_depth":` + depth + `,"buffer_oldest_age_seconds":` + oldest + `}`))
		if k == 0 {
			t.Fatal("no key for a report that can be read")
		}
		return k
	}
	idle := key("0", "null", "10.5", "0")
	for _, c := range []struct {
		what, depth, oldest, age, streak string
		same                             bool
	}{
		{"a session grown older", "0", "null", "20.5", "0", true},
		{"a buffer that is being emptied", "3", "0.4", "30.5", "0", true},
		{"a full buffer", "100", "null", "10.5", "0", false},
		{"an old buffer", "3", "9", "10.5", "0", false},
		{"failures", "0", "null", "10.5", "1", false},
	} {
		if got := key(c.depth, c.oldest, c.age, c.streak); (got == idle) != c.same {
			t.Errorf("%s: same as idle = %t, want %t", c.what, got == idle, c.same)
		}
	}
	if key("1000", "null", "1", "0") != key("900", "null", "1", "0") || key("1100", "null", "1", "0") == key("900", "null", "1", "0") {
		t.Error("a deep buffer tells something new when its depth doubles, not before")
	}
	if _, k := d.Status([]byte("no object")); k != 0 {
		t.Error("a report that can't be read has a key")
	}
}
