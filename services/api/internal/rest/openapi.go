// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// Document builds the OpenAPI 3.1 document of everything registered.
func (rt *Router) Document(version string) ([]byte, error) {
	s := newSchemas()
	// Answers first: they keep the plain names.
	for _, op := range rt.Ops() {
		if op.Response != nil {
			s.of(reflect.TypeOf(op.Response), false)
		}
	}
	envelope := s.of(reflect.TypeFor[httpx.Envelope](), false)
	paths := map[string]map[string]any{}
	for _, op := range rt.Ops() {
		item := paths[Base+op.Path]
		if item == nil {
			item = map[string]any{}
			paths[Base+op.Path] = item
		}
		item[strings.ToLower(op.Method)] = s.operation(op, envelope)
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "z4j", "version": version, "x-z4j-build": version,
			"description": "Control plane for background-task queues. Every refusal has the one shape Envelope; times are UTC and end in Z.",
			"license":     map[string]any{"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
		},
		"paths": paths,
		"components": map[string]any{
			"schemas": s.components,
			"securitySchemes": map[string]any{
				"session": map[string]any{
					"type": "apiKey", "in": "cookie", "name": "__Host-z4j_session",
					"description": "Session cookie of POST /auth/login (z4j_session in dev mode). Calls that change something also send the CSRF cookie's value as X-CSRF-Token.",
				},
			},
		},
	}
	if len(s.faults) > 0 {
		return nil, errors.Join(s.faults...)
	}
	return json.MarshalIndent(doc, "", "  ")
}

func (s *schemas) operation(op *Op, envelope map[string]any) map[string]any {
	out := map[string]any{"operationId": op.ID, "tags": []string{op.Tag}}
	if op.Summary != "" {
		out["summary"] = op.Summary
	}
	if op.ShareFor > 0 {
		who := "Callers"
		if op.ShareByRole {
			who = "Callers with the same role"
		}
		out["description"] = who + " who ask the same may share an answer, which is at most " + op.ShareFor.String() + " old."
	}
	if op.Access == Session {
		out["security"] = []any{map[string]any{"session": []string{}}}
	} else {
		out["security"] = []any{}
	}
	if params := s.parameters(op); len(params) > 0 {
		out["parameters"] = params
	}
	if op.Body != nil {
		schema := s.of(reflect.TypeOf(op.Body), true)
		out["requestBody"] = map[string]any{
			"required": !op.BodyOptional, "content": map[string]any{"application/json": map[string]any{"schema": schema}},
		}
	}
	responses := map[string]any{}
	for _, status := range append([]int{op.Status}, op.Also...) {
		responses[strconv.Itoa(status)] = s.response(op, status)
	}
	for _, status := range op.refusals() {
		responses[strconv.Itoa(status)] = map[string]any{
			"description": http.StatusText(status),
			"content":     map[string]any{"application/json": map[string]any{"schema": envelope}},
		}
	}
	out["responses"] = responses
	return out
}

func (s *schemas) response(op *Op, status int) map[string]any {
	out := map[string]any{"description": http.StatusText(status)}
	content := map[string]any{}
	if op.Response != nil {
		schema := s.of(reflect.TypeOf(op.Response), false)
		if op.OrList {
			list := map[string]any{"type": "array", "items": map[string]any{"type": "object", "additionalProperties": map[string]any{}}}
			schema = map[string]any{"anyOf": []any{schema, list}}
		}
		content["application/json"] = map[string]any{"schema": schema}
	}
	for _, media := range op.Media {
		if media != "application/json" {
			content[media] = map[string]any{"schema": map[string]any{"type": "string"}}
		}
	}
	if len(content) > 0 {
		out["content"] = content
	}
	return out
}

func (s *schemas) parameters(op *Op) []any {
	var params []any
	for _, name := range pathParams(op.Path) {
		schema := map[string]any{"type": "string"}
		if isUUIDParam(name) {
			schema["format"] = "uuid"
		}
		params = append(params, map[string]any{"name": name, "in": "path", "required": true, "schema": schema})
	}
	if op.Query != nil {
		for _, f := range fields(reflect.TypeOf(op.Query)) {
			schema := s.constrain(s.of(deref(f.typ), true), f, true)
			params = append(params, map[string]any{
				"name": f.name, "in": "query", "required": hasRule(f.tag, "required"), "schema": schema,
			})
		}
	}
	return params
}

// refusals lists the statuses of every error the operation can answer with.
func (op *Op) refusals() []int {
	set := map[int]bool{http.StatusInternalServerError: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true}
	for _, status := range op.Errors {
		set[status] = true
	}
	if op.Access == Session {
		set[http.StatusUnauthorized], set[http.StatusForbidden] = true, true
	}
	if op.project() {
		set[http.StatusNotFound] = true
	}
	if op.Body != nil {
		set[http.StatusRequestEntityTooLarge], set[http.StatusUnprocessableEntity] = true, true
	}
	if op.Query != nil || slices.ContainsFunc(pathParams(op.Path), isUUIDParam) {
		set[http.StatusUnprocessableEntity] = true
	}
	if op.Throttle != nil {
		set[http.StatusTooManyRequests] = true
	}
	out := make([]int, 0, len(set))
	for status := range set {
		// An operation whose own answer has this status (a failed health check) describes it itself.
		if status != op.Status && !slices.Contains(op.Also, status) {
			out = append(out, status)
		}
	}
	sort.Ints(out)
	return out
}
