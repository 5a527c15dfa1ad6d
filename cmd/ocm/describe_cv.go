// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
)

const describeLong = `Show what a component version consists of: its labels, its resources and sources with their
sizes and where each of them is, its references and signatures. Digests are shortened, and
signatures are only listed: "ocm verify cv" verifies them.

yaml and json show the descriptor as "ocm get cv" does.`

const describeExample = `  ocm describe cv ./archive//acme.org/app:1.0.0`

type describeOptions struct{ output string }

// describeWidth is how wide the tables of a description may become, in characters, where they
// are not shown on a terminal. With names of the usual length they need no more than 80.
const describeWidth = 90

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
	return describe(ctx, a.out, s.env.Job, repo.String(), v)
}

// describe writes the parts of a version that there are, each under a title.
func describe(ctx context.Context, w io.Writer, job *ocm.Job, where string, v ocm.Version) error {
	d := v.Descriptor()
	c := d.Component
	resources, sources := elementsOf(&c)
	if err := measure(ctx, job, v, append(resources, sources...)); err != nil {
		return err
	}
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
		{"Labels", labelTable(c.Labels)},
		{"Resources in this repository" + sum(resources), elementTable(resources, true)},
		{"Resources elsewhere", elementTable(resources, false)},
		{"Sources in this repository" + sum(sources), elementTable(sources, true)},
		{"Sources elsewhere", elementTable(sources, false)},
		{"References", referenceTable(c.References)},
		{"Signatures", signatureTable(d.Signatures)},
	} {
		if len(part.table.rows) > 0 {
			fmt.Fprintf(&b, "\n%s\n", part.title)
			part.table.width = lineWidth(w, describeWidth)
			part.table.dropEmpty()
			if err := part.table.write(&b); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// element is what a description tells of a resource or source.
type element struct {
	ocm.Element
	typ    string
	access ocm.Spec
	digest string
	local  bool   // it lies in the repository of the version
	bytes  int64  // of a local one; -1: not known
	size   string // the same for people, or what is wrong
}

func elementsOf(c *ocm.Component) (resources, sources []*element) {
	for i := range c.Resources {
		r := &c.Resources[i]
		resources = append(resources, &element{Element: r.Element, typ: r.Type, access: r.Access, digest: digestText(r.Digest)})
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		sources = append(sources, &element{Element: s.Element, typ: s.Type, access: s.Access})
	}
	return resources, sources
}

// measure finds out which elements lie beside the descriptor, and how large they are. No
// content is read but the manifests of images.
func measure(ctx context.Context, job *ocm.Job, v ocm.Version, list []*element) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(job.Parallel())
	for _, e := range list {
		g.Go(func() error {
			content, err := v.Blob(ctx, e.access)
			if errors.Is(err, errors.ErrUnsupported) {
				return nil
			}
			e.local, e.bytes = true, -1
			if err == nil {
				e.bytes, err = sizeOf(ctx, content)
			}
			e.size = size(e.bytes)
			if errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrDigest) {
				e.size, err = shortError(err.Error()), nil // the rest is still worth a look
			}
			return err
		})
	}
	return g.Wait()
}

// sizeOf is the size of a blob, or of an image with everything that belongs to it.
func sizeOf(ctx context.Context, c ocm.Content) (int64, error) {
	if !blob.IsManifest(c.Root.MediaType) {
		return c.Root.Size, nil
	}
	var n int64
	err := blob.Walk(ctx, c.From, c.Root, func(d ociv1.Descriptor, _ []byte) error {
		n += d.Size
		return nil
	})
	if err != nil {
		return -1, err
	}
	return n, nil
}

// sum tells number and size of the local elements.
func sum(list []*element) string {
	n, bytes := 0, int64(0)
	for _, e := range list {
		if e.local {
			n, bytes = n+1, bytes+max(0, e.bytes)
		}
	}
	return fmt.Sprintf(" (%d, %s)", n, size(bytes))
}

// elementTable lists the elements that are in the repository, or those that are not. What tells
// elements of one name apart, and where those elsewhere are, stands below each.
func elementTable(list []*element, local bool) *table {
	titles := []string{"NAME", "VERSION", "TYPE", "DIGEST"}
	if local {
		titles = []string{"NAME", "VERSION", "TYPE", "SIZE", "DIGEST"}
	}
	t := newTable(titles...)
	for _, e := range list {
		switch {
		case e.local != local:
			continue
		case local:
			t.add(e.Name, e.Version, e.typ, e.size, shortDigests(e.digest))
		default:
			t.add(e.Name, e.Version, e.typ, shortDigests(e.digest))
		}
		if len(e.ExtraIdentity) > 0 {
			t.line("   ", e.ExtraIdentity.String())
		}
		if !local {
			t.line("   ", place(e.access))
		}
	}
	return t
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

func referenceTable(list []ocm.Reference) *table {
	t := newTable("NAME", "COMPONENT", "VERSION", "DIGEST")
	for _, r := range list {
		t.add(r.Name, r.ComponentName, r.Version, shortDigests(digestText(r.Digest)))
		if len(r.ExtraIdentity) > 0 {
			t.line("   ", r.ExtraIdentity.String())
		}
	}
	return t
}

func signatureTable(list []ocm.Signature) *table {
	t := newTable("NAME", "ALGORITHM", "NORMALISATION", "DIGEST")
	for _, s := range list {
		t.add(s.Name, s.Signature.Algorithm, strings.TrimPrefix(s.Digest.NormalisationAlgorithm, "jsonNormalisation/"), shortDigests(digestText(&s.Digest)))
		if s.Signature.Issuer != "" {
			t.line("   issuer ", s.Signature.Issuer)
		}
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
