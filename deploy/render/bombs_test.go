// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ocm"
)

// TestCVE_2025_55198_TemplatesEndNobodyElse: templates that take all memory, or the stack, of the process that they are rendered in. Some
// end it in a way that nothing in it can catch, and that process must not be this one.
func TestCVE_2025_55198_TemplatesEndNobodyElse(t *testing.T) {
	t.Parallel()
	for name, bomb := range map[string]struct {
		template string
		kind     error // nil: one of two
	}{
		"list of a billion":   {`{{ range until 1000000000 }}x{{ end }}`, ocm.ErrLimit},
		"steps":               {`{{ len (untilStep 0 1000000000 1) }}`, ocm.ErrLimit},
		"repeat":              {`{{ repeat 2000000000 "x" }}`, ocm.ErrLimit},
		"repeat of much":      {`{{ $x := repeat 1000000 "x" }}{{ $y := repeat 100000 $x }}{{ $y }}`, ocm.ErrLimit},
		"doubling":            {`{{ $x := "xxxxxxxx" }}{{ range until 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}`, ocm.ErrLimit},
		"much output":         {`{{ $x := repeat 1000000 "x" }}{{ range until 100000 }}{{ $x }}{{ end }}`, ocm.ErrLimit},
		"indent":              {`{{ indent 2000000000 "x" }}`, ocm.ErrLimit},
		"width":               {`{{ printf "%0999999d%0999999d" 1 1 | repeat 1000000 }}`, ocm.ErrLimit},
		"an object in itself": {`{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`, ocm.ErrLimit},
		"include of itself":   {`{{ define "a" }}{{ include "a" . }}{{ include "a" . }}{{ end }}{{ include "a" . }}`, nil},
		"template of itself":  {`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, nil},
		"a panic":             {`{{ mustToDuration "x" }}`, ocm.ErrInvalid},
		"a panic of strings":  {`{{ repeat -1 "x" }}`, ocm.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": bomb.template}), Options{})
			if bomb.kind == nil && errors.Is(err, ocm.ErrLimit) { // depth is bounded, and so is memory: whichever comes first
				bomb.kind = ocm.ErrLimit
			}
			want(t, err, cmp.Or(bomb.kind, ocm.ErrInvalid))
			if len(err.Error()) > maxText+200 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func bombTask(template string) task {
	return task{Chart: &chartTask{Files: files{chartFile: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n"), "templates/a.yaml": []byte(template)}, Name: "rel"}}
}

// Templates that take nothing but time are ended when theirs is over, or when nobody waits for them any more.
func TestTemplatesWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, bomb := range map[string]string{
		"loops in loops": `{{ range $i := until 100000 }}{{ range $j := until 100000 }}{{ end }}{{ end }}`,
		"a loop":         `{{ range $i := 1000000000000 }}{{ end }}`,
		"2^60 includes":  `{{ define "a" }}{{ if lt (int .) 60 }}{{ include "a" (add1 .) }}{{ include "a" (add1 .) }}{{ end }}{{ end }}{{ include "a" 0 }}`,
		"tpl of itself":  `{{ $_ := set . "t" "{{ tpl .t . }}{{ tpl .t . }}" }}{{ tpl .t . }}`,
		"deep copies":    `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepCopy $d }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := runWithin(t.Context(), time.Second, bombTask(bomb), nil)
			want(t, err, ocm.ErrLimit)
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := runWithin(ctx, time.Hour, bombTask(`{{ range $i := 1000000000000 }}{{ end }}`), nil)
	want(t, err, context.DeadlineExceeded)
}

// A process that was ended by somebody else is an error, and a program that does not serve is found out.
func TestProcessesThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	want(t, judge(errNoMain, "flag provided but not defined"), errNoMain)
	want(t, judge(context.Canceled, ""), ocm.ErrLimit)
	want(t, judge(context.Canceled, "fatal error: something"), ocm.ErrInvalid)
	_, err := converse(t.Context(), task{}, nil, strings.NewReader("PASS\n"), nil)
	want(t, err, errNoMain)
}

// The process can do nothing but render: its environment is empty, and it opens no files and no sockets.
func TestProcessHasNoRights(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args, cmd.Env = []string{confinedName}, []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestLargeArchivesAreUnpackedOneAtATime: a few kilobytes that become as much as an archive may are no more than one of them in memory.
func TestLargeArchivesAreUnpackedOneAtATime(t *testing.T) {
	t.Parallel()
	bomb := archived(t, map[string]string{"a.bin": strings.Repeat("x", large+1)})
	_, done, err := unpackAlone(t.Context(), bytes.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := unpackAlone(ctx, bytes.NewReader(bomb)); err == nil || !strings.Contains(err.Error(), "its turn") {
		t.Error(err)
	}
	_, small, err := unpackAlone(t.Context(), bytes.NewReader(archived(t, map[string]string{"a.yaml": cm("a")})))
	if err != nil {
		t.Fatal(err)
	}
	small()
	done()
	_, done, err = unpackAlone(t.Context(), bytes.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	done()
}
