// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/domain"
)

// Kind says how a caller proved who it is.
type Kind int

// Kinds of callers. The zero value is nobody.
const (
	Anonymous Kind = iota
	BySession
	ByAPIKey
)

// Subject is the caller of one request, as far as policy cares.
type Subject struct {
	Kind Kind
	// InstanceAdmin acts as admin in every project and may do what concerns the whole installation.
	InstanceAdmin bool
	// Role in the project the request is about; empty when the caller is no member or no project is meant.
	Role domain.Role
	// Scopes of the API key; meaningless for other kinds.
	Scopes []string
}

// EffectiveRole is the role that counts in the project.
func (s Subject) EffectiveRole() domain.Role {
	if s.InstanceAdmin {
		return domain.RoleAdmin
	}
	return s.Role
}

// Action names one thing a caller can ask for. Every route has exactly one.
type Action string

// Actions. The part before the dot is the resource.
const (
	HealthProbe   Action = "health.probe"
	HealthDetails Action = "health.details"
	SchemaRead    Action = "schema.read"

	SetupStatus   Action = "setup.status"
	SetupComplete Action = "setup.complete"

	AuthLogin          Action = "auth.login"
	AuthPolicy         Action = "auth.policy"
	AuthLogout         Action = "auth.logout"
	AuthProfileRead    Action = "auth.profile_read"
	AuthProfileWrite   Action = "auth.profile_write"
	AuthChangePassword Action = "auth.change_password"
	AuthSessionList    Action = "auth.session_list"
	AuthSessionRevoke  Action = "auth.session_revoke"

	HomeRead Action = "home.read"

	UserRead   Action = "user.read"
	UserCreate Action = "user.create"
	UserUpdate Action = "user.update"
	UserDelete Action = "user.delete"

	MembershipRead   Action = "membership.read"
	MembershipGrant  Action = "membership.grant"
	MembershipUpdate Action = "membership.update"
	MembershipRevoke Action = "membership.revoke"

	ProjectList    Action = "project.list"
	ProjectRead    Action = "project.read"
	ProjectCreate  Action = "project.create"
	ProjectUpdate  Action = "project.update"
	ProjectArchive Action = "project.archive"

	AgentRead   Action = "agent.read"
	AgentMint   Action = "agent.mint"
	AgentRevoke Action = "agent.revoke"

	AgentWorkerRead Action = "agent_worker.read"

	TaskRead       Action = "task.read"
	TaskExport     Action = "task.export"
	TaskBulkDelete Action = "task.bulk_delete"
	// SavedViewUse covers all that people do with their own views.
	SavedViewUse   Action = "saved_view.use"
	EventRead      Action = "event.read"
	IssueRead      Action = "issue.read"
	QueueRead      Action = "queue.read"
	WorkerRead     Action = "worker.read"
	DeadLetterRead Action = "dead_letter.read"
	StatsRead      Action = "stats.read"
	TrendsRead     Action = "trends.read"

	// CommandRead shows that a command exists; CommandDetailRead also who issued it, its payload and result.
	CommandRead              Action = "command.read"
	CommandDetailRead        Action = "command.detail_read"
	CommandRetryTask         Action = "command.retry_task"
	CommandCancelTask        Action = "command.cancel_task"
	CommandRequeueDeadLetter Action = "command.requeue_dead_letter"
	CommandBulkRetry         Action = "command.bulk_retry"
	// BulkRetryManage covers the durable bulk retries: making, watching, pausing and resuming them.
	BulkRetryManage       Action = "bulk_retry.manage"
	CommandPurgeQueue     Action = "command.purge_queue"
	CommandRestartWorker  Action = "command.restart_worker"
	CommandPoolResize     Action = "command.pool_resize"
	CommandAddConsumer    Action = "command.add_consumer"
	CommandCancelConsumer Action = "command.cancel_consumer"
	CommandRateLimit      Action = "command.rate_limit"
	CommandSubmitTask     Action = "command.submit_task"

	AuditRead   Action = "audit.read"
	AuditExport Action = "audit.export"

	PushSubscribe Action = "push.subscribe"

	SystemSettings Action = "system.settings"
	SystemVersions Action = "system.versions"
)

// Reasons a call is refused for.
const (
	DenyUnknownAction   = "unknown_action"
	DenyUnauthenticated = "unauthenticated"
	DenyNotMember       = "not_member"
	DenyRole            = "role"
	DenyInstanceAdmin   = "instance_admin"
	DenyScope           = "scope_missing"
	DenyBearer          = "bearer_denied_for_tag"
)

