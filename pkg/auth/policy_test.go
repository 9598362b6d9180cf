// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/domain"
)

// matrix says who may do what by session: a letter for each of anonymous, user without role, viewer, auditor,
// operator, admin, instance admin. y is yes.
var matrix = map[Action]string{
	HealthProbe: "yyyyyyy", SetupStatus: "yyyyyyy", SetupComplete: "yyyyyyy", AuthLogin: "yyyyyyy", AuthPolicy: "yyyyyyy",

	HealthDetails: ".yyyyyy", SchemaRead: ".yyyyyy", AuthLogout: ".yyyyyy", AuthProfileRead: ".yyyyyy",
	AuthProfileWrite: ".yyyyyy", AuthChangePassword: ".yyyyyy", AuthSessionList: ".yyyyyy", AuthSessionRevoke: ".yyyyyy",
	HomeRead: ".yyyyyy", ProjectList: ".yyyyyy", PushSubscribe: ".yyyyyy",

	ProjectRead: "..yyyyy", AgentRead: "..yyyyy", AgentWorkerRead: "..yyyyy", TaskRead: "..yyyyy", TaskExport: "..yyyyy",
	EventRead: "..yyyyy", IssueRead: "..yyyyy", QueueRead: "..yyyyy", WorkerRead: "..yyyyy", DeadLetterRead: "..yyyyy",
	StatsRead: "..yyyyy", TrendsRead: "..yyyyy", CommandRead: "..yyyyy", SavedViewUse: "..yyyyy",

	AuditRead: "...y.yy", AuditExport: "...y.yy",

	CommandDetailRead: "....yyy", CommandRetryTask: "....yyy", CommandCancelTask: "....yyy",
	CommandRequeueDeadLetter: "....yyy", CommandBulkRetry: "....yyy", BulkRetryManage: "....yyy", CommandRestartWorker: "....yyy",
	CommandPoolResize: "....yyy", CommandAddConsumer: "....yyy", CommandCancelConsumer: "....yyy",
	CommandRateLimit: "....yyy", CommandSubmitTask: "....yyy",

	CommandPurgeQueue: ".....yy", TaskBulkDelete: ".....yy", MembershipRead: ".....yy", MembershipGrant: ".....yy",
	MembershipUpdate: ".....yy", MembershipRevoke: ".....yy", AgentMint: ".....yy", AgentRevoke: ".....yy",

	UserRead: "......y", UserCreate: "......y", UserUpdate: "......y", UserDelete: "......y", ProjectCreate: "......y",
	ProjectUpdate: "......y", ProjectArchive: "......y", SystemSettings: "......y", SystemVersions: "......y",
}

func columns() []Subject {
	return []Subject{
		{},
		{Kind: BySession},
		{Kind: BySession, Role: domain.RoleViewer},
		{Kind: BySession, Role: domain.RoleAuditor},
		{Kind: BySession, Role: domain.RoleOperator},
		{Kind: BySession, Role: domain.RoleAdmin},
		{Kind: BySession, InstanceAdmin: true},
	}
}

func TestAllowMatrix(t *testing.T) {
	if got, want := len(matrix), len(Actions()); got != want {
		t.Fatalf("the matrix has %d actions, the policy %d", got, want)
	}
	for _, a := range Actions() {
		row, ok := matrix[a]
		if !ok {
			t.Errorf("%s is missing in the matrix", a)
			continue
		}
		for i, s := range columns() {
			got, reason := Allow(s, a)
			if want := row[i] == 'y'; got != want {
				t.Errorf("Allow(%+v, %s) = %v (%s), want %v", s, a, got, reason, want)
			}
			if got != (reason == "") {
				t.Errorf("Allow(%+v, %s) = %v with reason %q", s, a, got, reason)
			}
		}
	}
}

// TestActionsIsComplete reads the source, so that a constant somebody adds cannot be left out of Actions and
// thereby of the matrix.
func TestActionsIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "policy.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[Action]bool{}
	for _, a := range Actions() {
		if listed[a] {
			t.Errorf("%s is listed twice", a)
		}
		listed[a] = true
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Action" {
			return true
		}
		name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared++
		if !listed[Action(name)] {
			t.Errorf("%s is declared but not in Actions", name)
		}
		return true
	})
	if declared != len(listed) {
		t.Errorf("%d actions declared, %d listed", declared, len(listed))
	}
}

