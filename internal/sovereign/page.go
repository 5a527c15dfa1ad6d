// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// page is the record for people.
var page = template.Must(template.New("record").Funcs(template.FuncMap{
	"bytes": humanBytes[int64],
	"rate":  humanBytes[float64],
	"short": short,
	"when":  func(t time.Time) string { return t.Format("2 January 2006, 15:04 UTC") },
	"secs":  humanSeconds,
	"count": func(outcome string, checks []check) (n int) {
		for _, c := range checks {
			if c.Outcome == outcome {
				n++
			}
		}
		return n
	},
	"sections": sections,
	"class":    func(outcome string) string { return strings.ReplaceAll(outcome, " ", "-") },
	"spaced":   func(s string) string { return strings.Join(groups(s), " ") },
}).Parse(pageText))

// humanBytes writes a size as people read it.
func humanBytes[T int64 | float64](n T) string {
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if f < 1024 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit
		}
		f /= 1024
	}
	return fmt.Sprintf("%.2f GiB", f)
}

func humanSeconds(s float64) string {
	switch {
	case s >= 90:
		return fmt.Sprintf("%d min %02d s", int(s)/60, int(s)%60)
	case s >= 10:
		return fmt.Sprintf("%.0f s", s)
	}
	return fmt.Sprintf("%.1f s", s)
}

// short is the beginning of a digest.
func short(s string) string {
	algorithm, value, ok := strings.Cut(s, ":")
	if !ok {
		algorithm, value = "", s
	} else {
		algorithm += ":"
	}
	if len(value) > 16 {
		value = value[:16] + "…"
	}
	return algorithm + value
}

// groups cuts a fingerprint into pieces that can be compared by eye.
func groups(s string) (all []string) {
	for len(s) > 4 {
		all, s = append(all, s[:4]), s[4:]
	}
	return append(all, s)
}

// section is the checks under one heading.
type section struct {
	Name    string
	Outcome string
	Seconds float64
	Checks  []check
}

// sections puts checks that follow each other under the same heading together.
func sections(checks []check) (all []section) {
	for _, c := range checks {
		if len(all) == 0 || all[len(all)-1].Name != c.Name {
			all = append(all, section{Name: c.Name, Outcome: c.Outcome})
		}
		s := &all[len(all)-1]
		s.Checks, s.Seconds = append(s.Checks, c), s.Seconds+c.Seconds
		if c.Outcome == failed || s.Outcome == leftOut {
			s.Outcome = c.Outcome
		}
	}
	return all
}
