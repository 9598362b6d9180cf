// SPDX-License-Identifier: AGPL-3.0-or-later

// Command z4j is the whole product in one binary: the brain and its management commands.
package main

import (
	"os"

	"github.com/z4jdev/z4j/services/allinone"
)

func main() {
	os.Exit(allinone.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
