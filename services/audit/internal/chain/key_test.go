// SPDX-License-Identifier: AGPL-3.0-or-later

package chain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store"
)

// The values below were computed with another implementation of the same format.
const (
	vectorSecret = "audit-secret-audit-secret-audit-secret"
	vectorKeyID  = "8a6dfd7520c81c56ae3ed728d98dd5da60bac6c2da15e215a7acdf31d51ca5ff"
	vectorRow    = "295427d1a9b844678e64158c70be20d52327ad18e84005d8ac5e242b2e4dffe6"
	vectorState  = "d1d871f18d31aed9d1ea5c82ca5b2be840f5c246d2ac0242322043654903f647"
)

func vector() store.AuditRow {
	return store.AuditRow{
		ID: uuid.MustParse("11111111-2222-4333-8444-555555555555"), Action: "project.created", TargetType: "project",
		Result: "success", Outcome: new("allow"), UserID: new(uuid.MustParse("AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee")),
		SourceIP: new("2001:db8::1"), UserAgent: new("Mözilla/5 \"x\" \u2028\x01\U0001F600"),
		Metadata:        `{"b":1.5, "a":[1,true,null,1e16,0.1,-0.0,1e-7],"é":{"z":"","y":12345678901234567890}}`,
		OccurredAt:      time.Date(2026, 2, 3, 5, 5, 6, 7000, time.FixedZone("", 3600)),
		ChainGeneration: uuid.MustParse("99999999-8888-4777-8666-555555555555"), PrevRowHMAC: new(strings.Repeat("ab", 32)),
	}
}

func TestVectors(t *testing.T) {
	keys, err := NewKeys([]byte(vectorSecret))
	if err != nil {
		t.Fatal(err)
	}
	if got := keys.Current().ID(); got != vectorKeyID {
		t.Errorf("key id %s, want %s", got, vectorKeyID)
	}
	row := vector()
	if err := keys.Current().signRow(&row); err != nil {
		t.Fatal(err)
	}
	if row.RowHMAC != vectorRow {
		payload, _ := rowPayload(row)
		t.Errorf("row HMAC %s, want %s; payload %s", row.RowHMAC, vectorRow, payload)
	}
	st := store.AuditState{
		Generation: row.ChainGeneration, InstallationID: uuid.MustParse("12121212-3434-4565-8787-909090909090"),
		HeadRowHMAC: new(strings.Repeat("cd", 32)), HeadHMACKeyID: new(vectorKeyID), HeadOccurredAt: &row.OccurredAt,
		HeadID: &row.ID, ActiveRowCount: 7,
	}
	if err := keys.Current().signState(&st, map[string]int64{vectorKeyID: 7}); err != nil {
		t.Fatal(err)
	}
	if st.StateMAC != vectorState {
		t.Errorf("state MAC %s, want %s", st.StateMAC, vectorState)
	}
	if counts, err := keys.openState(st); err != nil || counts[vectorKeyID] != 7 {
		t.Errorf("openState: %v, %v", counts, err)
	}
}