func TestAllowDeniesByDefault(t *testing.T) {
	everything := Subject{Kind: BySession, InstanceAdmin: true, Role: domain.RoleAdmin, Scopes: []string{"admin:*"}}
	for _, a := range []Action{"", "task", "task.read ", "TASK.READ", "task.destroy"} {
		if ok, reason := Allow(everything, a); ok || reason != DenyUnknownAction {
			t.Errorf("Allow(everything, %q) = %v, %s", a, ok, reason)
		}
	}
	if ok, _ := Allow(Subject{Kind: Kind(9), InstanceAdmin: true}, TaskRead); ok {
		t.Error("an unknown kind of caller was let in")
	}
	if ok, reason := Allow(Subject{Kind: BySession, Role: "owner"}, TaskRead); ok || reason != DenyNotMember {
		t.Errorf("an unknown role: %v, %s", ok, reason)
	}
	// An anonymous caller gains nothing from fields that only mean something once authenticated.
	if ok, reason := Allow(Subject{InstanceAdmin: true, Role: domain.RoleAdmin}, TaskRead); ok || reason != DenyUnauthenticated {
		t.Errorf("anonymous with fields: %v, %s", ok, reason)
	}
}

func TestAllowAPIKeys(t *testing.T) {
	key := func(scopes ...string) Subject {
		return Subject{Kind: ByAPIKey, InstanceAdmin: true, Scopes: scopes}
	}
	for _, a := range Actions() {
		r := ruleFor(a)
		all, _ := Allow(key("admin:*"), a)
		if want := r.need == needNothing || r.scope != ""; all != want {
			t.Errorf("key with admin:* on %s: %v, want %v", a, all, want)
		}
		none, reason := Allow(key(), a)
		if want := r.need == needNothing || r.scope == anyScope; none != want {
			t.Errorf("key without scopes on %s: %v (%s), want %v", a, none, reason, want)
		}
		if strings.HasPrefix(string(a), "auth.") && r.need != needNothing && reason != DenyBearer {
			t.Errorf("key on %s: %s, want %s", a, reason, DenyBearer)
		}
		if r.scope != "" && r.scope != anyScope {
			if ok, reason := Allow(key(r.scope), a); !ok {
				t.Errorf("key with %s on %s refused: %s", r.scope, a, reason)
			}
		}
	}
	if ok, _ := Allow(key("commands:write"), CommandRead); !ok {
		t.Error("write does not include read")
	}
	if ok, _ := Allow(key("commands:read"), CommandRetryTask); ok {
		t.Error("read includes write")
	}
	// A key never has more than its owner.
	if ok, reason := Allow(Subject{Kind: ByAPIKey, Role: domain.RoleViewer, Scopes: []string{"admin:*"}}, CommandRetryTask); ok || reason != DenyRole {
		t.Errorf("a viewer's key issued a command: %v %s", ok, reason)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		subject Subject
		action  Action
		code    string
		details map[string]any
	}{
		{"anonymous", Subject{}, TaskRead, domain.CodeUnauthenticated, nil},
		{"outsider", Subject{Kind: BySession}, TaskRead, domain.CodeNotFound, nil},
		{"role", Subject{Kind: BySession, Role: domain.RoleViewer}, CommandRetryTask, domain.CodeForbidden, map[string]any{"have": "viewer", "need": "operator"}},
		{"audit", Subject{Kind: BySession, Role: domain.RoleOperator}, AuditRead, domain.CodeForbidden, map[string]any{"have": "operator", "need": "auditor"}},
		{"instance admin", Subject{Kind: BySession, Role: domain.RoleAdmin}, UserCreate, domain.CodeForbidden, map[string]any{}},
		{"scope", Subject{Kind: ByAPIKey}, TaskRead, domain.CodeForbidden, map[string]any{"reason": "scope_missing", "required_scope": "tasks:read"}},
		{"unreachable", Subject{Kind: ByAPIKey}, IssueRead, domain.CodeForbidden, map[string]any{"reason": "scope_missing", "required_scope": "__unreachable__"}},
		{"bearer", Subject{Kind: ByAPIKey}, AuthProfileRead, domain.CodeForbidden, map[string]any{"reason": "bearer_denied_for_tag", "tag": "auth"}},
		{"unknown", Subject{Kind: BySession, InstanceAdmin: true}, "x.y", domain.CodeForbidden, map[string]any{"reason": "unknown_action"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got *domain.Error
			if !errors.As(Check(tt.subject, tt.action), &got) || got.Code != tt.code || got.Message == "" {
				t.Fatalf("got %v, want code %s", got, tt.code)
			}
			if len(got.Details) != len(tt.details) {
				t.Errorf("details %v, want %v", got.Details, tt.details)
			}
			for k, v := range tt.details {
				if got.Details[k] != v {
					t.Errorf("details[%s] = %v, want %v", k, got.Details[k], v)
				}
			}
		})
	}
	if err := Check(Subject{Kind: BySession, InstanceAdmin: true}, AuditRead); err != nil {
		t.Errorf("instance admin refused: %v", err)
	}
}
