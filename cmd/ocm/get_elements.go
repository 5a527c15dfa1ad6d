// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/graph"
	"ocm/inspect"
)

// What differs between the commands for resources, sources and references. %s is the kind.
const (
	getElementsLong = `List the %[1]ss of component versions: of the one that the reference names, or of all versions
of a component or an archive; with --recursive also of what these reference, where digests
of references are compared.

--identity, --type and --label select; an identity selects by some or all of name, version
and extra identity, and of several identities one must match. wide adds sizes, digests and
places, and has one line for each %[1]s, however long it is.

json is always an array of objects with component, version, path (the versions that
lead from the one that was named to this one) and element, as it stands in the descriptor;
yaml is a list of them, ndjson has one in each line.`

	getResourcesExample = `  # what a version delivers, and what all of its parts deliver
  ocm get resources ./archive//acme.org/app:1.0.0
  ocm get resources ./archive//acme.org/app:1.0.0 --recursive -o tree

  # the images only, with the places where they are
  ocm get resources ./archive//acme.org/app:1.0.0 -r --type ociImage -o wide

  # one resource, for a script
  ocm get resources ./archive//acme.org/app:1.0.0 --identity name=tool,os=linux -o json`

	getSourcesExample = `  # what a version was made from
  ocm get sources ./archive//acme.org/app:1.0.0`

	getReferencesExample = `  # which versions a version refers to, and those of these
  ocm get references ./archive//acme.org/app:1.0.0
  ocm get references ./archive//acme.org/app:1.0.0 -r -o yaml`
)

// elementKind is what a command for elements lists.
type elementKind struct {
	kind    string
	aliases []string
	example string
}

var elementKinds = []elementKind{
	{inspect.KindResource, []string{"resource", "res", "r"}, getResourcesExample},
	{inspect.KindSource, []string{"source", "src", "s"}, getSourcesExample},
	{inspect.KindReference, []string{"reference", "refs", "ref"}, getReferencesExample},
}

type elementsOptions struct {
	constraint string
	latest     bool
	recursive  depth
	selection  elementSelection
	output     string
}

// elementSelection are the flags that select elements.
type elementSelection struct{ identities, types, labels []string }

func (o *elementSelection) AddFlags(fs *pflag.FlagSet, kind string) {
	fs.StringArrayVar(&o.identities, "identity", nil, "only a "+kind+" with this identity, as `key=value,...`; may be repeated")
	if kind != inspect.KindReference {
		fs.StringSliceVarP(&o.types, "type", "t", nil, "only a "+kind+" of this `type`; may be repeated")
	}
	fs.StringArrayVar(&o.labels, "label", nil, "only a "+kind+" with this label, as `name` or name=value; may be repeated")
}

func (o *elementSelection) parse() (inspect.Selector, error) {
	s, err := inspect.ParseSelector(o.identities, o.types, o.labels)
	if err != nil {
		err = usage(err)
	}
	return s, err
}

func (o *elementsOptions) AddFlags(fs *pflag.FlagSet, kind string) {
	o.selection.AddFlags(fs, kind)
	addDepth(fs, &o.recursive)
	addSelection(fs, &o.constraint, &o.latest)
	addEnum(fs, &o.output, "output", "o", "output format", "table", "wide", "tree", "json", "yaml", "ndjson")
}