// need is the least a caller must be.
type need int

// The zero need lets nobody in, so a rule somebody forgot to fill in denies.
const (
	needNever need = iota
	needNothing
	needUser
	needViewer
	needAuditReader
	needOperator
	needAdmin
	needInstanceAdmin
)

// unreachable is the scope named in the refusal of routes that no key may call.
const unreachable = "__unreachable__"

// rule is one line of the policy: who, and the scope with which an API key may stand in for its owner. Without
// a scope the action is closed to keys.
type rule struct {
	need  need
	scope string
}

// ruleFor is the policy table. Anything that is not in it is denied.
func ruleFor(a Action) rule {
	switch a {
	case HealthProbe, SetupStatus, SetupComplete, AuthLogin, AuthPolicy:
		return rule{needNothing, ""}
	case HealthDetails, SchemaRead:
		// Any key may ask: there is no resource behind these.
		return rule{needUser, anyScope}
	case AuthLogout, AuthProfileRead, AuthProfileWrite, AuthChangePassword, AuthSessionList, AuthSessionRevoke, PushSubscribe:
		return rule{needUser, ""}
	case HomeRead:
		return rule{needUser, "home:read"}
	case ProjectList:
		return rule{needUser, "projects:read"}

	case UserRead:
		return rule{needInstanceAdmin, "users:read"}
	case UserCreate, UserUpdate, UserDelete, ProjectArchive, SystemSettings, SystemVersions:
		return rule{needInstanceAdmin, ""}
	case ProjectCreate, ProjectUpdate:
		return rule{needInstanceAdmin, "projects:write"}

	case ProjectRead:
		return rule{needViewer, "projects:read"}
	case AgentRead:
		return rule{needViewer, "agents:read"}
	case TaskRead, TaskExport, EventRead, DeadLetterRead, StatsRead:
		return rule{needViewer, "tasks:read"}
	case QueueRead:
		return rule{needViewer, "queues:read"}
	case WorkerRead:
		return rule{needViewer, "workers:read"}
	case CommandRead:
		return rule{needViewer, "commands:read"}
	case AgentWorkerRead, IssueRead, TrendsRead, SavedViewUse:
		return rule{needViewer, ""}

	case AuditRead, AuditExport:
		return rule{needAuditReader, "audit:read"}

	case CommandDetailRead:
		return rule{needOperator, "commands:read"}
	case CommandRetryTask, CommandCancelTask, CommandRequeueDeadLetter, CommandBulkRetry, CommandRestartWorker,
		CommandPoolResize, CommandAddConsumer, CommandCancelConsumer, CommandRateLimit, CommandSubmitTask:
		return rule{needOperator, "commands:write"}

	case BulkRetryManage:
		return rule{needOperator, ""}

	case CommandPurgeQueue:
		return rule{needAdmin, "commands:write"}
	case TaskBulkDelete:
		return rule{needAdmin, "tasks:write"}
	case MembershipRead:
		return rule{needAdmin, "memberships:read"}
	case AgentMint, AgentRevoke, MembershipGrant, MembershipUpdate, MembershipRevoke:
		return rule{needAdmin, ""}
	}
	return rule{}
}

// anyScope marks actions that every key may ask for.
const anyScope = "*"

// Actions lists every action the policy knows, for tests that walk the whole matrix.
func Actions() []Action {
	return []Action{
		HealthProbe, HealthDetails, SchemaRead, SetupStatus, SetupComplete, AuthLogin, AuthPolicy, AuthLogout,
		AuthProfileRead, AuthProfileWrite, AuthChangePassword, AuthSessionList, AuthSessionRevoke, HomeRead,
		UserRead, UserCreate, UserUpdate, UserDelete, MembershipRead, MembershipGrant, MembershipUpdate,
		MembershipRevoke, ProjectList, ProjectRead, ProjectCreate, ProjectUpdate, ProjectArchive, AgentRead,
		AgentMint, AgentRevoke, AgentWorkerRead, TaskRead, TaskExport, TaskBulkDelete, SavedViewUse, EventRead, IssueRead,
		QueueRead, WorkerRead, DeadLetterRead, StatsRead, TrendsRead, CommandRead, CommandDetailRead,
		CommandRetryTask, CommandCancelTask, CommandRequeueDeadLetter, CommandBulkRetry, BulkRetryManage, CommandPurgeQueue,
		CommandRestartWorker, CommandPoolResize, CommandAddConsumer, CommandCancelConsumer, CommandRateLimit,
		CommandSubmitTask, AuditRead, AuditExport, PushSubscribe, SystemSettings, SystemVersions,
	}
}

