// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const rootLong = `ocm-controller carries verified component versions into a Kubernetes cluster, and keeps
them there: the controllers of Repository, Component, Resource, Deployer and Replication
(delivery.ocm.software/v1alpha1).

Without a subcommand it runs the controllers until it is told to stop. In a cluster it is
who its service account is; elsewhere --kubeconfig or $KUBECONFIG says where the cluster is.`

const rootExample = `  # the controllers, beside a cluster
  ocm-controller --kubeconfig ~/.kube/config --deploy-as ocm-k8s-toolkit-system/ocm-k8s-toolkit-controller-manager

  # which verified component version every running image belongs to
  ocm-controller report

  # what was good before
  ocm-controller rollback deployer shop`

// newRoot is the command tree.
func newRoot() *cobra.Command {
	var to connection
	root := newRun(&to)
	root.Use = "ocm-controller"
	root.Long, root.Example = rootLong, rootExample
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	to.addFlags(root.PersistentFlags())
	root.AddCommand(newRun(&to), newRollback(&to), newReport(&to), newVersion())
	return root
}

// noArguments refuses what is no flag.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		return usagef("unknown command %q: there are run, rollback, report and version", args[0])
	}
	return usagef("unexpected argument %q: %s takes only flags", args[0], cmd.CommandPath())
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "ocm-controller %s, %s/%s, %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}

// release is the version of a build of a release; the linker sets it.
var release string

// version is that of the release, else what the toolchain recorded, or (devel).
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
