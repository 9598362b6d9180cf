// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/gateway"
	"github.com/z4jdev/z4j/services/ingest"
)

// commonHelp is what the help of every service with a database says.
const commonHelp = `
It needs PostgreSQL (Z4J_DATABASE_URL), the schema of this version ('z4j migrate upgrade head', once), and, for quick
news between replicas, Redis (Z4J_REDIS_URL). It waits for the database and its schema. GET /health/ready says whether
it wants requests, GET /metrics is for Prometheus (Z4J_METRICS_AUTH_TOKEN).

SIGTERM: readiness turns to 503, and after 2.5 seconds (Z4J_SHUTDOWN_DELAY_SECONDS for more) it stops.

Exit codes: 0 stopped as asked, 1 failed, 2 refused (settings, or a database that can't do).`

// singleCommands run one service as a process of its own; audit has a command of its own.
func (a *app) singleCommands() []*cobra.Command {
	return []*cobra.Command{
		a.single(gateway.Process(), "Run only the gateway: the public edge",
			`Runs the public edge: Host check, client addresses, security headers, the dashboard's files, and the way to the api and
ingest services. It holds no database handle and no master secret, only Z4J_HOP_KEY, with which it vouches for client
addresses ('z4j config hop-key' prints the value that goes with Z4J_SECRET).

Z4J_API_URL and Z4J_INGEST_URL name the services behind it: addresses separated by commas. A name with several addresses
stands for all of them. Replicas that are not ready get no requests; what certainly did not reach one goes to another.

GET /health/ready says whether both services have a ready replica, GET /metrics is for Prometheus
(Z4J_METRICS_AUTH_TOKEN).
SIGTERM: readiness turns to 503, and after 2.5 seconds (Z4J_SHUTDOWN_DELAY_SECONDS for more) it stops.

Exit codes: 0 stopped as asked, 1 failed, 2 refused (settings).`,
			"  Z4J_API_URL=http://api:7720 Z4J_INGEST_URL=http://ingest:7710 Z4J_HOP_KEY=... z4j gateway"),
		a.single(ingest.Process(), "Run only the ingest service: agent connections",
			`Runs the service that agents talk to: WebSockets and long polls, events into the database, commands out to agents, and,
one replica at a time, sweeps, retention and roll-ups.
`+commonHelp, "  Z4J_DATABASE_URL=postgres://... Z4J_REDIS_URL=redis://... Z4J_SECRET=... z4j ingest"),
		a.single(api.Process(), "Run only the api service: REST and the dashboard's socket",
			`Runs the REST API and the dashboard's push socket. It answers the gateway only. The first one prints the setup link.
`+commonHelp, "  Z4J_DATABASE_URL=postgres://... Z4J_REDIS_URL=redis://... Z4J_SECRET=... Z4J_SESSION_SECRET=... z4j api"),
	}
}

func (a *app) single(spec launch.Spec, short, long, example string) *cobra.Command {
	var host string
	var port int
	var names []string
	use := spec.Name
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := map[string]string{}
			if cmd.Flags().Changed("host") {
				flags["Z4J_BIND_HOST"] = host
			}
			if cmd.Flags().Changed("port") {
				flags["Z4J_BIND_PORT"] = strconv.Itoa(port)
			}
			return launch.Run(cmd.Context(), spec, launch.Options{Environ: config.Environ(), Flags: flags, Hosts: names, Stderr: a.stderr})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "listen on `ADDRESS` (default 0.0.0.0)")
	cmd.Flags().IntVar(&port, "port", 0, "listen on `PORT` (default "+strconv.Itoa(spec.Port)+")")
	if spec.Edge {
		cmd.Flags().StringArrayVar(&names, "allowed-host", nil, "accept this Host `NAME` in this run (repeatable)")
	}
	return cmd
}
