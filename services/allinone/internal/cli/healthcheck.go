// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/audit"
	"github.com/z4jdev/z4j/services/gateway"
	"github.com/z4jdev/z4j/services/ingest"
)

// healthcheckLimit is how long the probed process may take.
const healthcheckLimit = 4 * time.Second

func (a *app) healthcheckCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "healthcheck [SERVICE]", Short: "Ask a running brain, or one service, whether it is ready",
		Long: `Asks the process on this machine whether it wants requests, for the health checks of containers, which have no other
program. SERVICE is gateway, ingest, api or audit; without it 'z4j serve' is asked. The port is Z4J_BIND_PORT, or the
default of the service. Exit code 0 when it is ready, 1 when it is not.`,
		Example: "  z4j healthcheck\n  z4j healthcheck ingest\n  z4j healthcheck --url http://127.0.0.1:8080/api/v1/health/ready",
		Args:    cobra.MaximumNArgs(1), ValidArgs: []string{"gateway", "ingest", "api", "audit"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if url == "" {
				var err error
				if url, err = readyURL(args); err != nil {
					return err
				}
			}
			return a.healthcheck(cmd.Context(), url)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "ask this `ADDRESS`")
	return cmd
}

// readyURL is where the process of this machine answers probes.
func readyURL(args []string) (string, error) {
	port, path := 7700, "/api/v1/health/ready"
	if len(args) == 1 {
		path = "/health/ready"
		found := false
		for _, spec := range []launch.Spec{gateway.Process(), ingest.Process(), api.Process(), audit.Process()} {
			if spec.Name == args[0] {
				port, found = spec.Port, true
			}
		}
		if !found {
			return "", fail(exitUsage, "there is no service %q: it is gateway, ingest, api or audit", args[0])
		}
	}
	if text := config.Lookup("Z4J_BIND_PORT"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return "", fail(exitRefused, "Z4J_BIND_PORT is not a whole number")
		}
		port = n
	}
	return fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil
}

func (a *app) healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fail(exitUsage, "%q is no address", url)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(exitFailed, "not ready: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return fail(exitFailed, "not ready: %s: %s", resp.Status, body)
	}
	a.printf("ready\n")
	return nil
}
