// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"ocm"
	"ocm/builtin"
)

const typesIntro = `# Types

Descriptors, constructor files and configurations name the types of what they contain. These are the types that are known, with
all their names; the first one is the one to write. This page is made of the program itself: ` + "`ocm describe types -o markdown`" + `.
`

// writeMarkdown writes a document on types: for each kind a table of what each type supports, then the members of each type.
func writeMarkdown(w io.Writer, kinds []builtin.Kind) error {
	var b strings.Builder
	b.WriteString(typesIntro)
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k.Name, markdown(k.About))
		overview(&b, k)
		for _, t := range k.Types {
			typeSection(&b, k, t)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// overview is the table of the types of a kind.
func overview(b *strings.Builder, k builtin.Kind) {
	if len(k.Types) == 0 {
		b.WriteString("None.\n")
		return
	}
	supports := false
	for _, t := range k.Types {
		supports = supports || len(t.Supports) > 0
	}
	if supports {
		b.WriteString("| type | about | supports |\n|---|---|---|\n")
	} else {
		b.WriteString("| type | about |\n|---|---|\n")
	}
	for _, t := range k.Types {
		fmt.Fprintf(b, "| `%s` | %s |", t.Names[0], markdown(t.About))
		if supports {
			fmt.Fprintf(b, " %s |", markdown(strings.Join(t.Supports, ", ")))
		}
		b.WriteString("\n")
	}
}

// typeSection is what there is to tell of a type besides the table of its kind.
func typeSection(b *strings.Builder, k builtin.Kind, t builtin.Described) {
	if len(t.Names) == 1 && len(t.Fields)+len(t.Notes) == 0 && t.Origin == "" {
		return
	}
	fmt.Fprintf(b, "\n### %s %s\n", k.Name, t.Names[0])
	if t.Origin != "" {
		fmt.Fprintf(b, "\nOrigin: %s\n", markdown(t.Origin))
	}
	if len(t.Names) > 1 {
		fmt.Fprintf(b, "\nOther names: `%s`\n", strings.Join(t.Names[1:], "`, `"))
	}
	if len(t.Fields) > 0 {
		b.WriteString("\n| member | kind | needed | about |\n|---|---|---|---|\n")
		walkFields("", t.Fields, func(path string, f ocm.Field) {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", path, f.Kind, needed(f), markdown(f.About))
		})
	}
	if len(t.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range t.Notes {
		fmt.Fprintf(b, "- %s\n", markdown(n))
	}
}

// markdown escapes what would not be shown as it stands.
func markdown(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*", "[", "\\[", "_", "\\_").Replace(text)
}
