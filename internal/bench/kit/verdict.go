// SPDX-License-Identifier: Apache-2.0

// Package kit is what both benches are made of, that of the ocm command and that of the controllers: what a verdict is and how
// it is told, the document that it is written to, a program that profiles itself, and the end of what a program says.
package kit

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Verdict is a value and what it should be at most; mark 0: it is only told.
type Verdict struct {
	What        string
	Value, Mark float64
	Unit        string
	Low, High   float64 // of the rounds; 0: not known
}

// OfRounds judges the median of what the rounds say: within one, everybody was measured shortly after one another.
func OfRounds(what string, mark float64, unit string, rounds []float64) Verdict {
	all := slices.Sorted(slices.Values(rounds))
	return Verdict{What: what, Value: all[len(all)/2], Mark: mark, Unit: unit, Low: all[0], High: all[len(all)-1]}
}

// Result says whether the value is what it should be.
func (v Verdict) Result() string {
	switch {
	case v.Mark == 0:
		return ""
	case v.Value <= v.Mark:
		return "met"
	}
	return "missed"
}

// Spread is the range of the rounds as text: how much the value is worth.
func (v Verdict) Spread() string {
	if v.High == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f to %.2f", v.Low, v.High)
}

// Limit is the mark as text.
func (v Verdict) Limit() string {
	if v.Mark == 0 {
		return ""
	}
	return fmt.Sprintf("%g%s", v.Mark, v.Unit)
}

// Table writes verdicts as Markdown.
func Table(all []Verdict) string {
	var t strings.Builder
	t.WriteString("| what | value | of the rounds | mark | |\n|---|--:|--:|--:|---|\n")
	for _, v := range all {
		fmt.Fprintf(&t, "| %s | %.2f%s | %s | %s | %s |\n", v.What, v.Value, v.Unit, v.Spread(), v.Limit(), v.Result())
	}
	return t.String()
}

// Write replaces the parts of a document that were measured now, by their names, and leaves all others.
func Write(path string, parts map[string]string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(old)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if text, err = replacePart(text, name, parts[name]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func replacePart(text, name, part string) (string, error) {
	begin, end := "<!-- measured "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("no part %q between its comments", name)
	}
	return before + begin + "\n" + part + "\n" + end + after, nil
}
