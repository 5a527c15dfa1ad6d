// SPDX-License-Identifier: Apache-2.0

package descriptor_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/descriptor"
)

// Each document is small or of the size that is accepted, and would cost a multiple of
// its size without the limits. All must be refused quickly.
func TestLimits(t *testing.T) {
	t.Parallel()
	free := func(value string) string { return minimal[:len(minimal)-1] + `,"x":` + value + `}` }
	labels := func(n int) string {
		return strings.Replace(minimal, `"provider"`, `"labels":[{}`+strings.Repeat(",{}", n-1)+`],"provider"`, 1)
	}
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, mediaType, doc string
		kind                 error
	}{
		{"bytes", "", minimal + strings.Repeat(" ", descriptor.MaxBytes), ocm.ErrLimit},
		{"depth of JSON", "", free(nested(descriptor.MaxDepth)), ocm.ErrLimit},
		{"depth of JSON beyond the parser", "", free(nested(1_000_000)), ocm.ErrInvalid},
		{"depth of YAML", "", minimalYAML + "x: " + nested(descriptor.MaxDepth), ocm.ErrLimit},
		{"depth of YAML beyond the parser", "", minimalYAML + "x: " + nested(100_000), ocm.ErrInvalid},
		{"CVE_2022_3064 depth of YAML blocks", "", minimalYAML + "x:\n" + strings.Repeat("- ", 100_000) + "a\n", ocm.ErrInvalid},
		{"depth of the provider", "", strings.Replace(minimal, `"acme"`, `"{\"x\":`+nested(1000)+`}"`, 1), ocm.ErrLimit},
		{"values", "", free("[1" + strings.Repeat(",1", descriptor.MaxValues) + "]"), ocm.ErrLimit},
		{"values of YAML", "", minimalYAML + "x: [1" + strings.Repeat(",1", descriptor.MaxValues) + "]", ocm.ErrLimit},
		{"values of YAML on one line", "", minimalYAML + "x:\n" + strings.Repeat(strings.Repeat("- ", 5000)+"\n", 300), ocm.ErrLimit},
		{"elements", "", labels(descriptor.MaxElements + 1), ocm.ErrLimit},
		{"CVE_2019_11254 aliases of YAML", "", minimalYAML + lists(), ocm.ErrInvalid},
		{"aliases of one long text", "", minimalYAML + "t: &t " + strings.Repeat("x", 1<<20) + "\nx: [*t" + strings.Repeat(",*t", 100_000) + "]\n", ocm.ErrLimit},
		{"claims of a sparse file", descriptor.MediaTypeYAMLTar, string(sparse(t)), ocm.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := descriptor.Decode(c.mediaType, []byte(c.doc))
			if !errors.Is(err, c.kind) && !errors.Is(err, ocm.ErrLimit) {
				t.Errorf("expected %v, found %.300v", c.kind, err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// lists is nine lists of nine aliases each: a billion values in a few lines.
func lists() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 10; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{alias, alias, alias, alias, alias, alias, alias, alias, alias}, ","))
	}
	return b.String()
}

// sparse is a tar whose entry claims a terabyte of zeros and holds none.
func sparse(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: descriptor.FileName, Size: 1 << 40, Typeflag: tar.TypeReg, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Those of YAML hold before its tree is built, and before it is expanded.
func TestLimitsOfYAMLComeFirst(t *testing.T) {
	t.Parallel()
	for doc, text := range map[string]string{
		"x: [1" + strings.Repeat(",1", descriptor.MaxValues) + "]":                                      "YAML: up to 5",
		"x: " + strings.Repeat("[", descriptor.MaxDepth+9) + strings.Repeat("]", descriptor.MaxDepth+9): "YAML: x[0]",
	} {
		if _, err := descriptor.Decode("", []byte(minimalYAML+doc)); !errors.Is(err, ocm.ErrLimit) || !strings.Contains(err.Error(), text) {
			t.Errorf("expected %q, found %.300v", text, err)
		}
	}
}

func TestLimitsAreReachable(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", descriptor.MaxDepth-1) + strings.Repeat("]", descriptor.MaxDepth-1)
	doc := minimal[:len(minimal)-1] + `,"x":` + deep + `}`
	doc += strings.Repeat(" ", descriptor.MaxBytes-len(doc))
	d := decode(t, doc)
	if !equal(t, d, rewritten(t, d)) {
		t.Error("changed by writing it anew")
	}
	decode(t, minimalYAML+"a: &a {k: 1}\nb: [*a, *a]\n")
}
