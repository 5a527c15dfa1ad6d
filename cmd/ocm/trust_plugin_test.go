// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"testing"

	"ocm"
	"ocm/builtin"
)

// A configuration of a verifier that is known by its configuration only is for algorithms that nobody knows, and for no others.
func TestConfigurationOfUnknownAlgorithm(t *testing.T) {
	t.Parallel()
	kit := builtin.Kit()
	v := &verifiers{s: &session{kit: kit}}
	own := ocm.Spec{Type: "hash/v1"}
	if v.fits("hash", own) {
		t.Error("there is no such verifier")
	}
	kit.Verifiers.Register(nil, ocm.Type{Names: []string{"hash/v1"}})
	for algorithm, want := range map[string]bool{"hash": true, "hash/v1": true, "RSASSA-PSS": false, "ECDSA-P256": false, "sigstore": false, "Sigstore/v1alpha1": false} {
		if got := v.fits(algorithm, own); got != want {
			t.Errorf("%s: %v", algorithm, got)
		}
	}
	if v.fits("hash", ocm.Spec{Type: "RSASigningConfiguration"}) || v.fits("hash", ocm.Spec{}) {
		t.Error("a configuration of another kind, or none, fits")
	}
}

// Whoever writes a signature chooses its algorithm: one that a plugin judges must not stand in for the authorities that were demanded.
func TestAuthoritiesAreNotMetByOtherAlgorithms(t *testing.T) {
	t.Parallel()
	v := &verifiers{s: &session{kit: builtin.Kit()}, caCert: "root.pem"}
	sigstore := &verifiers{s: v.s, root: "trusted_root.json"}
	for _, c := range []struct {
		v          *verifiers
		algorithms []string
		bad        bool
	}{
		{v, []string{"PLUGIN"}, true},
		{v, []string{"RSASSA-PSS"}, false},
		{v, []string{"PLUGIN", "RSASSA-PSS"}, false}, // both are judged
		{v, []string{"sigstore"}, true},
		{sigstore, []string{"PLUGIN"}, true},
		{sigstore, []string{"RSASSA-PSS"}, true},
		{sigstore, []string{"sigstore"}, false},
	} {
		var all []ocm.Signature
		for i, algorithm := range c.algorithms {
			all = append(all, ocm.Signature{Name: string(rune('a' + i)), Signature: ocm.SignatureValue{Algorithm: algorithm}})
		}
		if err := c.v.demand(all, nil); (err != nil) != c.bad || c.bad && !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%q: %v", c.algorithms, err)
		}
	}
}
