// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"reflect"
	"testing"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// TestTaskRows wants the reader of lists to find in every column what the driver finds there, extremes and NULL included.
func TestTaskRows(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, s *store.Store, url string) {
		ref := storetest.Agent(t, s)
		const at = "'2026-11-29 12:34:56.789012+00'"
		full := "INSERT INTO tasks (project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, retry_count, runtime_ms, eta, received_at, started_at, " +
			"finished_at, last_failed_at, seen_at, updated_at, fingerprint, parent_task_id, root_task_id, tags, args, kwargs, result, exception, traceback) VALUES "
		bare := "INSERT INTO tasks (project_id, engine_id, task_id, name_id, state, priority, seen_at, updated_at) VALUES "
		moment := at
		if s.Engine() == "sqlite" {
			moment = "1795955696789012"
		}
		project := "(SELECT id FROM projects ORDER BY id DESC LIMIT 1)"
		err := storetest.Exec(t, url,
			full+"("+project+", 1, 'ünïcode-\U0001F680', 1, 2147483647, 3, 6, -1, 2147483647, 9223372036854775807, "+moment+", "+moment+", "+moment+", "+moment+", "+moment+", "+
				moment+", "+moment+", 'f', 'p', 'r', '[\"t\"]', '[1]', '{\"k\":\"\u00e9\"}', '\"ok\"', 'E', 'T')",
			bare+"("+project+", 1, 'bare', 1, 1, 2, "+moment+", "+moment+")")
		if err != nil {
			t.Fatal(err)
		}
		for _, columns := range store.TaskColumnsForTest() {
			fast, slow, err := s.TasksBothWaysForTest(t.Context(), ref.ProjectID, columns)
			if err != nil || len(fast) != 2 {
				t.Fatalf("%d rows, %v", len(fast), err)
			}
			if !reflect.DeepEqual(fast, slow) {
				t.Errorf("read %+v\nwant %+v", fast, slow)
			}
			if *fast[0].RuntimeMS != 1<<63-1 || fast[0].Priority != -1 || fast[1].Eta != nil || fast[1].Result != nil {
				t.Errorf("extremes: %+v", fast)
			}
		}
	})
}
