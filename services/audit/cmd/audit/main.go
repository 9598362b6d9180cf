// SPDX-License-Identifier: AGPL-3.0-or-later

// Command audit runs the audit service alone, without the commands of z4j. Its settings are those of `z4j audit`.
package main

import (
	"os"

	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/audit"
)

func main() {
	os.Exit(launch.Main(audit.Process(), os.Args[1:], os.Stderr))
}
