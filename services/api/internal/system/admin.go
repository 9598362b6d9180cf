// SPDX-License-Identifier: AGPL-3.0-or-later

package system

import (
	"net/http"
	"strings"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// AdminSettingsResponse lists every setting as the brain uses it.
type AdminSettingsResponse struct {
	_        struct{}      `extra:"forbid"`
	Z4JHome  string        `json:"z4j_home"`
	Settings []SettingItem `json:"settings"`
}

// SettingItem is one setting; secrets are masked.
type SettingItem struct {
	_           struct{} `extra:"forbid"`
	Name        string   `json:"name"`
	Value       string   `json:"value"`
	Source      string   `json:"source"`
	IsSecret    bool     `json:"is_secret"`
	Description string   `json:"description"`
}

// VersionsSnapshotPublic names the newest releases this brain knows of.
type VersionsSnapshotPublic struct {
	_                 struct{}          `extra:"forbid"`
	SchemaVersion     int               `json:"schema_version"`
	GeneratedAt       string            `json:"generated_at"`
	GeneratedBy       string            `json:"generated_by"`
	CanonicalURL      string            `json:"canonical_url"`
	Packages          map[string]string `json:"packages"`
	Source            string            `json:"source"`
	FetchedAt         *string           `json:"fetched_at"`
	FetchedFrom       *string           `json:"fetched_from"`
	CheckForUpdateURL string            `json:"check_for_updates_url"`
}

func (g *group) adminOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodGet, Path: "/admin/settings", ID: "admin_settings", Tag: "admin",
		Summary: "Every setting with its value and source; secrets are masked.",
		Action:  auth.SystemSettings, Access: rest.Session, Response: AdminSettingsResponse{}, Status: http.StatusOK, Handle: g.settings,
	}, {
		Method: http.MethodGet, Path: "/admin/system/versions", ID: "admin_versions", Tag: "admin",
		Summary: "The newest releases this brain knows of.",
		Action:  auth.SystemVersions, Access: rest.Session, Response: VersionsSnapshotPublic{}, Status: http.StatusOK, Handle: g.versions,
	}}
}

// mask stands for a secret that is set.
const mask = "***"

func (g *group) settings(*rest.Request) (any, error) {
	out := AdminSettingsResponse{Z4JHome: g.cfg.Home, Settings: make([]SettingItem, 0, len(g.cfg.Settings))}
	for _, s := range g.cfg.Settings {
		item := SettingItem{
			Name: strings.ToLower(strings.TrimPrefix(s.Name, "Z4J_")), Value: s.Value, Source: s.Source, IsSecret: s.Secret, Description: s.Doc,
		}
		if s.Secret {
			// Masked here again, whatever the list held.
			item.Value = mask
		}
		out.Settings = append(out.Settings, item)
	}
	return out, nil
}

func (g *group) versions(*rest.Request) (any, error) {
	packages := map[string]string{"z4j": domain.Version}
	for _, name := range []string{
		"apscheduler", "arq", "arqcron", "bare", "celery", "celerybeat", "core", "django", "dramatiq", "fastapi", "flask", "huey",
		"hueyperiodic", "rq", "rqscheduler", "scheduler", "taskiq", "taskiqscheduler",
	} {
		packages["z4j-"+name] = domain.NewestAgent
	}
	return VersionsSnapshotPublic{
		SchemaVersion: 1, GeneratedAt: "2026-11-23T00:00:00Z", GeneratedBy: "z4j@" + domain.Version,
		CanonicalURL: "https://raw.githubusercontent.com/z4jdev/z4j/main/versions.json", Packages: packages, Source: "bundled",
	}, nil
}
