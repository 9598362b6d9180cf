// SPDX-License-Identifier: AGPL-3.0-or-later

package fleet

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLintCelery(t *testing.T) {
	for name, tc := range map[string]struct{ conf, want string }{
		"sane":               {`{"accept_content":["json"],"task_acks_late":true,"task_reject_on_worker_lost":true,"worker_prefetch_multiplier":1,"task_time_limit":300}`, ""},
		"defaults":           {`{"accept_content":["json"],"task_acks_late":false,"task_reject_on_worker_lost":null,"worker_prefetch_multiplier":4,"task_time_limit":null,"task_soft_time_limit":null}`, "celery.acks-late-off celery.no-time-limit celery.prefetch-hoarding"},
		"pickle":             {`{"accept_content":["json","pickle"],"task_soft_time_limit":5}`, "celery.pickle-accepted"},
		"pickle by type":     {`{"accept_content":["application/x-python-serialize"],"task_time_limit":5}`, "celery.pickle-accepted"},
		"late, not requeued": {`{"task_acks_late":true,"task_reject_on_worker_lost":null,"task_time_limit":5}`, "celery.lost-task-not-requeued"},
		"late, absent":       {`{"task_acks_late":true,"task_time_limit":5}`, ""},
		"unbounded":          {`{"worker_prefetch_multiplier":0,"task_time_limit":5}`, "celery.prefetch-unbounded"},
		"absent limits":      {`{"timezone":"UTC"}`, "celery.no-time-limit"},
	} {
		var conf map[string]any
		if err := json.Unmarshal([]byte(tc.conf), &conf); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range lintCelery(conf) {
			got = append(got, f.RuleID)
			if f.Title == "" || f.Detail == "" || f.Remedy == "" {
				t.Errorf("%s: %s says nothing", name, f.RuleID)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}
