// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/services/api/internal/command"
	"github.com/z4jdev/z4j/services/api/internal/fleet"
	"github.com/z4jdev/z4j/services/api/internal/hint"
	"github.com/z4jdev/z4j/services/api/internal/insight"
	"github.com/z4jdev/z4j/services/api/internal/rest"
	"github.com/z4jdev/z4j/services/api/internal/task"
)

// readLimit bounds one read of a list or a sum: whoever waits in a browser is better told to narrow it.
const readLimit = 10 * time.Second

// wireTasks registers what is about tasks, workers, queues and commands.
func (s *Service) wireTasks(rt *rest.Router, hints *hint.Hints) {
	st := s.deps.Store
	bulk := httpx.NewThrottle("bulk-action", s.cfg.BulkPerMinute, time.Minute)
	rt.Add(task.Ops(task.Config{
		Store: st, Hints: hints, BulkThrottle: bulk, PageSize: s.cfg.PageSize, MaxPageSize: s.cfg.MaxPageSize, ReadLimit: readLimit,
		ExportMaxRows: s.cfg.ExportMaxRows,
	})...)
	rt.Add(command.Ops(command.Config{
		Store: st, Hints: hints, Bus: s.deps.Bus, Secret: s.cfg.Secret, BulkThrottle: bulk, Timeout: s.cfg.CommandTimeout,
		AnswerWait: s.cfg.AnswerWait, PageSize: s.cfg.PageSize, MaxPageSize: s.cfg.MaxPageSize,
	})...)
	rt.Add(fleet.Ops(fleet.Config{Store: st, ReadLimit: readLimit})...)
	rt.Add(insight.Ops(insight.Config{
		Store: st, ReadLimit: readLimit, IdleWorkers: fleet.IdleWorkers(fleet.Config{Store: st, ReadLimit: readLimit}),
	})...)
}
