// SPDX-License-Identifier: AGPL-3.0-or-later

// Command ingest runs the ingest service alone, without the commands of z4j. Its settings are those of `z4j ingest`.
package main

import (
	"os"

	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/ingest"
)

func main() {
	os.Exit(launch.Main(ingest.Process(), os.Args[1:], os.Stderr))
}
