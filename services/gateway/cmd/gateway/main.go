// SPDX-License-Identifier: AGPL-3.0-or-later

// Command gateway runs the gateway service alone, without the commands of z4j. Its settings are those of `z4j gateway`.
package main

import (
	"os"

	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/gateway"
)

func main() {
	os.Exit(launch.Main(gateway.Process(), os.Args[1:], os.Stderr))
}
