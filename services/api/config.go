// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/launch"
)

// ConfigFrom takes the service's settings out of the product's.
func ConfigFrom(cfg *config.Config) (Config, error) {
	allow, err := httpx.ParsePrefixes(cfg.Hosts.DashboardIPAllow)
	if err != nil {
		return Config{}, fmt.Errorf("Z4J_DASHBOARD_IP_ALLOWLIST: %w", err)
	}
	return Config{
		Secret: cfg.Secret.Master.Bytes(), PreviousSecrets: launch.SecretBytes(cfg.Secret.PreviousMasters),
		SessionSecret: cfg.Secret.Session.Bytes(), PreviousSessionSecrets: launch.SecretBytes(cfg.Secret.PreviousSession),
		Dev: cfg.Dev(), SecureCookies: cfg.SecureCookies(), StrictCookies: cfg.Auth.CookieSameSite == "strict",
		PinUserAgent: bool(cfg.Auth.SessionPinAgent),
		Lifetimes: auth.Lifetimes{
			Absolute: cfg.Auth.SessionAbsolute.Duration(), Idle: cfg.Auth.SessionIdle.Duration(), Remember: cfg.Auth.SessionRemember.Duration(),
		},
		Password: launch.PasswordPolicy(cfg), Hasher: auth.HasherConfig{Params: launch.HashParams(cfg)},
		LockoutAfter: cfg.Auth.LockoutThreshold, LockoutFor: cfg.Auth.LockoutDuration.Duration(),
		// The API takes zero for its default; who sets zero wants none.
		LoginFloor:        max(time.Nanosecond, time.Duration(cfg.Auth.LoginMinDuration)*time.Millisecond),
		FirstBootAttempts: cfg.Auth.SetupAttempts, OpenAPI: cfg.API.OpenAPIVisibility,
		ShareAnswers:   true,
		RequestTimeout: cfg.Server.RequestTimeout.Duration(), CommandTimeout: cfg.Commands.Timeout.Duration(),
		PageSize: cfg.API.DefaultPageSize, MaxPageSize: cfg.API.MaxPageSize,
		ExportMaxRows: cfg.API.ExportMaxRows, MaxProjects: cfg.API.ProjectListCap,
		MetricsEnabled: bool(cfg.Metrics.Enabled), MetricsPublic: bool(cfg.Metrics.Public), MetricsToken: cfg.Metrics.AuthToken.Reveal(),
		CompatMetrics: bool(cfg.Metrics.Compat), MetricSeries: metricSeries(cfg),
		Home: cfg.Home, Settings: cfg.Effective(), DashboardAllow: allow,
	}, nil
}

// metricSeries is the setting in the form of Config, where 0 means the default.
func metricSeries(c *config.Config) int {
	if c.Metrics.TaskSeries == 0 {
		return -1
	}
	return c.Metrics.TaskSeries
}
