// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm/internal/nearest"
)

// Columns of help texts.
const (
	helpColumn = 34 // where the meaning of a flag begins
	helpWidth  = 90
)

// printHelp writes the help of a command. It is written here and not as cobra's template
// so that the order and the table of exit statuses are ours.
func printHelp(w io.Writer, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", strings.TrimSpace(text))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s <command> [flags]\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if strings.Contains(cmd.Use, "<reference>") {
		fmt.Fprintf(w, "  where <reference> is [type::]repository//component[:version][@sha256:digest]\n")
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\nOther names:\n  %s\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printSubCommands(w, cmd)
	printFlags(w, "Flags", cmd.LocalNonPersistentFlags())
	if !cmd.HasParent() {
		printFlags(w, "Flags of all commands", cmd.PersistentFlags())
		fmt.Fprintf(w, "\nExit status:\n%s", exitHelp())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n\"%s <command> --help\" tells more about a command.\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(w, "\nFlags of all commands, such as --config, --parallel and --quiet, references and exit\nstatuses: \"ocm --help\".\n")
	}
}

func printSubCommands(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintf(w, "\nCommands:\n")
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(w, "  %-18s %s\n", sub.Name(), sub.Short)
		}
	}
}

// printFlags lists flags; what they mean begins in a column of its own, below the flag
// where that is long.
func printFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		if value != "" && f.NoOptDefVal == "" {
			name += " " + value
		}
		if f.NoOptDefVal == "" && f.DefValue != "" && f.DefValue != "[]" {
			text += " (default " + f.DefValue + ")"
		}
		if len(name) > helpColumn-2 {
			name += "\n"
		}
		for i, line := range wrap(text, helpWidth-helpColumn) {
			if i > 0 || strings.HasSuffix(name, "\n") {
				name += strings.Repeat(" ", helpColumn)
			} else {
				name += strings.Repeat(" ", helpColumn-len(name))
			}
			name += line + "\n"
		}
		io.WriteString(w, name)
	})
}

// wrap breaks text between words into lines of at most width bytes, if words are shorter.
func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}

// group is the RunE of a command that only has sub-commands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	names := []string{}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
	}
	if near := closest(name, names); near != "" {
		return usagef("%s, did you mean %q?", text, near)
	}
	return usagef("%s; \"%s --help\" lists what there is", text, cmd.CommandPath())
}

// flagError explains an error of the flag parser.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() { // an unknown command with flags of its own
		if _, rest, _ := cmd.Root().Find(a.args); len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			return unknownCommand(cmd, rest[0])
		}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usagef("%w; see \"%s --help\"", valueError(err), cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	name := unknown.GetSpecifiedName()
	if sub, _, err := cmd.Find([]string{name}); err == nil && sub != cmd { // ocm --version
		return usagef("unknown flag --%s, did you mean the command \"%s\"?", name, sub.CommandPath())
	}
	if near := closest(name, names); near != "" && len(name) > 1 {
		return usagef("%w, did you mean --%s?", err, near)
	}
	return usagef("%w; see \"%s --help\"", err, cmd.CommandPath())
}

// valueError says which values a flag takes, where the parser of numbers and the like only says what is wrong with one.
func valueError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	expected, ok := map[string]string{"int": "a whole number, such as 4", "bool": "true or false", "duration": "a time with its unit, such as 30s, 10m or 24h"}[bad.GetFlag().Value.Type()]
	if !ok { // it has told
		return err
	}
	return fmt.Errorf("invalid argument %q for \"--%s\" flag: expected %s", bad.GetValue(), bad.GetFlag().Name, expected)
}

// closest is the candidate that needs the fewest edits to become s, if they are few.
func closest(s string, candidates []string) string {
	few := max(2, len(s)/3) // two letters swapped are two edits
	if len(s) < 3 {
		few = 1
	}
	best, bestAt := "", few+1
	for _, c := range candidates {
		if d := nearest.Distance(s, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	if best == "" && len(s) > 2 {
		if i := slices.IndexFunc(candidates, func(c string) bool { return strings.HasPrefix(c, s) }); i >= 0 {
			best = candidates[i]
		}
	}
	return best
}
