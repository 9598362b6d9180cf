// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"errors"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/taskfilter"
	"github.com/z4jdev/z4j/pkg/taskquery"
)

// narrow adds a text of the filter language to a filter.
func narrow(f *store.TaskFilter, text string, now time.Time) error {
	err := taskfilter.Narrow(f, text, now)
	if fault, ok := errors.AsType[*taskquery.Error](err); ok {
		return badQuery(fault)
	}
	return err
}

// badQuery names every problem with its place; the message tells of the first.
func badQuery(fault *taskquery.Error) error {
	first := fault.Problems[0]
	return &domain.Error{
		Code: domain.CodeValidation, Message: fmt.Sprintf("the search has a mistake at character %d: %s", first.From+1, first.Message),
		Details: map[string]any{"field": "query", "from": first.From, "to": first.To, "problems": fault.Problems},
	}
}
