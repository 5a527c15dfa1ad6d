// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/descriptor"
	"ocm/normalise"
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

// maxSignatures bounds what is taken over of one version: each of them is compared with the whole
// descriptor, and more are not verified anyway.
const maxSignatures = 100

// merged is what the target's version becomes if source and target agree in everything that is
// signed: the target's document, and what only the source has of signatures, nested digests and
// unsigned labels. The notes tell what was not taken over.
//
// A merge adds and never replaces, unless the caller asked to overwrite: whoever controls the
// source must not be able to take a good signature away from the target by one of the same
// name, or to give an unsigned label of the target another meaning. For the same reason a
// signature is added only if it was made over this descriptor: one that was not would only
// make the verification of the target fail.
func merged(src, dst *ocm.Descriptor, overwrite bool) (*ocm.Descriptor, []string) {
	out := dst.Clone()
	m := &merger{overwrite: overwrite}
	var signatures []ocm.Signature
	for i, s := range src.Signatures {
		if i == maxSignatures {
			m.notef("signatures after the first %d were left out", maxSignatures)
			break
		}
		if err := normalise.Matches(src, s.Digest); err != nil {
			m.notef("signature %q was left out, it is not one of this version: %v", s.Name, err)
			continue
		}
		signatures = append(signatures, s)
	}
	out.Signatures = union(m, "signature", out.Signatures, signatures, func(s *ocm.Signature) string { return s.Name })
	out.NestedDigests = union(m, "nested digest", out.NestedDigests, src.NestedDigests, func(n *ocm.NestedDigest) string { return n.Name + ":" + n.Version })
	s, d := &src.Component, &out.Component
	d.Labels = m.labels("label", s.Labels, d.Labels)
	for i := range d.Resources {
		r := &d.Resources[i]
		r.Labels = m.labels("resource "+r.Element.String()+" label", s.Resources[i].Labels, r.Labels)
	}
	for i := range d.Sources {
		e := &d.Sources[i]
		e.Labels = m.labels("source "+e.Element.String()+" label", s.Sources[i].Labels, e.Labels)
	}
	return out, m.notes
}

type merger struct {
	overwrite bool
	notes     []string
}

func (m *merger) notef(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// labels merges unsigned labels. Signed ones are equal on both sides; one without the mark in the
// source must not take the place of one with it.
func (m *merger) labels(what string, src, dst []ocm.Label) []ocm.Label {
	signed := map[string]bool{}
	for i := range dst {
		signed[dst[i].Name] = signed[dst[i].Name] || dst[i].Signing
	}
	unsigned := slices.DeleteFunc(slices.Clone(src), func(l ocm.Label) bool { return l.Signing || signed[l.Name] })
	return union(m, what, dst, unsigned, func(l *ocm.Label) string { return l.Name })
}

// union appends to dst the entries of src whose key it lacks.
func union[T any](m *merger, what string, dst, src []T, key func(*T) string) []T {
	first := make(map[string]int, len(dst)) // of equal keys
	for i := range slices.Backward(dst) {
		first[key(&dst[i])] = i
	}
	for i := range src {
		k := key(&src[i])
		at, known := first[k]
		switch {
		case !known:
			first[k] = len(dst)
			dst = append(dst, src[i])
		case equal(dst[at], src[i]):
		case m.overwrite:
			dst[at] = src[i]
		default:
			m.notef("%s %q differs: the target's was kept (--overwrite takes the source's)", what, k)
		}
	}
	return dst
}

// equal compares two values as JSON, which holds the members that we do not know as well.
func equal(a, b any) bool {
	x, errX := jsonv2.Marshal(a, jsonv2.Deterministic(true))
	y, errY := jsonv2.Marshal(b, jsonv2.Deterministic(true))
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// sameDocument reports whether two descriptors say the same.
func sameDocument(a, b *ocm.Descriptor) bool {
	x, errX := descriptor.JSON(a)
	y, errY := descriptor.JSON(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// element returns access and digest of the resource or source that a move is about.
func element(d *ocm.Descriptor, m *Move) (*ocm.Spec, *ocm.Digest) {
	if m.Kind == "source" {
		return &d.Component.Sources[m.index].Access, nil
	}
	r := &d.Component.Resources[m.index]
	return &r.Access, r.Digest
}
