// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const describeLong = `Show what a component version consists of: provider, labels, resources, sources,
references and signatures. Signatures are only listed; "ocm verify cv" verifies them.

yaml and json show the descriptor as "ocm get cv" does.`

const describeExample = `  ocm describe cv ./archive//acme.org/app:1.0.0`

type describeOptions struct{ output string }

func (o *describeOptions) AddFlags(fs *pflag.FlagSet) {
	addEnum(fs, &o.output, "output", "o", "output format", "text", "yaml", "json")
}

func newDescribeCV(a *app) *cobra.Command {
	var o describeOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "Show what a component version consists of",
		Long:    describeLong,
		Example: describeExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDescribeCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func runDescribeCV(ctx context.Context, a *app, o describeOptions, reference string) error {
	at, err := parseVersion(reference)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	repo, v, err := s.openVersion(ctx, at)
	if err != nil {
		return err
	}
	a.err.stopProgress()
	if o.output != "text" {
		return printList(a.out, o.output, []*ocm.Descriptor{v.Descriptor()}, descriptorTable)
	}
	return describe(a.out, repo.String(), v)
}

// describe writes the parts of a version that there are, each under a title.
func describe(w io.Writer, where string, v ocm.Version) error {
	d := v.Descriptor()
	c := d.Component
	var b bytes.Buffer
	for _, line := range [...][2]string{
		{"Component", c.Name}, {"Version", c.Version}, {"Provider", c.Provider.Name()}, {"Created", c.CreationTime},
		{"Repository", where}, {"Manifest", v.Manifest().Digest.String()},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-11s %s\n", line[0]+":", clean(line[1], false))
		}
	}
	for _, part := range [...]struct {
		title string
		table *table
	}{
		{"Labels", labelTable(c.Labels)}, {"Resources", resourceTable(c.Resources)}, {"Sources", sourceTable(c.Sources)},
		{"References", referenceTable(c.References)}, {"Signatures", signatureTable(d.Signatures)},
	} {
		if len(part.table.rows) > 0 {
			fmt.Fprintf(&b, "\n%s\n", part.title)
			if err := part.table.write(&b); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func labelTable(labels []ocm.Label) *table {
	t := newTable("NAME", "VALUE", "SIGNED")
	for _, l := range labels {
		signed := "no"
		if l.Signing {
			signed = "yes"
		}
		t.add(l.Name, string(l.Value), signed)
	}
	return t
}

func resourceTable(list []ocm.Resource) *table {
	t := newTable("NAME", "VERSION", "IDENTITY", "TYPE", "RELATION", "ACCESS", "DIGEST")
	for _, r := range list {
		t.add(r.Name, r.Version, r.ExtraIdentity.String(), r.Type, r.Relation, place(r.Access), digestText(r.Digest))
	}
	return t
}

func sourceTable(list []ocm.Source) *table {
	t := newTable("NAME", "VERSION", "IDENTITY", "TYPE", "ACCESS")
	for _, s := range list {
		t.add(s.Name, s.Version, s.ExtraIdentity.String(), s.Type, place(s.Access))
	}
	return t
}

func referenceTable(list []ocm.Reference) *table {
	t := newTable("NAME", "COMPONENT", "VERSION", "IDENTITY", "DIGEST")
	for _, r := range list {
		t.add(r.Name, r.ComponentName, r.Version, r.ExtraIdentity.String(), digestText(r.Digest))
	}
	return t
}

func signatureTable(list []ocm.Signature) *table {
	t := newTable("NAME", "ALGORITHM", "NORMALISATION", "DIGEST", "ISSUER")
	for _, s := range list {
		t.add(s.Name, s.Signature.Algorithm, s.Digest.NormalisationAlgorithm, digestText(&s.Digest), s.Signature.Issuer)
	}
	return t
}

// digestText is hash and value; the value says what was hashed only together with the
// type of access, which stands beside it.
func digestText(d *ocm.Digest) string {
	switch {
	case d.Empty():
		return "none"
	case d.Excluded():
		return "excluded from signature"
	}
	return d.HashAlgorithm + ":" + d.Value
}

// place is the type of an access and the member that says where.
func place(s ocm.Spec) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(s.Raw, &members); err != nil {
		return s.Type
	}
	for _, name := range [...]string{"imageReference", "localReference", "url", "URL", "ref", "reference", "repoUrl",
		"helmRepository", "bucketName", "bucket", "registry", "repository", "fileName", "digest"} {
		var value string
		if json.Unmarshal(members[name], &value) == nil && value != "" {
			return s.Type + " " + value
		}
	}
	return s.Type
}
