// SPDX-License-Identifier: AGPL-3.0-or-later

// Command api runs the api service alone, without the commands of z4j. Its settings are those of `z4j api`.
package main

import (
	"os"

	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/api"
)

func main() {
	os.Exit(launch.Main(api.Process(), os.Args[1:], os.Stderr))
}
