// SPDX-License-Identifier: AGPL-3.0-or-later

package offer

import (
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/store"
)

func TestPick(t *testing.T) {
	able := store.Agent{ID: 1, Name: "able", ProtocolVersion: "2", EngineAdapters: `["celery"]`, Capabilities: `{"celery":["purge_queue"]}`}
	twin := able
	twin.ID, twin.Name = 2, "twin"
	weak := store.Agent{ID: 3, Name: "weak", ProtocolVersion: "2", EngineAdapters: `["celery"]`, Capabilities: `{"celery":["retry_task"]}`}
	mute := store.Agent{ID: 4, Name: "mute", ProtocolVersion: "0", EngineAdapters: `[]`, Capabilities: `{}`}
	second := int64(2)
	for name, tc := range map[string]struct {
		list      []store.Agent
		live      []int64
		preferred *int64
		want, why string
	}{
		"none":                {nil, nil, nil, "", "no agent. Mint one"},
		"able":                {[]store.Agent{weak, able}, []int64{1, 3}, nil, "able", ""},
		"preferred":           {[]store.Agent{able, twin}, []int64{1, 2}, &second, "twin", ""},
		"preferred away":      {[]store.Agent{able, twin}, []int64{1}, &second, "able", ""},
		"all away":            {[]store.Agent{able}, nil, nil, "", "able is not connected"},
		"lacks it":            {[]store.Agent{weak}, []int64{3}, nil, "", "does not offer this"},
		"other engine":        {[]store.Agent{{ID: 9, Name: "rq", ProtocolVersion: "2", EngineAdapters: `["rq"]`, Capabilities: `{}`}}, []int64{9}, nil, "", "No agent of this project runs with celery"},
		"never told":          {[]store.Agent{mute}, []int64{4}, nil, "mute", ""},
		"told before mute":    {[]store.Agent{mute, able}, []int64{1, 4}, nil, "able", ""},
		"mute for want of it": {[]store.Agent{mute, able}, []int64{4}, nil, "mute", ""},
	} {
		live := map[int64]bool{}
		for _, id := range tc.live {
			live[id] = true
		}
		agent, why := Agents{List: tc.list, Live: live}.Pick("celery", tc.preferred, "purge_queue")
		got := ""
		if agent != nil {
			got = agent.Name
		}
		if got != tc.want || !strings.Contains(why, tc.why) || (got == "") != (why != "") {
			t.Errorf("%s: %q, %q; want %q, %q", name, got, why, tc.want, tc.why)
		}
	}
}