func newGetElements(a *app, k elementKind) *cobra.Command {
	var o elementsOptions
	cmd := &cobra.Command{
		Use:     k.kind + "s <reference> [flags]",
		Aliases: k.aliases,
		Short:   "List the " + k.kind + "s of component versions",
		Long:    fmt.Sprintf(getElementsLong, k.kind),
		Example: k.example,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGetElements(cmd.Context(), a, k.kind, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags(), k.kind)
	return cmd
}

func runGetElements(ctx context.Context, a *app, kind string, o elementsOptions, reference string) error {
	c, err := parseSelection(reference, o.constraint, o.latest)
	if err != nil {
		return err
	}
	selector, err := o.selection.parse()
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	g, err := s.closure(ctx, c, o)
	if err != nil {
		return err
	}
	list, err := inspect.Elements(g, kind, selector)
	if err != nil {
		return err
	}
	shown := elementList{kind: kind, list: list, several: len(g.Nodes) > 1}
	if o.output == "wide" {
		if err := shown.measure(ctx, s.env.Job); err != nil {
			return err
		}
	}
	a.err.stopProgress()
	switch o.output {
	case "tree":
		return printElementTree(a.out, g.Roots, list)
	case "table", "wide":
		return shown.write(a.out)
	}
	return printList(a.out, o.output, list, nil)
}

// closure loads the versions that were named and, if that was asked for, what they reference.
func (s *session) closure(ctx context.Context, c ocm.Coordinates, o elementsOptions) (*graph.Graph, error) {
	roots, err := s.find(ctx, c, o.constraint, o.latest, nil)
	if err != nil {
		return nil, withHint(err, s.findHint(ctx, err, c))
	}
	versions, own := make([]ocm.Version, len(roots)), roots[0].in
	for i, f := range roots {
		if versions[i] = f.version; f.in != own {
			own = nil
		}
	}
	return graph.Walk(ctx, s.env.Job, s.Finder(own, c.Component, nil), versions, graph.Options{Recursive: o.recursive != 0})
}

// elementList is what the tables show.
type elementList struct {
	kind    string
	list    []*inspect.Element
	several bool       // elements of several versions may be among them
	wide    []*element // what a wide table shows besides, in the order of the list; nil: no wide table
}

// measure finds the sizes of what lies in the repositories.
func (l *elementList) measure(ctx context.Context, job *ocm.Job) error {
	l.wide = make([]*element, len(l.list))
	if l.kind == inspect.KindReference {
		for i := range l.wide {
			l.wide[i] = &element{}
		}
		return nil
	}
	for i := 0; i < len(l.list); {
		in, first := l.list[i].In, i
		for ; i < len(l.list) && l.list[i].In == in; i++ {
			l.wide[i] = &element{Element: *l.list[i].Common, access: l.list[i].Access}
		}
		if err := measure(ctx, job, in, l.wide[first:i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *elementList) write(w io.Writer) error {
	if len(l.list) == 0 {
		_, err := fmt.Fprintf(w, "no %ss found\n", l.kind)
		return err
	}
	t := l.table()
	if l.wide != nil {
		t.width = len(t.titles) * (maxCell + 3) // a line for each element, on a terminal too
	}
	t.dropEmpty()
	return t.write(w)
}

// table has a line for each version, if there may be several, above its elements.
func (l *elementList) table() *table {
	titles := []string{"NAME", "VERSION", "IDENTITY", "TYPE", "RELATION", "ACCESS"}
	if l.kind == inspect.KindReference {
		titles = []string{"NAME", "VERSION", "IDENTITY", "COMPONENT"}
	}
	if l.wide != nil {
		titles = append(titles, "SIZE", "DIGEST")
	}
	t := newTable(titles...)
	for i, e := range l.list {
		if c := &e.In.Descriptor().Component; l.several && (i == 0 || e.In != l.list[i-1].In) {
			t.line("", c.Name+":"+c.Version)
		}
		cells := []string{e.Common.Name, e.Common.Version, e.Common.ExtraIdentity.String()}
		switch l.kind {
		case inspect.KindReference:
			cells = append(cells, e.Reference.ComponentName)
		case inspect.KindSource:
			cells = append(cells, e.Type, "", l.access(e))
		default:
			cells = append(cells, e.Type, e.Resource.Relation, l.access(e))
		}
		if l.wide != nil {
			digest := ""
			if !e.Digest.Empty() {
				digest = digestText(e.Digest)
			}
			cells = append(cells, l.wide[i].size, digest)
		}
		t.add(cells...)
	}
	return t
}

// access is the type, in wide tables with the place.
func (l *elementList) access(e *inspect.Element) string {
	if l.wide != nil {
		return place(e.Access)
	}
	name, _, _ := strings.Cut(e.Access.Type, "/")
	return name
}

// printElementTree draws the versions and below each its elements. What a version references is drawn where
// the version stands first.
func printElementTree(w io.Writer, roots []*graph.Node, list []*inspect.Element) error {
	t := newTable("NESTING", "NAME", "VERSION", "TYPE")
	t.keep = 1
	t.width = lineWidth(w, len(t.titles)*(maxCell+3))
	elements := map[ocm.Version][]*inspect.Element{}
	for _, e := range list {
		elements[e.In] = append(elements[e.In], e)
	}
	seen := map[*graph.Node]bool{}
	var visit func(nodes []*graph.Node, indent string)
	visit = func(nodes []*graph.Node, indent string) {
		for i, n := range nodes {
			branch, below := "├─", "│  "
			if i == len(nodes)-1 {
				branch, below = "└─", "   "
			}
			c := &n.Descriptor().Component
			if seen[n] {
				branch += " (see above)"
			}
			t.add(indent+branch, c.Name, c.Version, "component version")
			if seen[n] {
				continue
			}
			seen[n] = true
			own := elements[n.Version]
			for k, e := range own {
				leaf := "├─"
				if k == len(own)-1 && len(n.Children) == 0 {
					leaf = "└─"
				}
				t.add(indent+below+leaf, e.Common.String(), e.Common.Version, elementType(e))
			}
			visit(n.Children, indent+below)
		}
	}
	visit(roots, "")
	return t.write(w)
}

func elementType(e *inspect.Element) string {
	if e.Kind == inspect.KindReference {
		return "reference"
	}
	return e.Type
}
