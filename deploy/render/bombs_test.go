// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"
	"testing"
	"time"

	"ocm"
)

// bombs are templates that would take all memory or time of the process that they are rendered in, or end it.
var bombs = map[string]string{
	"list of a billion":       `{{ range until 1000000000 }}x{{ end }}`,
	"untilStep":               `{{ len (untilStep 0 1000000000 1) }}`,
	"repeat":                  `{{ repeat 2000000000 "x" }}`,
	"repeat of much":          `{{ $x := repeat 1000000 "x" }}{{ $y := repeat 100000 $x }}{{ $y }}`,
	"doubling":                `{{ $x := "xxxxxxxx" }}{{ range until 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}`,
	"much output":             `{{ $x := repeat 1000000 "x" }}{{ range until 100000 }}{{ $x }}{{ end }}`,
	"include of itself":       `{{ define "a" }}{{ include "a" . }}{{ include "a" . }}{{ end }}{{ include "a" . }}`,
	"template of itself":      `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`,
	"tpl of itself":           `{{ $_ := set . "t" "{{ tpl .t . }}{{ tpl .t . }}" }}{{ tpl .t . }}`,
	"an object in itself":     `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ toYaml $d }}`,
	"an object in itself, Go": `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`,
	"copy of itself":          `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepCopy $d }}`,
	"indent":                  `{{ indent 2000000000 "x" }}`,
	"width":                   `{{ printf "%0999999d%0999999d" 1 1 | repeat 1000000 }}`,
}

// slow are templates that take time only: each takes MaxTime to be ended.
var slow = map[string]string{
	"loops in loops":  `{{ range $i := until 100000 }}{{ range $j := until 100000 }}{{ end }}{{ end }}`,
	"a loop":          `{{ range $i := 1000000000000 }}{{ end }}`,
	"include to 2^30": `{{ define "a" }}{{ if lt (int .) 60 }}{{ include "a" (add1 .) }}{{ include "a" (add1 .) }}{{ end }}{{ end }}{{ include "a" 0 }}`,
}

// A template bomb ends the process that renders it and nothing else.
func TestTemplateBombs(t *testing.T) {
	t.Parallel()
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": bomb}), Options{})
			t.Logf("%v: %.300v", time.Since(start), err)
			if err == nil {
				t.Fatal("no error")
			}
		})
	}
}

func TestBrokenBase64OfManyBytes(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	for name, bomb := range slow {
		start := time.Now()
		_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": bomb}), Options{})
		t.Logf("%s %v: %.300v", name, time.Since(start), err)
		want(t, err, ocm.ErrLimit)
	}
	_ = strings.ToUpper
}
