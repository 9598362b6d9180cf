// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest

import (
	"context"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
)

// Port is where the service listens as a process of its own.
const Port = 7710

// Process is the service as a process of its own. Agents carry tokens, so a load balancer may send them straight to it.
func Process() launch.Spec {
	return launch.Spec{Name: config.RoleIngest, Port: Port, Database: true, Direct: true, New: newProcess}
}

func newProcess(_ context.Context, env *launch.Env) (*launch.Service, error) {
	cfg, err := ConfigFrom(env.Config)
	if err != nil {
		return nil, err
	}
	s, err := New(cfg, Deps{
		Store: env.Store, Bus: env.Bus, Logger: env.Logger, Registry: env.Registry, Tracer: env.Tracing.Tracer(config.RoleIngest),
		Master: env.Config.Secret.Master.Bytes(), Previous: launch.SecretBytes(env.Config.Secret.PreviousMasters),
	})
	if err != nil {
		return nil, err
	}
	return &launch.Service{Handler: s.Handler(), Run: s.Run}, nil
}
