// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// ConfigFrom takes the service's settings out of the product's. The addresses of other services are not among them: only
// the gateway as a process of its own has them.
func ConfigFrom(cfg *config.Config) (Config, error) {
	proxies, err := httpx.ParsePrefixes(cfg.Server.TrustedProxies)
	if err != nil {
		return Config{}, fmt.Errorf("Z4J_TRUSTED_PROXIES: %w", err)
	}
	return Config{
		Dev: cfg.Dev(), PublicURL: cfg.Server.PublicURL, TrustedProxies: proxies, CORSOrigins: cfg.Server.CORSOrigins,
		CORSCredentials: bool(cfg.Server.CORSCredentials), HSTSMaxAge: cfg.HSTSMaxAge(), HSTSSubdomains: bool(cfg.Server.HSTSSubdomains),
		MetricsProtected: !bool(cfg.Metrics.Public) && cfg.Metrics.AuthToken.Reveal() != "",
	}, nil
}
