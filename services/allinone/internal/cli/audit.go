// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/audit"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := a.single(audit.Process(), "Run only the audit service, or work with the audit chain",
		`Everything that changes something is recorded in a chain of signed rows: none can be changed, taken out or put in
between without the chain showing it. 'z4j audit verify' checks it.

Without a subcommand it runs the service that is the chain's only writer; further replicas of it stand by. 'z4j serve'
does that too, so only an installation of single services needs it.
`+commonHelp, "  z4j audit verify\n  Z4J_DATABASE_URL=postgres://... Z4J_SECRET=... z4j audit")
	cmd.Args = unknownCommand
	var limit int
	var known string
	var asJSON bool
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Verify every row of the audit chain",
		Long: `Checks the signature of every row, the links between them, the counts and the signed head.
With --known-head and the JSON of an earlier head it also proves that history since then is unbroken.
Exit code 0 when clean, 1 when something does not match.`,
		Example: "  z4j audit verify\n  z4j audit verify --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.manage(cmd, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
				return a.verifyChain(ctx, cfg, s, limit, known, asJSON)
			})
		},
	}
	verify.Flags().IntVar(&limit, "limit", 1000, "read `ROWS` at a time (1 to 5000)")
	verify.Flags().StringVar(&known, "known-head", "", "`JSON` of a head seen earlier; row_hmac is enough")
	verify.Flags().BoolVar(&asJSON, "json", false, "print the report as an object")
	cmd.AddCommand(verify)
	return cmd
}

func (a *app) verifyChain(ctx context.Context, cfg *config.Config, s *store.Store, limit int, known string, asJSON bool) error {
	if limit < 1 || limit > 5000 {
		return fail(exitUsage, "--limit must lie between 1 and 5000")
	}
	svc, err := audit.New(audit.ConfigFrom(cfg), audit.Deps{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	report, err := svc.Verify(ctx, audit.VerifyOptions{Page: int64(limit), KnownHead: known})
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	if asJSON {
		if err := a.json(report); err != nil {
			return err
		}
	} else if _, err := audit.WriteReport(a.stdout, a.stderr, report); err != nil {
		return err
	}
	if !report.Clean() {
		return &launch.ExitError{Code: exitFailed}
	}
	return nil
}
