// SPDX-License-Identifier: AGPL-3.0-or-later

// Package taskfilter says what a text of the filter language (pkg/taskquery, docs/search.md) means for stored tasks, for the
// API and the command line alike.
package taskfilter

import (
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/taskquery"
)

// Narrow adds a text to a filter; of two windows or run times the narrower holds. Spans count from now. A text with mistakes
// leaves the filter as it was; the error is then a *taskquery.Error.
func Narrow(f *store.TaskFilter, text string, now time.Time) error {
	if text == "" {
		return nil
	}
	q, err := taskquery.Parse(text)
	if err != nil {
		return err
	}
	asked := termsOf(q, false)
	f.Not = termsOf(q, true)
	if f.NoTerms() {
		f.TaskTerms = asked
	} else if !asked.NoTerms() {
		f.Also = append(f.Also, asked)
	}
	since, until := q.Window(now)
	if f.Since == nil || since != nil && since.After(*f.Since) {
		f.Since = since
	}
	if f.Until == nil || until != nil && until.Before(*f.Until) {
		f.Until = until
	}
	least, most := q.RuntimeMS()
	if f.MinRuntimeMS == nil || least != nil && *least > *f.MinRuntimeMS {
		f.MinRuntimeMS = least
	}
	f.MaxRuntimeMS = most
	return nil
}

func termsOf(q *taskquery.Query, negated bool) store.TaskTerms {
	match := func(key taskquery.Key, how store.Match) (list []store.TextMatch) {
		for _, text := range q.Values(key, negated) {
			list = append(list, matchOf(text, how))
		}
		return list
	}
	t := store.TaskTerms{
		Engines: match(taskquery.Engine, store.MatchExact), Queues: match(taskquery.Queue, store.MatchExact),
		Workers: match(taskquery.Worker, store.MatchExact), Names: match(taskquery.Task, store.MatchPart),
		IDs: match(taskquery.ID, store.MatchExact), Issues: match(taskquery.Issue, store.MatchExact),
		Exceptions: match(taskquery.Exception, store.MatchPart), Search: q.Values(taskquery.Text, negated),
	}
	for _, text := range q.Values(taskquery.State, negated) {
		if state, ok := domain.ParseTaskState(text); ok {
			t.States = append(t.States, state)
		}
	}
	for _, text := range q.Values(taskquery.Priority, negated) {
		if p, ok := domain.ParsePriority(text); ok {
			t.Priorities = append(t.Priorities, p)
		}
	}
	for _, key := range q.Keys(negated) {
		column, path, ok := key.Content()
		if !ok {
			continue
		}
		// A member is compared as a whole, the text of all of it in part.
		usual := store.MatchExact
		if len(path) == 0 {
			usual = store.MatchPart
		}
		t.Content = append(t.Content, store.ContentMatch{Column: store.ContentColumn(column), Path: path, Texts: match(key, usual)})
	}
	return t
}

// matchOf reads a value: `=text` is the whole text, a star stands for any characters, anything else is compared as usual.
func matchOf(text string, usual store.Match) store.TextMatch {
	if whole, ok := strings.CutPrefix(text, "="); ok {
		return store.TextMatch{Text: whole, Match: store.MatchExact}
	}
	if strings.Contains(text, "*") {
		return store.TextMatch{Text: text, Match: store.MatchGlob}
	}
	return store.TextMatch{Text: text, Match: usual}
}
