// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sqltrace makes spans of statements. They carry the statement's name, never its text or its arguments, and exist
// only below a span that is being recorded: polls and background work of nobody's would drown what people look for.
package sqltrace

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/obs"
)

// Systems of db.system.name.
const (
	PostgreSQL = "postgresql"
	SQLite     = "sqlite"
)

// Start begins the span of a statement.
func Start(ctx context.Context, system, query string) (context.Context, trace.Span) {
	return start(ctx, system, query)
}

func start(ctx context.Context, system, query string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, trace.SpanFromContext(ctx)
	}
	name := Name(query)
	return obs.Child(ctx, "store", name, append(opts, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", system), attribute.String("db.query.summary", name),
	))...)
}

// End ends a span of Start. Of an error only the kind is kept: texts of the database may quote values.
func End(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", server.Code), attribute.String("db.response.status_code", server.Code))
		err = nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil // an answer like any other
	}
	obs.End(span, err)
}

// maxName bounds the names of statements written by hand.
const maxName = 60

// Name is the name of a query that sqlc generated, or verb and table of one that was written by hand.
func Name(query string) string {
	if rest, ok := strings.CutPrefix(query, "-- name: "); ok {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	words := strings.Fields(query)
	verb, table, with := "", "", false
	for i := 0; i < len(words) && table == ""; i++ {
		word := strings.ToUpper(words[i])
		switch {
		case verb == "" && word == "WITH":
			with = true
		case verb == "" && with:
			// The first statement of a WITH names the whole.
			if w := strings.TrimLeft(word, "("); w == "SELECT" || w == "INSERT" || w == "UPDATE" || w == "DELETE" {
				verb = w
				if w == "UPDATE" {
					table = word1(words, i+1)
				}
			}
		case verb == "":
			verb = word
			switch word {
			case "UPDATE":
				table = word1(words, i+1)
			case "SELECT", "INSERT", "DELETE":
			default: // BEGIN, COMMIT, SET, PRAGMA: the verb says it
				return bounded(verb)
			}
		case word == "FROM" || word == "INTO":
			table = word1(words, i+1)
		}
	}
	if table == "" || strings.HasPrefix(table, "(") {
		return bounded(verb)
	}
	return bounded(verb + " " + table)
}

// word1 is the word at i up to the first character that ends a name.
func word1(words []string, i int) string {
	if i >= len(words) {
		return ""
	}
	word := words[i]
	if end := strings.IndexAny(word, "(),;"); end > 0 {
		word = word[:end]
	}
	return word
}

func bounded(name string) string {
	name = strings.TrimRight(name, ";")
	return name[:min(len(name), maxName)]
}

// Postgres traces the statements of a pgx connection.
type Postgres struct{}

var (
	_ pgx.QueryTracer = Postgres{}
	_ pgx.BatchTracer = Postgres{}
)

// TraceQueryStart implements pgx.QueryTracer.
func (Postgres) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	ctx, _ = Start(ctx, PostgreSQL, data.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (Postgres) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	End(trace.SpanFromContext(ctx), data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (Postgres) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer. Of statements that share a journey each has a span, as long as its answer was
// waited for.
func (Postgres) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	_, span := start(ctx, PostgreSQL, data.SQL, trace.WithTimestamp(data.ReadStartTime))
	End(span, data.Err)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (Postgres) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
