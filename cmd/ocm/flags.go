// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

// enum is a flag that accepts only certain values.
type enum struct {
	value   *string
	allowed []string
}

// addEnum adds an enum flag; the first value allowed is the default.
func addEnum(fs *pflag.FlagSet, value *string, name, shorthand, usage string, allowed ...string) {
	*value = allowed[0]
	fs.VarP(&enum{value, allowed}, name, shorthand, usage)
}

func (e *enum) String() string { return *e.value }

// Type is what help shows for the value.
func (e *enum) Type() string { return strings.TrimPrefix(strings.Join(e.allowed, "|"), "|") }

func (e *enum) Set(s string) error {
	if !slices.Contains(e.allowed, s) {
		return fmt.Errorf("expected one of %q", e.allowed)
	}
	*e.value = s
	return nil
}

// completeEnums offers the values of all enum flags to the shell.
func completeEnums(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if e, ok := f.Value.(*enum); ok {
			// It fails only for a flag that is completed already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(e.allowed, cobra.ShellCompDirectiveNoFileComp))
		}
	})
}

// depth is how far references are followed: 0 not at all, -1 to the end.
type depth int

// addDepth adds --recursive[=n].
func addDepth(fs *pflag.FlagSet, d *depth) {
	fs.VarPF(d, "recursive", "r", "follow references to other component versions").NoOptDefVal = "-1"
}

func (d *depth) String() string { return strconv.Itoa(int(*d)) }

// Type is what help shows for the value.
func (d *depth) Type() string { return "depth" }

func (d *depth) Set(s string) error {
	switch s {
	case "-1", "true":
		*d = -1
	case "0", "false":
		*d = 0
	default:
		return fmt.Errorf("expected -1 (all) or 0 (none)")
	}
	return nil
}

// alias gives the flag another name and shorthand that help does not show: scripts
// written for other OCM tools use them.
func alias(fs *pflag.FlagSet, name, other, shorthand string) {
	f := fs.Lookup(name)
	fs.AddFlag(&pflag.Flag{Name: other, Shorthand: shorthand, Usage: "same as --" + name, Value: f.Value,
		DefValue: f.DefValue, NoOptDefVal: f.NoOptDefVal, Hidden: true})
}

// ignored accepts flags of other OCM tools that have nothing to change here. A flag
// written as name=default takes a value.
func ignored(fs *pflag.FlagSet, names ...string) {
	for _, n := range names {
		name, value, hasValue := strings.Cut(n, "=")
		if hasValue {
			fs.String(name, value, "no effect")
		} else {
			fs.Bool(name, false, "no effect")
		}
		fs.Lookup(name).Hidden = true
	}
}

// boundAlias lets --concurrency-limit set --parallel.
func boundAlias(fs *pflag.FlagSet, parallel *int) {
	fs.IntVar(parallel, "concurrency-limit", defaultParallel, "same as --parallel")
	fs.Lookup("concurrency-limit").Hidden = true
}

// arguments checks the number of positional arguments; names say what they are.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) > len(names) && len(names) == 0 {
			return usagef("unexpected argument %q: %s takes only flags", args[0], cmd.CommandPath())
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q: %s takes %s", args[len(names)], cmd.CommandPath(), strings.Join(names, " "))
		}
		return usagef("%s is missing: %s takes %s", names[len(args)], cmd.CommandPath(), strings.Join(names, " "))
	}
}

// parseVersion reads a reference that must name one version.
func parseVersion(s string) (ocm.Coordinates, error) {
	c, err := ocm.ParseCoordinates(s)
	if err != nil {
		return c, withHint(usage(err), cmp.Or(slashHint(s), wholeHint(s)))
	}
	if c.Version == "" && c.Digest == "" {
		return c, usagef("reference %q: the version is missing, write %s:VERSION (ocm get cv lists them)", s, s)
	}
	return c, nil
}

// parseTarget reads the name of a repository to write to, and refuses that of something in it:
// taken for a path it would make folders that nobody wants.
func parseTarget(s string) (typ, location string, err error) {
	if c, err := ocm.ParseCoordinates(s); err == nil {
		at := ocm.Coordinates{Type: c.Type, Repository: c.Repository}
		if c.Repository == "" {
			return "", "", usagef("%s: it names a component, the target is a repository", s)
		}
		return "", "", usagef("%s: it names a component, the target is a repository only: %s", s, reference(at))
	}
	if typ, location, err = ocm.ParseRepository(s); err != nil {
		err = usage(err)
	}
	return typ, location, err
}
