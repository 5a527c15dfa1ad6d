// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"fmt"
	"slices"

	"ocm"
	"ocm/descriptor"
	"ocm/normalise"
	"ocm/oci"
)

// signedDifference names the first difference in what signatures cover, empty if there is none.
func signedDifference(a, b *ocm.Descriptor) (string, error) {
	for _, algorithm := range normalisations(a, b) {
		x, err := normalise.Normalise(a, algorithm)
		if err != nil {
			return "", err
		}
		y, err := normalise.Normalise(b, algorithm)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(x, y) {
			return firstDifference(x, y), nil
		}
	}
	return "", nil
}

// normalisations are the algorithms by which two descriptors must be equal: the one that keeps
// most, and all that their signatures use.
func normalisations(ds ...*ocm.Descriptor) []string {
	known := []string{normalise.V1, normalise.V2, normalise.V4}
	algorithms := []string{normalise.V3}
	for _, d := range ds {
		for _, s := range d.Signatures {
			if a := s.Digest.NormalisationAlgorithm; slices.Contains(known, a) && !slices.Contains(algorithms, a) {
				algorithms = append(algorithms, a)
			}
		}
	}
	return algorithms
}

func firstDifference(x, y []byte) string {
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	cut := func(b []byte) string { return string(b[max(0, i-20):min(len(b), i+20)]) }
	return fmt.Sprintf("source has …%s…, target has …%s…", cut(x), cut(y))
}

// merged is what the target's version becomes if source and target agree in everything that is
// signed: the target's document with the source's signatures that it lacks and the source's
// unsigned labels. Signatures of the same name that differ are the source's.
func merged(src, dst *ocm.Descriptor) *ocm.Descriptor {
	out := dst.Clone()
	for _, s := range src.Signatures {
		i := slices.IndexFunc(out.Signatures, func(t ocm.Signature) bool { return t.Name == s.Name })
		if i < 0 {
			out.Signatures = append(out.Signatures, s)
		} else {
			out.Signatures[i] = s
		}
	}
	for _, n := range src.NestedDigests {
		if !slices.ContainsFunc(out.NestedDigests, func(m ocm.NestedDigest) bool { return m.Name == n.Name && m.Version == n.Version }) {
			out.NestedDigests = append(out.NestedDigests, n)
		}
	}
	s, d := &src.Component, &out.Component
	d.Labels = mergeLabels(s.Labels, d.Labels)
	for i := range d.Resources {
		d.Resources[i].Labels = mergeLabels(s.Resources[i].Labels, d.Resources[i].Labels)
	}
	for i := range d.Sources {
		d.Sources[i].Labels = mergeLabels(s.Sources[i].Labels, d.Sources[i].Labels)
	}
	return out
}

// mergeLabels takes the source's labels in its order, then the target's that the source does not have.
func mergeLabels(src, dst []ocm.Label) []ocm.Label {
	out := slices.Clone(src)
	for _, l := range dst {
		if !slices.ContainsFunc(src, func(m ocm.Label) bool { return m.Name == l.Name }) {
			out = append(out, l)
		}
	}
	return out
}

// nothingToDo reports whether the target has all of the source already, in the places where the
// plan wants it.
func nothingToDo(vp *VersionPlan, dst *ocm.Descriptor) bool {
	for _, m := range vp.Moves {
		if access, _ := element(dst, m); m.Action == Copy && !oci.IsLocal(access.Type) {
			return false
		}
	}
	a, errA := descriptor.JSON(dst)
	b, errB := descriptor.JSON(merged(vp.node.Descriptor(), dst))
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// element returns access and digest of the resource or source that a move is about.
func element(d *ocm.Descriptor, m Move) (*ocm.Spec, *ocm.Digest) {
	if m.Kind == "source" {
		return &d.Component.Sources[m.index].Access, nil
	}
	r := &d.Component.Resources[m.index]
	return &r.Access, r.Digest
}
