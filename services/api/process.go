// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/store"
)

// Port is where the service listens as a process of its own.
const Port = 7720

// Process is the service as a process of its own.
func Process() launch.Spec {
	return launch.Spec{Name: config.RoleAPI, Port: Port, Database: true, New: newProcess}
}

func newProcess(ctx context.Context, env *launch.Env) (*launch.Service, error) {
	cfg, err := ConfigFrom(env.Config)
	if err != nil {
		return nil, err
	}
	// A service behind the gateway is scraped at its own address.
	cfg.MetricsElsewhere = true
	s, err := New(cfg, Deps{
		Store: env.Store, Bus: env.Bus, Logger: env.Logger, Registry: env.Registry, Resolver: httpx.NewIPResolver(nil),
		AllowedHost: env.Hosts.AllowsHost, AuditHealth: StoredAuditHealth(env.Store),
	})
	if err != nil {
		return nil, err
	}
	if err := launch.FirstAdmin(ctx, env.Config, env.Store, env.Stderr); err != nil {
		return nil, err
	}
	return &launch.Service{Handler: s.Handler(), Scrapes: s.Scrapes(), Run: s.Run}, nil
}

// StoredAuditHealth is the audit service's last word, from the database: of several replicas only one keeps the chain.
func StoredAuditHealth(s *store.Store) func(ctx context.Context) (AuditHealth, error) {
	return func(ctx context.Context) (AuditHealth, error) {
		started, err := s.AuditStarted(ctx)
		if err != nil {
			return AuditHealth{}, err
		}
		h, err := s.AuditHealth(ctx)
		if err != nil || !h.Damaged {
			return AuditHealth{Activated: started}, err
		}
		return AuditHealth{Activated: started, Problem: h.Message}, nil
	}
}
