// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm/blob"
)

func TestDigestsIn(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 128)
	doc := `{"localReference":"sha256:` + a + `","fileName":"sha256.` + a + `","parts":"sha256:` + a + `, sha512:` + b + `",` +
		`"image":"host/x:1@sha256:` + a + `","escaped":"sha256:\u0061` + a[1:] + `","value":"` + a + `","no":["` + a[1:] + `","` + b[1:64] + `g"],"odd":["sha256_` + a + `","x` + a + `x","sha256` + a + `","` + strings.ToUpper(a) + `"],"` + b + `":1}`
	want := []digest.Digest{digest.Digest("sha256:" + a), digest.Digest("sha512:" + b)}
	got, err := DigestsIn([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got); n != 12 {
		t.Errorf("expected 12 mentions, found %d: %v", n, got)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("expected %v, found %v", want, got)
	}
	if _, err := DigestsIn([]byte(`{"a":`)); err == nil {
		t.Error("expected an error for half a document")
	}
}

func FuzzDigestsIn(f *testing.F) {
	f.Add([]byte(`{"a":"sha256:` + strings.Repeat("0", 64) + `"}`))
	f.Add([]byte(`["` + strings.Repeat("f", 128) + `",1e9,null]`))
	f.Add([]byte(`"\u0061`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := DigestsIn(doc)
		if err != nil {
			return
		}
		for _, d := range got {
			if err := blob.CheckDigest(d); err != nil {
				t.Error(err)
			}
		}
	})
}
