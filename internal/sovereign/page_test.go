// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordIsWrittenAndEscaped(t *testing.T) {
	t.Parallel()
	r := newRecord(options{light: true})
	r.Carried = append(r.Carried, carried{File: "<b>x.tar", Bytes: 5 << 20, Components: []component{{
		Name: "acme.org/x", Version: "1.0.0", Resources: []resource{{Name: "</td><script>alert(1)</script>", Digest: "SHA-256:0123456789abcdef0123"}},
	}}})
	r.Checks = []check{
		{Name: "Same", Document: "x.md", Line: 3, Outcome: passed, Seconds: 1},
		{Name: "Same", Document: "x.md", Line: 9, Outcome: leftOut},
		{Name: "Other", Document: "x.md", Line: 20, Outcome: failed, Seconds: 100},
	}
	r.rate(block{Measure: "import", Document: "x.md", Line: 3}, 10<<20, 2)
	r.end(nil)
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "record.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"&lt;b&gt;x.tar", "5 MiB", "SHA-256:0123456789abcdef…", "&lt;script&gt;", "x.md:9 <span class=\"left-out\">left out", "1 min 40 s", "kwok"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("expected %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "<script") || strings.Contains(string(text), "http://") || strings.Contains(string(text), "https://") {
		t.Error("expected a page that runs nothing and loads nothing")
	}
	if text, err = os.ReadFile(filepath.Join(dir, "record.json")); err != nil || !strings.Contains(string(text), `"bytesPerSecond": 5242880`) {
		t.Errorf("expected the rate, found %v\n%s", err, text)
	}
}

func TestChecksOfOneHeadingAreOneSection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcomes []string
		want     string
	}{
		{[]string{passed, passed}, passed},
		{[]string{leftOut, passed}, passed},
		{[]string{leftOut, leftOut}, leftOut},
		{[]string{passed, failed, passed}, failed},
	} {
		var checks []check
		for _, o := range c.outcomes {
			checks = append(checks, check{Name: "x", Outcome: o})
		}
		if all := sections(checks); len(all) != 1 || all[0].Outcome != c.want {
			t.Errorf("%v: expected one section that %s, found %+v", c.outcomes, c.want, all)
		}
	}
}
