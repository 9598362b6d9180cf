// SPDX-License-Identifier: AGPL-3.0-or-later

// Package allinone is the product binary: the four services in one process, and the commands that
// manage an installation. It is the only package that knows all services.
package allinone

import (
	"io"

	"github.com/z4jdev/z4j/pkg/run"
	"github.com/z4jdev/z4j/services/allinone/internal/cli"
)

// Main runs a command line and returns the process's exit code. Output goes to stdout, logs,
// progress and errors to stderr.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := run.Signals(cli.Background())
	defer stop()
	return cli.Run(ctx, args, stdin, stdout, stderr)
}
