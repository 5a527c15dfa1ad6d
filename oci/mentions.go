// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
	"ocm/descriptor"
)

// Mentions lists every digest that the descriptor of a component version mentions in whatever place, perhaps several times: of
// local blobs, of parts of them, of artifacts that accesses refer to, and of content. It is for those who clean up: what it does
// not list, the version does not need beside what its manifest refers to. raw are the verified bytes of the manifest d; what
// is no component version mentions nothing. One that cannot be opened is the error that opening it gives.
func Mentions(ctx context.Context, repo Repo, d ociv1.Descriptor, raw []byte) ([]digest.Digest, error) {
	if blob.IsIndex(d.MediaType) {
		return nil, nil // the manifest of the descriptor is in it
	}
	children, err := blob.Children(d, raw)
	if err != nil {
		return nil, err
	}
	if !isConfig(children[0].MediaType) {
		return nil, nil
	}
	v, err := load(ctx, repo, d, raw)
	if err != nil {
		return nil, err
	}
	doc, err := descriptor.JSON(v.desc)
	if err != nil {
		return nil, fmt.Errorf("component descriptor: %w", err)
	}
	all, err := DigestsIn(doc)
	if err != nil {
		return nil, fmt.Errorf("component descriptor: %w", err)
	}
	return all, nil
}

// DigestsIn lists every digest that a JSON document mentions in whatever text, perhaps several times; the error is the one of reading it.
func DigestsIn(doc []byte) ([]digest.Digest, error) {
	var all []digest.Digest
	dec := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true))
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if tok.Kind() == '"' {
			all = appendDigests(all, tok.String())
		}
	}
}

// appendDigests looks for digests without their algorithm, which the length tells: documents write them in several ways, with whatever stands
// before and behind. What is taken for one, and is none, does no harm.
func appendDigests(all []digest.Digest, text string) []digest.Digest {
	isHex := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
	for i := 0; i < len(text); i++ {
		begin := i
		for i < len(text) && isHex(text[i]) {
			i++
		}
		alg := digest.SHA256
		if i-begin >= digest.SHA512.Size()*2 {
			alg = digest.SHA512
		}
		if n := alg.Size() * 2; i-begin >= n { // the algorithm may stand right before it, and ends like a number
			all = append(all, digest.NewDigestFromEncoded(alg, strings.ToLower(text[i-n:i])))
		}
	}
	return all
}
