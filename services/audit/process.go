// SPDX-License-Identifier: AGPL-3.0-or-later

package audit

import (
	"context"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/obs"
)

// Port is where the service listens as a process of its own.
const Port = 7730

// Process is the service as a process of its own.
func Process() launch.Spec {
	return launch.Spec{Name: config.RoleAudit, Port: Port, Database: true, New: newProcess}
}

func newProcess(ctx context.Context, env *launch.Env) (*launch.Service, error) {
	s, err := New(ConfigFrom(env.Config), Deps{Store: env.Store, Logger: env.Logger, Registerer: env.Registry, Tracer: env.Tracing.Tracer(config.RoleAudit)})
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		// Business goes on with a damaged chain: records wait in the outbox and the health says so.
		env.Logger.Log(ctx, obs.LevelCritical, "the audit chain can't be continued", "err", err)
	}
	return &launch.Service{Handler: s.Handler(), Run: s.Run}, nil
}
