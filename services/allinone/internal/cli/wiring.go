// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/audit"
	"github.com/z4jdev/z4j/services/gateway"
	"github.com/z4jdev/z4j/services/ingest"
)

// wiring is what the settings become: the part of each service. It is a value of its own, made in one place,
// so that a test can tell which settings reach somebody and which would be ignored in silence.
type wiring struct {
	Store    store.Options
	Bus      bus.Config
	Audit    audit.Config
	Ingest   ingest.Config
	API      api.Config
	Gateway  gateway.Config
	Master   []byte
	Previous [][]byte
}

// wire takes the settings apart.
func wire(cfg *config.Config) (wiring, error) {
	proxies, err := httpx.ParsePrefixes(cfg.Server.TrustedProxies)
	if err != nil {
		return wiring{}, fmt.Errorf("Z4J_TRUSTED_PROXIES: %w", err)
	}
	ingestConfig, err := ingest.ConfigFrom(cfg)
	if err != nil {
		return wiring{}, err
	}
	apiConfig := apiConfig(cfg)
	if apiConfig.DashboardAllow, err = httpx.ParsePrefixes(cfg.Hosts.DashboardIPAllow); err != nil {
		return wiring{}, fmt.Errorf("Z4J_DASHBOARD_IP_ALLOWLIST: %w", err)
	}
	return wiring{
		Store: storeOptions(cfg), Bus: bus.Config{URL: cfg.Database.RedisURL.Reveal(), DropPercent: cfg.Database.BusDrop}, Audit: auditConfig(cfg), Ingest: ingestConfig, API: apiConfig,
		Gateway: gateway.Config{
			Dev: cfg.Dev(), PublicURL: cfg.Server.PublicURL, TrustedProxies: proxies, CORSOrigins: cfg.Server.CORSOrigins,
			CORSCredentials: bool(cfg.Server.CORSCredentials), HSTSMaxAge: cfg.HSTSMaxAge(), HSTSSubdomains: bool(cfg.Server.HSTSSubdomains),
			MetricsProtected: !bool(cfg.Metrics.Public) && cfg.Metrics.AuthToken.Reveal() != "",
		},
		Master: cfg.Secret.Master.Bytes(), Previous: secretBytes(cfg.Secret.PreviousMasters),
	}, nil
}

// storeOptions is the database's part of the settings; the logger is the caller's.
func storeOptions(cfg *config.Config) store.Options {
	return store.Options{
		URL: cfg.Database.URL.Reveal(), ReadConns: poolSize(cfg), AuditKey: auth.AuditOutboxKey(cfg.Secret.AuditChain.Bytes()),
		EventRetention: days(cfg.Retention.EventDays),
	}
}

func auditConfig(cfg *config.Config) audit.Config {
	return audit.Config{ChainKey: cfg.Secret.AuditChain.Bytes(), PreviousKeys: secretBytes(cfg.Secret.AuditPrevious)}
}

// apiConfig takes the API's part of the settings.
func apiConfig(cfg *config.Config) api.Config {
	return api.Config{
		Secret: cfg.Secret.Master.Bytes(), PreviousSecrets: secretBytes(cfg.Secret.PreviousMasters),
		SessionSecret: cfg.Secret.Session.Bytes(), PreviousSessionSecrets: secretBytes(cfg.Secret.PreviousSession),
		Dev: cfg.Dev(), SecureCookies: cfg.SecureCookies(), StrictCookies: cfg.Auth.CookieSameSite == "strict",
		PinUserAgent: bool(cfg.Auth.SessionPinAgent),
		Lifetimes: auth.Lifetimes{
			Absolute: cfg.Auth.SessionAbsolute.Duration(), Idle: cfg.Auth.SessionIdle.Duration(), Remember: cfg.Auth.SessionRemember.Duration(),
		},
		Password: passwordPolicy(cfg), Hasher: auth.HasherConfig{Params: hashParams(cfg)},
		LockoutAfter: cfg.Auth.LockoutThreshold, LockoutFor: cfg.Auth.LockoutDuration.Duration(),
		// The API takes zero for its default; who sets zero wants none.
		LoginFloor:        max(time.Nanosecond, time.Duration(cfg.Auth.LoginMinDuration)*time.Millisecond),
		FirstBootAttempts: cfg.Auth.SetupAttempts, OpenAPI: cfg.API.OpenAPIVisibility,
		RequestTimeout: cfg.Server.RequestTimeout.Duration(), CommandTimeout: cfg.Commands.Timeout.Duration(),
		PageSize: cfg.API.DefaultPageSize, MaxPageSize: cfg.API.MaxPageSize,
		ExportMaxRows: cfg.API.ExportMaxRows, MaxProjects: cfg.API.ProjectListCap,
		MetricsEnabled: bool(cfg.Metrics.Enabled), MetricsPublic: bool(cfg.Metrics.Public), MetricsToken: cfg.Metrics.AuthToken.Reveal(),
		Home: cfg.Home, Settings: cfg.Effective(),
	}
}

func passwordPolicy(cfg *config.Config) auth.PasswordPolicy {
	return auth.PasswordPolicy{MinLength: cfg.Auth.PasswordMinLength}
}

func hashParams(cfg *config.Config) auth.Params {
	p := auth.DefaultParams()
	p.Time, p.Memory = uint32(cfg.Auth.Argon2Time), uint32(cfg.Auth.Argon2MemoryKiB) //nolint:gosec // bounded by the settings
	p.Threads = uint8(cfg.Auth.Argon2Parallelism)                                    //nolint:gosec // bounded by the settings
	return p
}

func secretBytes(secrets []config.Secret) [][]byte {
	list := make([][]byte, 0, len(secrets))
	for _, s := range secrets {
		list = append(list, s.Bytes())
	}
	return list
}

// idle says of a setting that this binary reads and checks, but that no part of it acts on, why. TestSettingsReachAService
// keeps the list true in both directions.
func idle(name string) string {
	switch name {
	case "Z4J_HOP_KEY":
		return "it is between single services; here everything is one process"
	case "Z4J_API_IP_ALLOWLIST":
		return "this version has no API keys yet"
	}
	return ""
}

// withoutEffect lists every setting that was given and changes nothing.
func withoutEffect(cfg *config.Config) []config.Notice {
	list := slices.Clone(cfg.Notices)
	for _, s := range cfg.Effective() {
		if why := idle(s.Name); why != "" && cfg.Source(s.Name) != config.SourceDefault {
			list = append(list, config.Notice{Name: s.Name, Source: s.Source, Text: why})
		}
	}
	slices.SortFunc(list, func(a, b config.Notice) int { return strings.Compare(a.Name, b.Name) })
	return list
}
