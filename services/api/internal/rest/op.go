// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// Base is the path under which every operation lives.
const Base = "/api/v1"

// Access says how a caller may prove who it is.
type Access int

// The zero Access is a mistake that Add refuses.
const (
	accessUnset Access = iota
	// Public operations answer everybody; a session is still recognised.
	Public
	// Session operations need a browser session.
	Session
)

// Op is one operation: a row of the API's table.
type Op struct {
	// Method and Path (below Base, chi syntax: /projects/{slug}/tasks).
	Method, Path string
	// ID is the operationId, unique in the document. Tag groups operations in it.
	ID, Tag, Summary string
	// Action is what policy is asked. Access is how the caller proves itself.
	Action auth.Action
	Access Access
	// Throttle, if set, counts calls by client address before anything else.
	Throttle *httpx.Throttle
	// Query and Body are zero values of structs with httpx tags (see httpx.Decode); nil for none. Query
	// fields are named by their json tag. BodyOptional accepts an absent body.
	Query, Body  any
	BodyOptional bool
	// Response is a zero value of the answer's type, nil when the answer has no body. Status is its status;
	// Also lists further statuses that answer with the same type.
	Response any
	Status   int
	Also     []int
	// Media lists content types that the operation may stream instead of JSON.
	Media []string
	// OrList says that the JSON answer may also be a list of objects with the members the caller chose: an export.
	OrList bool
	// Errors lists the refusals of the operation beyond those every operation of its kind has (401, 403, 404, 422 ...).
	Errors []int
	// ShareFor is how old an answer may be that callers who ask the same share; 0 shares none. Such an answer must depend
	// on nothing but the address with its query, and the caller where that names no project, and be a plain value.
	ShareFor time.Duration
	// ShareByRole says that an answer to share depends on what the caller may do, too.
	ShareByRole bool
	// Archived lets the operation reach archived projects.
	Archived bool
	// Handle answers. The result is encoded as JSON unless it is an Answer or a Stream.
	Handle func(*Request) (any, error)
}

// Answer overrides the operation's status or adds headers.
type Answer struct {
	Status int
	Header http.Header
	Body   any
}

// check reports what is wrong with the row; the router refuses it at start-up.
func (o *Op) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Action == "" || !slices.Contains(auth.Actions(), o.Action) {
		bad("action %q is not in the policy", o.Action)
	}
	switch o.Access {
	case Public:
		// What everybody may call, policy must let everybody do; setup status alone asks for a login later.
		if ok, _ := auth.Allow(auth.Subject{}, o.Action); !ok {
			bad("public, but policy refuses anonymous callers of %q", o.Action)
		}
	case Session:
		if ok, _ := auth.Allow(auth.Subject{}, o.Action); ok {
			bad("needs a session, but policy allows anonymous callers of %q", o.Action)
		}
	case accessUnset:
		bad("access is not set")
	}
	if o.ID == "" || o.Tag == "" || o.Handle == nil || !strings.HasPrefix(o.Path, "/") {
		bad("id, tag, path and handler are required")
	}
	if o.Status == 0 {
		bad("status is not set")
	}
	if (o.Status == http.StatusNoContent) != (o.Response == nil) && len(o.Media) == 0 {
		bad("status %d does not fit a response of %T", o.Status, o.Response)
	}
	if o.ShareFor > 0 && (o.Method != http.MethodGet || len(o.Media) > 0) {
		bad("only reads without streams can share their answers")
	}
	if o.ShareByRole && o.ShareFor <= 0 {
		bad("no answers are shared, so none by role")
	}
	for _, v := range []any{o.Query, o.Body} {
		if v != nil && reflect.TypeOf(v).Kind() != reflect.Struct {
			bad("%T is not a struct", v)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("operation %s %s: %w", o.Method, o.Path, errors.Join(faults...))
	}
	return nil
}

// project reports whether the operation is about a project.
func (o *Op) project() bool { return strings.Contains(o.Path, "{slug}") }

// pathParams lists the names in braces.
func pathParams(path string) []string {
	var names []string
	for part := range strings.SplitSeq(path, "{") {
		if name, _, ok := strings.Cut(part, "}"); ok {
			names = append(names, name)
		}
	}
	return names
}
