// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"fmt"
	"testing"
	"time"

	"ocm"
	"ocm/normalise"
)

// Whoever offers a version again may add as many unsigned things as a descriptor holds. Merging them
// must not take the square of their number.
func TestMergeIsNotQuadratic(t *testing.T) {
	t.Parallel()
	src, dst := &ocm.Descriptor{}, &ocm.Descriptor{}
	for i := range 150_000 {
		src.NestedDigests = append(src.NestedDigests, ocm.NestedDigest{Name: fmt.Sprintf("acme.org/n%d", i), Version: "1.0.0"})
		src.Component.Labels = append(src.Component.Labels, ocm.Label{Name: fmt.Sprintf("l%d", i), Value: ocm.RawJSON("1")})
		dst.Component.Labels = append(dst.Component.Labels, ocm.Label{Name: fmt.Sprintf("s%d", i), Value: ocm.RawJSON("1"), Signing: true})
	}
	start := time.Now()
	out, _ := merged(src, dst, false)
	if len(out.NestedDigests) != 150_000 || len(out.Component.Labels) != 300_000 {
		t.Errorf("%d nested digests, %d labels", len(out.NestedDigests), len(out.Component.Labels))
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("merging took %v", d)
	}
}

func TestCVE_2023_33957_EndlessSignaturesAreNotMerged(t *testing.T) {
	t.Parallel()
	src := &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org"}}
	digest, err := normalise.Digest(src, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		src.Signatures = append(src.Signatures, ocm.Signature{Name: fmt.Sprintf("s%d", i), Digest: digest})
	}
	if out, notes := merged(src, src.Clone(), false); len(out.Signatures) != 1000 || len(notes) != 1 {
		t.Errorf("the target's own: %d signatures, notes %q", len(out.Signatures), notes)
	}
	dst := src.Clone()
	dst.Signatures = nil
	if out, notes := merged(src, dst, false); len(out.Signatures) != maxSignatures || len(notes) != 1 {
		t.Errorf("%d signatures, notes %q", len(out.Signatures), notes)
	}
}
