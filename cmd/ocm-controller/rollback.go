// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy"
	"ocm/deploy/v1alpha1"
)

const rollbackLong = `Deploy an earlier revision of a Deployer again: exactly what was applied then, which is kept
in the cluster; no registry is asked.

Without --to it is the last good revision before the one that is deployed that may be deployed
again. The history is in "kubectl get deployer NAME -o yaml", under status.history. An older
version of a component whose Component forbids downgrades is refused.`

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
			chosen, passed, err := rollback(cmd.Context(), c, args[0], revision)
			if err != nil {
				return fmt.Errorf("deployer %s: %w", args[0], explain(err))
			}
			for _, why := range passed {
				if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "passed over: %v\n", why); err != nil {
					return err
				}
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

// rollback asks for a revision, 0 for the last good one before that which is deployed that is allowed, and returns which it is, and
// why not those that come before it.
func rollback(ctx context.Context, c client.Client, name string, revision int64) (chosen int64, passed []error, err error) {
	if revision != 0 {
		return revision, nil, deploy.Rollback(ctx, c, name, revision)
	}
	d := &v1alpha1.Deployer{}
	if err := c.Get(ctx, client.ObjectKey{Name: name}, d); err != nil {
		return 0, nil, err
	}
	for _, revision := range candidates(d) {
		err := deploy.Rollback(ctx, c, name, revision)
		if !errors.Is(err, deploy.ErrForbidden) {
			return revision, passed, err
		}
		passed = append(passed, err)
	}
	switch {
	case d.Status.Revision == 0:
		return 0, nil, fmt.Errorf("nothing was deployed yet: %w", ocm.ErrNotFound)
	case len(passed) > 0:
		return 0, nil, fmt.Errorf("no good revision before %d may be deployed again: %w", d.Status.Revision, errors.Join(passed...))
	}
	return 0, nil, fmt.Errorf("there is no good revision before %d: %w", d.Status.Revision, ocm.ErrNotFound)
}

// candidates are the revisions before the deployed one that were good and can be deployed again, newest first. What only repeats the deployed one is
// no way back.
func candidates(d *v1alpha1.Deployer) []int64 {
	var all []int64
	now := d.Status.Revision
	for _, r := range d.Status.History { // newest first
		if r.Revision == now && r.RollbackOf != 0 {
			now = r.RollbackOf
		}
		if r.Revision < now && r.RollbackOf == 0 && r.Outcome == v1alpha1.OutcomeGood && r.Stored {
			all = append(all, r.Revision)
		}
	}
	return all
}
