// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/run"
)

// Main is the body of a program that is one service: it takes its settings from the environment, ends on SIGTERM, and
// returns the exit code.
func Main(spec Spec, args []string, stderr io.Writer) int {
	if len(args) > 0 {
		_, _ = fmt.Fprintf(stderr, "z4j %s: takes no arguments; its settings come from the environment, see docs/configuration.md\n", spec.Name)
		return ExitRefused
	}
	ctx, stop := run.Signals(context.Background())
	defer stop()
	err := Run(ctx, spec, Options{Environ: config.Environ(), Stderr: stderr})
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "z4j %s: %v\n", spec.Name, err)
	if e := (*ExitError)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ExitFailed
}