// TestRowCoversEverything changes each signed field in turn.
func TestRowCoversEverything(t *testing.T) {
	keys, err := NewKeys([]byte(vectorSecret), []byte("older"))
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*store.AuditRow){
		"id": func(r *store.AuditRow) { r.ID = uuid.New() }, "action": func(r *store.AuditRow) { r.Action = "x" },
		"target_type": func(r *store.AuditRow) { r.TargetType = "x" }, "target_id": func(r *store.AuditRow) { r.TargetID = new("") },
		"result": func(r *store.AuditRow) { r.Result = "failed" }, "outcome": func(r *store.AuditRow) { r.Outcome = nil },
		"event_id": func(r *store.AuditRow) { r.EventID = new(uuid.Nil) }, "user_id": func(r *store.AuditRow) { r.UserID = nil },
		"api_key_id": func(r *store.AuditRow) { r.ApiKeyID = r.UserID }, "project_id": func(r *store.AuditRow) { r.ProjectID = r.UserID },
		"source_ip": func(r *store.AuditRow) { r.SourceIP = new("2001:db8::2") }, "user_agent": func(r *store.AuditRow) { r.UserAgent = nil },
		"metadata":    func(r *store.AuditRow) { r.Metadata = `{}` },
		"bad json":    func(r *store.AuditRow) { r.Metadata = `{` },
		"occurred_at": func(r *store.AuditRow) { r.OccurredAt = r.OccurredAt.Add(time.Microsecond) },
		"prev":        func(r *store.AuditRow) { r.PrevRowHMAC = nil }, "generation": func(r *store.AuditRow) { r.ChainGeneration = uuid.New() },
		"version": func(r *store.AuditRow) { r.HMACVersion = 1 }, "row_hmac": func(r *store.AuditRow) { r.RowHMAC = strings.Repeat("0", 64) },
		"other key":   func(r *store.AuditRow) { r.HMACKeyID = newKey([]byte("older")).ID() },
		"unknown key": func(r *store.AuditRow) { r.HMACKeyID = strings.Repeat("0", 64) },
	}
	row := vector()
	if err := keys.Current().signRow(&row); err != nil {
		t.Fatal(err)
	}
	if problem := keys.checkRow(row); problem != "" {
		t.Fatalf("an untouched row: %s", problem)
	}
	for name, change := range changes {
		changed := row
		change(&changed)
		if keys.checkRow(changed) == "" {
			t.Errorf("a change of %s goes unnoticed", name)
		}
	}
}

func TestStateRules(t *testing.T) {
	keys, err := NewKeys([]byte(vectorSecret))
	if err != nil {
		t.Fatal(err)
	}
	good := store.AuditState{
		Generation: uuid.New(), InstallationID: uuid.New(), HeadRowHMAC: new("h"), HeadHMACKeyID: new("k"),
		HeadOccurredAt: new(time.Unix(1, 0)), HeadID: new(uuid.New()), ActiveRowCount: 2,
	}
	for name, change := range map[string]func(*store.AuditState, map[string]int64){
		"half a head":     func(st *store.AuditState, _ map[string]int64) { st.HeadID = nil },
		"half a boundary": func(st *store.AuditState, _ map[string]int64) { st.PruneRowHMAC = new("p") },
		"sum":             func(st *store.AuditState, _ map[string]int64) { st.ActiveRowCount = 3 },
		"zero count":      func(_ *store.AuditState, c map[string]int64) { c["z"] = 0 },
		"rows without head": func(st *store.AuditState, _ map[string]int64) {
			st.HeadRowHMAC, st.HeadHMACKeyID, st.HeadOccurredAt, st.HeadID = nil, nil, nil, nil
		},
		"empty with a head": func(st *store.AuditState, c map[string]int64) { st.ActiveRowCount = 0; clear(c) },
	} {
		st, counts := good, map[string]int64{"k": 2}
		change(&st, counts)
		if err := keys.Current().signState(&st, counts); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.openState(st); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	st := good
	if err := keys.Current().signState(&st, map[string]int64{"k": 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.openState(st); err != nil {
		t.Errorf("a good state: %v", err)
	}
	st.HeadSeq++ // the database's own number is not signed
	if _, err := keys.openState(st); err != nil {
		t.Errorf("another head_seq: %v", err)
	}
	st.ActiveRowCount++
	if _, err := keys.openState(st); err == nil {
		t.Error("a changed count: accepted")
	}
}

func TestNewKeys(t *testing.T) {
	if _, err := NewKeys(nil); err == nil {
		t.Error("an empty key is accepted")
	}
	if _, err := NewKeys([]byte("a"), []byte("b"), []byte("a")); err == nil {
		t.Error("a repeated key is accepted")
	}
	many := make([][]byte, 32)
	for i := range many {
		many[i] = []byte{byte(i), 1}
	}
	if _, err := NewKeys([]byte("a"), many...); err == nil {
		t.Error("33 keys are accepted")
	}
	if _, err := NewKeys([]byte("a"), many[:31]...); err != nil {
		t.Errorf("32 keys: %v", err)
	}
}
