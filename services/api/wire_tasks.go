// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/services/api/internal/bulk"
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
	throttle := httpx.NewThrottle("bulk-action", s.cfg.BulkPerMinute, time.Minute)
	rt.Add(task.Ops(task.Config{
		Store: st, Hints: hints, BulkThrottle: throttle, PageSize: s.cfg.PageSize, MaxPageSize: s.cfg.MaxPageSize, ReadLimit: readLimit,
		ExportMaxRows: s.cfg.ExportMaxRows,
	})...)
	rt.Add(command.Ops(command.Config{
		Store: st, Hints: hints, Bus: s.deps.Bus, Secret: s.cfg.Secret, BulkThrottle: throttle, Timeout: s.cfg.CommandTimeout,
		AnswerWait: s.cfg.AnswerWait, PageSize: s.cfg.PageSize, MaxPageSize: s.cfg.MaxPageSize,
	})...)
	rt.Add(bulk.Ops(bulk.Config{Store: st, Hints: hints, BulkThrottle: throttle, ReadLimit: readLimit, Timeout: s.cfg.CommandTimeout})...)
	s.bulk = bulk.NewCoordinator(st, hints, s.deps.Logger, s.cfg.CommandTimeout)
	rt.Add(fleet.Ops(fleet.Config{Store: st, ReadLimit: readLimit})...)
	rt.Add(insight.Ops(insight.Config{
		Store: st, ReadLimit: readLimit, IdleWorkers: fleet.IdleWorkers(fleet.Config{Store: st, ReadLimit: readLimit}),
	})...)
}
