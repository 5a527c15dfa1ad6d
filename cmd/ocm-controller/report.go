// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"ocm"
	"ocm/deploy"
)

const reportLong = `List every image that runs in the cluster, with the verified component version and resource
that it belongs to, or none. Images are told by their digests; names tell nothing.

It reads pods, Resources and Deployers, as the person that asks. What it tells of origins is
what the controllers have found.`

func newReport(to *connection) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "report [-o table|json]",
		Short:   "List running images, and the component versions that they belong to",
		Long:    reportLong,
		Example: "  ocm-controller report\n  ocm-controller report -o json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return usagef("-o %q: expected table or json", format)
			}
			c, err := to.client()
			if err != nil {
				return err
			}
			report, err := deploy.NewReport(cmd.Context(), c)
			if err != nil {
				return explain(err)
			}
			if format == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(report)
			}
			return printReport(cmd.OutOrStdout(), report)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json (`format`)")
	return cmd
}

// shownDigest is how much of a digest a table shows: sha256: and 12 digits.
const shownDigest = 19

// printReport writes a table, with a line for each origin of an image.
func printReport(w io.Writer, report *deploy.Report) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tDIGEST\tRUNS\tCOMPONENT VERSION\tRESOURCE\tVERDICT\tBY")
	for _, i := range report.Images {
		digest := i.Digest
		if digest == "" {
			digest = "unknown"
		}
		image, _, _ := strings.Cut(i.Image, "@") // the digest is beside it
		lead := fmt.Sprintf("%s\t%s\t%d\t", clean(image), clean(digest[:min(len(digest), shownDigest)]), len(i.Containers))
		if len(i.Origins) == 0 {
			fmt.Fprintln(t, lead+"none\t\t\t")
		}
		for _, o := range i.Origins {
			fmt.Fprintf(t, "%s%s:%s\t%s\t%s\t%s\n", lead, clean(o.Component), clean(o.Version), clean(o.Resource), o.Verdict, clean(o.By))
		}
	}
	return t.Flush()
}

// clean takes out what a terminal would obey: names in statuses come from descriptors (CVE-2025-59823, CVE-2026-45738 are of that kind).
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
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
