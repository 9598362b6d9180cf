// SPDX-License-Identifier: AGPL-3.0-or-later

package audit

import (
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
)

// ConfigFrom takes the service's settings out of the product's.
func ConfigFrom(cfg *config.Config) Config {
	return Config{ChainKey: cfg.Secret.AuditChain.Bytes(), PreviousKeys: launch.SecretBytes(cfg.Secret.AuditPrevious)}
}
