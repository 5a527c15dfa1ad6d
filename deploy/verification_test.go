// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/base64"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/sign/rsa"
)

func TestSignerIsNamedByItsSecret(t *testing.T) {
	t.Parallel()
	verify := []v1alpha1.Verification{{Signature: "a", SecretRef: &corev1.LocalObjectReference{Name: "keys"}}, {Signature: "b", Value: "x"}}
	for _, c := range []struct{ signature, name, want string }{
		{"a", "the key in publicKeyPEM, SHA-256 ab", "the key in Secret keys, a, SHA-256 ab"},
		{"b", "the key in publicKeyPEM, SHA-256 ab", "the key in spec.verify[1].value, SHA-256 ab"},
		{"a", `"CN=the key in publicKeyPEM"`, `"CN=the key in publicKeyPEM"`},
		{"c", "key AB", "key AB"},
	} {
		if got := signerOf(resolve.Signer{Signature: c.signature, Name: c.name}, verify); got != c.want {
			t.Errorf("%s: expected %q, found %q", c.name, c.want, got)
		}
	}
	answer := &resolve.Answer{Verified: true, Signers: []resolve.Signer{{Signature: "a", Name: "the key in publicKeyPEM, SHA-256 ab"}}}
	if got := vouched(answer, nil, verify).Signatures[0].Signer; got != "the key in Secret keys, a, SHA-256 ab" {
		t.Error(got)
	}
}

// A key that is none is found before a registry is asked, and named by its field.
func TestAKeyThatIsNone(t *testing.T) {
	t.Parallel()
	_, good, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name, text string) v1alpha1.Verification {
		return v1alpha1.Verification{Signature: name, Value: base64.StdEncoding.EncodeToString([]byte(text))}
	}
	obj := testComponent(value("a", string(good)), value("b", strings.Replace(string(good), "M", "!", 3)))
	bed := newTestbed(t, obj, beReady(testRepository()))
	bed.canned.strict = true
	bed.canned.answers("1.0.0", "1", resolve.Signer{Signature: "a"})
	bed.drive(t, &components{bed.base}, obj)
	if got := ready(obj); !strings.HasPrefix(got, `False VerificationFailed: spec.verify[1]: signature "b": key: `) || !strings.Contains(got, ocm.ErrInvalid.Error()) {
		t.Error(got)
	}
	if n := len(bed.canned.asked) + len(bed.canned.wishes); n > 0 {
		t.Errorf("%d questions were asked", n)
	}
}
