// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy"
	"ocm/deploy/v1alpha1"
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
			chosen, err := rollback(cmd.Context(), c, args[0], revision)
			if err != nil {
				return fmt.Errorf("deployer %s: %w", args[0], explain(err))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "deployer %s is asked to deploy revision %d again; its conditions tell what becomes of it: kubectl get deployer %s -o yaml\n", args[0], chosen, args[0])
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

// rollback asks for a revision, 0 for the last good one before that which is deployed, and returns which it is.
func rollback(ctx context.Context, c client.Client, name string, revision int64) (int64, error) {
	if revision == 0 {
		d := &v1alpha1.Deployer{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, d); err != nil {
			return 0, err
		}
		if revision = lastGood(d); revision == 0 {
			if d.Status.Revision == 0 {
				return 0, fmt.Errorf("nothing was deployed yet: %w", ocm.ErrNotFound)
			}
			return 0, fmt.Errorf("there is no good revision before %d: %w", d.Status.Revision, ocm.ErrNotFound)
		}
	}
	return revision, deploy.Rollback(ctx, c, name, revision)
}

// lastGood is the newest revision before the deployed one that was good and can be deployed again; 0: none. What only repeats the
// deployed one is no way back.
func lastGood(d *v1alpha1.Deployer) int64 {
	now := d.Status.Revision
	for _, r := range d.Status.History { // newest first
		if r.Revision == now && r.RollbackOf != 0 {
			now = r.RollbackOf
		}
		if r.Revision < now && r.RollbackOf == 0 && r.Outcome == v1alpha1.OutcomeGood && r.Stored {
			return r.Revision
		}
	}
	return 0
}
