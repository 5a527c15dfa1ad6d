// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/builtin"
	"ocm/internal/nearest"
)

const typesLong = `Describe the types that descriptors, constructor files and configurations may name: all kinds
of types, the types of one kind, one type with its members, or one member. It is made of the
program itself, and of what its plugins say: for that, each of them is asked.

json is an array of kinds, as far as they were asked for, with their types.`

const typesExample = `  # the kinds of types, the types of a kind, and one type
  ocm describe types
  ocm describe types access
  ocm describe types input dir

  # one member; members of members are separated by dots
  ocm describe types config resolvers.config.ocm.software resolvers.versionConstraint

  # everything, as a document
  ocm describe types -o markdown`

type typesOptions struct{ output string }

func (o *typesOptions) AddFlags(fs *pflag.FlagSet) {
	addEnum(fs, &o.output, "output", "o", "output format", "text", "markdown", "json")
}

// newTypes is one command under two verbs, as in other OCM tools.
func newTypes(a *app) *cobra.Command {
	var o typesOptions
	cmd := &cobra.Command{
		Use:     "types [kind [type [member]]] [flags]",
		Aliases: []string{"type"},
		Short:   "Describe the types that there are",
		Long:    typesLong,
		Example: typesExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 3 {
				return usagef("unexpected argument %q: %s takes a kind, a type and a member", args[3], cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeTypes(a),
		RunE: func(_ *cobra.Command, args []string) error {
			return runTypes(a, o, args)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runTypes(a *app, o typesOptions, args []string) error {
	kinds := builtin.Types(a.kitWithPlugins())
	var field *ocm.Field
	if len(args) > 0 {
		kind, err := kindNamed(kinds, args[0])
		if err != nil {
			return err
		}
		kinds = []builtin.Kind{kind}
	}
	if len(args) > 1 {
		typ, err := typeNamed(kinds[0], args[1])
		if err != nil {
			return err
		}
		kinds[0].Types = []builtin.Described{typ}
	}
	if len(args) > 2 {
		var err error
		if field, err = fieldNamed(kinds[0].Types[0].Fields, args[2]); err != nil {
			return err
		}
	}
	switch {
	case o.output == "json" && field != nil:
		return printValue(a.out, "json", field)
	case o.output == "json":
		return printList(a.out, "json", kinds, nil)
	case field != nil:
		return describeField(a.out, *field)
	case o.output == "markdown":
		return writeMarkdown(a.out, kinds)
	case len(args) == 0:
		return listKinds(a.out, kinds)
	case len(args) == 1:
		return listTypes(a.out, kinds[0])
	}
	return describeType(a.out, kinds[0].Types[0])
}

// kitWithPlugins has what plugins can do too. One that cannot be used is told in the log, and hides nothing else.
func (a *app) kitWithPlugins() *ocm.Kit {
	s, err := a.session()
	if err == nil {
		_ = s.LoadPlugins() // it was told
	} else {
		a.logger().Warn("without the types of plugins", "error", err)
	}
	return s.kit
}

func kindNamed(kinds []builtin.Kind, name string) (builtin.Kind, error) {
	i := slices.IndexFunc(kinds, func(k builtin.Kind) bool { return k.Name == name })
	if i >= 0 {
		return kinds[i], nil
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return builtin.Kind{}, unknownName("kind of types", name, names)
}

// typeNamed finds a type by any of its names; if there is none, whatever the case of its letters.
func typeNamed(kind builtin.Kind, name string) (builtin.Described, error) {
	var names []string
	for _, is := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for _, t := range kind.Types {
			if slices.ContainsFunc(t.Names, func(n string) bool { return is(n, name) }) {
				return t, nil
			}
			names = append(names, t.Names[0])
		}
	}
	return builtin.Described{}, unknownName(kind.Name+" type", name, names[:len(kind.Types)])
}

// fieldNamed finds a member by its path.
func fieldNamed(fields []ocm.Field, path string) (*ocm.Field, error) {
	name, rest, more := strings.Cut(path, ".")
	i := slices.IndexFunc(fields, func(f ocm.Field) bool { return f.Name == name })
	switch {
	case i < 0:
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.Name
		}
		return nil, unknownName("member", name, names)
	case more:
		return fieldNamed(fields[i].Fields, rest)
	}
	return &fields[i], nil
}

func unknownName(what, name string, known []string) error {
	if near := closest(name, known); near != "" && nearest.Distance(name, near) > 0 {
		return usagef("unknown %s %q, did you mean %q?", what, name, near)
	}
	if len(known) == 0 {
		return usagef("unknown %s %q: there is none", what, name)
	}
	return usagef("unknown %s %q, there are: %s", what, name, strings.Join(known, ", "))
}

func listKinds(w io.Writer, kinds []builtin.Kind) error {
	t := newTable("KIND", "TYPES", "ABOUT")
	t.keep = 2
	for _, k := range kinds {
		t.add(k.Name, fmt.Sprint(len(k.Types)), k.About)
	}
	return t.write(w)
}

func listTypes(w io.Writer, kind builtin.Kind) error {
	t := newTable("TYPE", "ORIGIN", "ABOUT")
	for _, d := range kind.Types {
		origin, _, _ := strings.Cut(d.Origin, " (") // its path stands with the type
		t.add(d.Names[0], origin, d.About)
	}
	if len(kind.Types) > 0 {
		t.dropEmpty()
	}
	t.keep = len(t.titles) - 1
	return t.write(w)
}

func describeType(w io.Writer, d builtin.Described) error {
	var b strings.Builder
	line := func(title, text string) {
		for i, l := range wrap(text, helpWidth-14) {
			if i > 0 {
				title = ""
			}
			if l != "" {
				fmt.Fprintf(&b, "%-13s %s\n", title, l)
			}
		}
	}
	line("Type:", d.Names[0])
	line("Other names:", strings.Join(d.Names[1:], ", "))
	line("About:", d.About)
	line("Origin:", d.Origin)
	line("Supports:", strings.Join(d.Supports, ", "))
	for _, n := range d.Notes {
		line("Note:", n)
	}
	if len(d.Fields) > 0 {
		b.WriteString("\nMembers\n")
		t := fieldTable(d.Fields)
		t.width = lineWidth(w, helpWidth)
		if err := t.write(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func fieldTable(fields []ocm.Field) *table {
	t := newTable("NAME", "KIND", "NEEDED", "ABOUT")
	walkFields("", fields, func(path string, f ocm.Field) { t.add(path, f.Kind, needed(f), f.About) })
	t.dropEmpty()
	t.keep = len(t.titles) - 1
	return t
}

// walkFields visits members, and those of objects below them with their path.
func walkFields(parent string, fields []ocm.Field, visit func(path string, f ocm.Field)) {
	for _, f := range fields {
		visit(parent+f.Name, f)
		walkFields(parent+f.Name+".", f.Fields, visit)
	}
}

func needed(f ocm.Field) string {
	if f.Needed {
		return "yes"
	}
	return ""
}

func describeField(w io.Writer, f ocm.Field) error {
	return fieldTable([]ocm.Field{f}).write(w)
}
