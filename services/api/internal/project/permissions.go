// SPDX-License-Identifier: AGPL-3.0-or-later

package project

import (
	"net/http"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// PermissionsPublic is what the caller may do in a project.
type PermissionsPublic struct {
	Role          string   `json:"role" doc:"the role that counts: administrators of the installation are admin everywhere"`
	InstanceAdmin bool     `json:"instance_admin"`
	Actions       []string `json:"actions" doc:"everything the policy lets the caller do, here and in the installation"`
}

func (g *group) permissionOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/permissions", ID: "project_permissions", Tag: "projects", Action: auth.ProjectRead,
		Summary: "What the caller may do in the project, so that a page offers nothing else", Access: rest.Session,
		Response: PermissionsPublic{}, Status: http.StatusOK, Handle: g.permissions,
	}}
}

func (g *group) permissions(r *rest.Request) (any, error) {
	subject := r.Subject()
	out := PermissionsPublic{Role: string(subject.EffectiveRole()), InstanceAdmin: subject.InstanceAdmin, Actions: []string{}}
	for _, a := range auth.Actions() {
		if r.Can(a) {
			out.Actions = append(out.Actions, string(a))
		}
	}
	return out, nil
}
