// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
)

// Process is the gateway as a process of its own: it holds the hop key and nothing else that is secret.
func Process() launch.Spec {
	return launch.Spec{Name: config.RoleGateway, Port: 7700, Edge: true, Direct: true, New: newProcess}
}

func newProcess(_ context.Context, env *launch.Env) (*launch.Service, error) {
	cfg, err := ConfigFrom(env.Config)
	if err != nil {
		return nil, err
	}
	cfg.APIURLs, cfg.IngestURLs = env.Config.Services.APIURL, env.Config.Services.IngestURL
	cfg.HopKey = env.Config.Secret.Hop.Bytes()
	g, err := New(cfg, Deps{Hosts: env.Hosts, Logger: env.Logger, Registry: env.Registry, Tracing: env.Requests})
	if err != nil {
		return nil, err
	}
	return &launch.Service{Handler: g.Handler(), Run: g.Run, Ready: g.Ready}, nil
}
