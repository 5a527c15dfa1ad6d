// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"ocm"
)

const reportLong = `List every image that runs in the cluster, with the verified component version and resource
that it belongs to, or none.

It reads pods, Components, Resources and Deployers, as the person that asks.`

func newReport(to *connection) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "report [-o table|json]",
		Short:   "List running images, and the component versions that they belong to",
		Long:    reportLong,
		Example: "  ocm-controller report\n  ocm-controller report -o json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if format != "table" && format != "json" {
				return usagef("-o %q: expected table or json", format)
			}
			if _, err := to.client(); err != nil {
				return err
			}
			return errors.ErrUnsupported
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json (`format`)")
	return cmd
}

// explain gives an error of the API server the kind that it has here.
func explain(err error) error {
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not know the kind; is the controller installed? (ocm controller install prints what to apply) %w: %w", ocm.ErrNotFound, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", ocm.ErrNotFound, err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: %w", ocm.ErrDenied, err)
	}
	return err
}
