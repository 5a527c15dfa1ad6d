// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const rollbackLong = `Deploy an earlier revision of a Deployer again: exactly what was applied then, which is kept
in the cluster; no registry is asked.

Without --to it is the last good revision before the one that is deployed. The history is in
"kubectl get deployer NAME -o yaml", under status.history. An older version of a component
whose Component forbids downgrades is refused.`

func newRollback(to *connection) *cobra.Command {
	var revision int64
	deployer := &cobra.Command{
		Use:     "deployer NAME [--to REVISION]",
		Short:   "Deploy an earlier revision of a Deployer again",
		Long:    rollbackLong,
		Example: "  ocm-controller rollback deployer shop\n  ocm-controller rollback deployer shop --to 3",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one NAME, that of the Deployer", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && revision < 1 {
				return usagef("--to %d: revisions begin with 1; status.history of the Deployer lists them", revision)
			}
			c, err := to.client()
			if err != nil {
				return err
			}
			if err := rollback(cmd.Context(), c, args[0], revision); err != nil {
				return fmt.Errorf("deployer %s: %w", args[0], explain(err))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "deployer %s is asked to roll back; kubectl wait --for=condition=Ready deployer/%s tells when it is done\n", args[0], args[0])
			return err
		},
	}
	deployer.Flags().Int64Var(&revision, "to", 0, "`revision` of the history (default: the last good one before that which is deployed)")
	cmd := &cobra.Command{Use: "rollback", Short: "Deploy again what was deployed before", Args: needsObject("deployer")}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // the arguments are refused before
	cmd.AddCommand(deployer)
	return cmd
}

// needsObject refuses a verb without its object.
func needsObject(object string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown object %q: %s takes %s", args[0], cmd.CommandPath(), object)
		}
		return usagef("%s what? It takes %s", cmd.CommandPath(), object)
	}
}

// rollback asks for a revision; 0 is the last good one before that which is deployed.
func rollback(ctx context.Context, c client.Client, name string, revision int64) error {
	return errors.ErrUnsupported
}
