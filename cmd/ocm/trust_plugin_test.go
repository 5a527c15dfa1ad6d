// SPDX-License-Identifier: Apache-2.0

package main

import (
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