// Allow decides whether the subject may do the action, and why not. It is the only place where that is
// decided; what it does not know, it denies.
func Allow(s Subject, a Action) (ok bool, reason string) {
	r := ruleFor(a)
	if r.need == needNever {
		return false, DenyUnknownAction
	}
	if r.need == needNothing {
		return true, ""
	}
	switch s.Kind {
	case BySession:
	case ByAPIKey:
		// The key's own limits come first: it stands in for its owner only inside its scopes.
		if !scopeCovers(s.Scopes, r.scope) {
			if strings.HasPrefix(string(a), "auth.") {
				return false, DenyBearer
			}
			return false, DenyScope
		}
	case Anonymous:
		return false, DenyUnauthenticated
	default:
		return false, DenyUnauthenticated
	}
	switch r.need {
	case needUser:
		return true, ""
	case needInstanceAdmin:
		if s.InstanceAdmin {
			return true, ""
		}
		return false, DenyInstanceAdmin
	case needNever, needNothing, needViewer, needAuditReader, needOperator, needAdmin:
	}
	role := s.EffectiveRole()
	if role.Rank() == 0 {
		return false, DenyNotMember
	}
	if roleSuffices(role, r.need) {
		return true, ""
	}
	return false, DenyRole
}

// roleSuffices compares a role with what is needed. Reading the audit log is not a rung of the ladder:
// operators act and auditors watch them, so only auditors and admins read it.
func roleSuffices(role domain.Role, n need) bool {
	if n == needAuditReader {
		return role == domain.RoleAuditor || role == domain.RoleAdmin
	}
	least := n.role().Rank()
	return least > 0 && role.Rank() >= least
}

// role is the least role of a need that is about roles, else empty.
func (n need) role() domain.Role {
	switch n {
	case needViewer:
		return domain.RoleViewer
	case needAuditReader:
		return domain.RoleAuditor
	case needOperator:
		return domain.RoleOperator
	case needAdmin:
		return domain.RoleAdmin
	case needNever, needNothing, needUser, needInstanceAdmin:
	}
	return ""
}

// scopeCovers reports whether a key's scopes include the wanted one. write includes read, admin:* every scope;
// an action without a scope is out of reach for every key.
func scopeCovers(have []string, want string) bool {
	switch {
	case want == "":
		return false
	case want == anyScope, slices.Contains(have, want), slices.Contains(have, "admin:*"):
		return true
	}
	resource, isRead := strings.CutSuffix(want, ":read")
	return isRead && slices.Contains(have, resource+":write")
}

// Check is Allow as the error to answer with, nil when the call is allowed. A project the caller is no member
// of looks like one that does not exist.
func Check(s Subject, a Action) error {
	ok, reason := Allow(s, a)
	if ok {
		return nil
	}
	forbidden := func(message string, details map[string]any) error {
		return &domain.Error{Code: domain.CodeForbidden, Message: message, Details: details}
	}
	r := ruleFor(a)
	switch reason {
	case DenyUnauthenticated:
		return &domain.Error{Code: domain.CodeUnauthenticated, Message: "authentication required: log in or send an API key"}
	case DenyNotMember:
		return &domain.Error{Code: domain.CodeNotFound, Message: "project not found"}
	case DenyRole:
		have, least := string(s.EffectiveRole()), string(r.need.role())
		return forbidden(fmt.Sprintf("role '%s' is not sufficient (need at least '%s'); ask a project admin for it", have, least),
			map[string]any{"have": have, "need": least})
	case DenyInstanceAdmin:
		return forbidden("admin role required: only an instance admin may do this", map[string]any{})
	case DenyBearer:
		return forbidden("api keys cannot be used here: log in and use the session cookie",
			map[string]any{"reason": DenyBearer, "tag": "auth"})
	case DenyScope:
		scope := r.scope
		if scope == "" {
			scope = unreachable
		}
		return forbidden("api key lacks required scope", map[string]any{"reason": DenyScope, "required_scope": scope})
	}
	return forbidden("this action is not permitted", map[string]any{"reason": reason})
}
