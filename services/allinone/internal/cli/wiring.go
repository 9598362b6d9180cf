// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
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
	Requests store.Options
	Bus      bus.Config
	Audit    audit.Config
	Ingest   ingest.Config
	API      api.Config
	Gateway  gateway.Config
	Traces   launch.Traces
	Master   []byte
	Previous [][]byte
}

// wire takes the settings apart.
func wire(cfg *config.Config) (wiring, error) {
	w := wiring{
		Store: launch.StoreOptions(cfg), Requests: launch.RequestOptions(cfg), Bus: launch.BusConfig(cfg), Audit: audit.ConfigFrom(cfg),
		Master: cfg.Secret.Master.Bytes(), Previous: launch.SecretBytes(cfg.Secret.PreviousMasters),
	}
	var err error
	if w.Ingest, err = ingest.ConfigFrom(cfg); err != nil {
		return w, err
	}
	if w.API, err = api.ConfigFrom(cfg); err != nil {
		return w, err
	}
	if w.Gateway, err = gateway.ConfigFrom(cfg); err != nil {
		return w, err
	}
	w.Traces, err = launch.TracesFrom(cfg)
	return w, err
}

// idle says of a setting that this binary reads and checks, but that no part of it acts on, why. TestSettingsReachAService
// keeps the list true in both directions.
func idle(name string) string {
	switch name {
	case "Z4J_HOP_KEY", "Z4J_API_URL", "Z4J_INGEST_URL":
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
