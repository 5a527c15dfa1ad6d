// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// maxDemands bounds the signatures that one object may demand.
const maxDemands = 64

// Keys of Secrets.
const (
	keyCA          = "ca.crt"
	keyTrustedRoot = "trusted_root.json"
)

// demands reads the signatures that spec.verify demands, with the keys from Secrets of the namespace. What is missing is a failure: a
// demand that cannot be judged is not met.
func (b *base) demands(ctx context.Context, namespace string, verify []v1alpha1.Verification) ([]resolve.Demand, error) {
	if n := len(verify); n > maxDemands {
		return nil, stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.verify: %w: %d signatures, at most %d are judged", ocm.ErrLimit, n, maxDemands))
	}
	var all []resolve.Demand
	for i, v := range verify {
		if err := wellFormed(v); err != nil {
			return nil, stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.verify[%d]%w", i, err))
		}
		d, err := b.demand(ctx, namespace, v)
		if err != nil {
			return nil, failed(v1alpha1.ReasonVerificationFailed, fmt.Errorf("spec.verify[%d]%w", i, err))
		}
		all = append(all, d)
	}
	if err := b.resolver.Check(all); err != nil { // such as a key that is none
		return nil, failed(v1alpha1.ReasonVerificationFailed, err)
	}
	return all, nil
}

// wellFormed checks what can be known from the spec alone. Errors begin with the field.
func wellFormed(v v1alpha1.Verification) error {
	given := 0
	for _, is := range []bool{v.SecretRef != nil, v.Value != "", v.Sigstore != nil} {
		if is {
			given++
		}
	}
	switch {
	case v.Signature == "":
		return fmt.Errorf(".signature: %w: it is empty", ocm.ErrInvalid)
	case given != 1:
		return fmt.Errorf(": %w: exactly one of secretRef, value and sigstore must be set, not %d of them", ocm.ErrInvalid, given)
	}
	if _, err := base64.StdEncoding.DecodeString(v.Value); err != nil {
		return fmt.Errorf(".value: %w: it is not base64: %v", ocm.ErrInvalid, err)
	}
	if s := v.Sigstore; s != nil {
		if (s.CertificateIdentity != "") == (s.CertificateIdentityRegexp != "") {
			return fmt.Errorf(".sigstore: %w: exactly one of certificateIdentity and certificateIdentityRegexp must be set", ocm.ErrInvalid)
		}
		if (s.CertificateOIDCIssuer != "") == (s.CertificateOIDCIssuerRegexp != "") {
			return fmt.Errorf(".sigstore: %w: exactly one of certificateOIDCIssuer and certificateOIDCIssuerRegexp must be set", ocm.ErrInvalid)
		}
	}
	return nil
}

// demand reads what one demand needs. Errors begin with the field.
func (b *base) demand(ctx context.Context, namespace string, v v1alpha1.Verification) (resolve.Demand, error) {
	d := resolve.Demand{Signature: v.Signature, Issuer: v.Issuer, Fingerprint: v.KeyFingerprint}
	d.Key, _ = base64.StdEncoding.DecodeString(v.Value) // wellFormed
	var root []byte
	refs := []struct {
		field string
		ref   *corev1.LocalObjectReference
		key   string
		to    *[]byte
	}{
		{".secretRef", v.SecretRef, v.Signature, &d.Key},
		{".caSecretRef", v.CASecretRef, keyCA, &d.CA},
		{".tsaSecretRef", v.TSASecretRef, keyCA, &d.TSA},
	}
	if s := v.Sigstore; s != nil {
		refs = append(refs, struct {
			field string
			ref   *corev1.LocalObjectReference
			key   string
			to    *[]byte
		}{".sigstore.trustedRootSecretRef", &s.TrustedRootSecretRef, keyTrustedRoot, &root})
	}
	for _, r := range refs {
		if r.ref == nil {
			continue
		}
		data, err := b.secretValue(ctx, namespace, r.ref.Name, r.key)
		if err != nil {
			return d, fmt.Errorf("%s: %w", r.field, err)
		}
		*r.to = data
	}
	if s := v.Sigstore; s != nil {
		d.Sigstore = &resolve.Sigstore{TrustedRoot: root, Identity: s.CertificateIdentity, IdentityRegexp: s.CertificateIdentityRegexp,
			Issuer: s.CertificateOIDCIssuer, IssuerRegexp: s.CertificateOIDCIssuerRegexp, PrivateInfrastructure: s.PrivateInfrastructure}
	}
	return d, nil
}

// secretValue reads one key of a Secret. [ocm.ErrNotFound] if the Secret or the key is not there, or nothing is in it.
func (b *base) secretValue(ctx context.Context, namespace, name, key string) ([]byte, error) {
	if name == "" {
		return nil, fmt.Errorf("name: %w: it is empty", ocm.ErrInvalid)
	}
	k := memoKey{kind: "Secret", key: types.NamespacedName{Namespace: namespace, Name: name}}
	data, err := b.data(ctx, k)
	if err != nil {
		return nil, err
	}
	if len(data[key]) == 0 {
		return nil, fmt.Errorf("%s: %w: it has nothing under the key %q", k, ocm.ErrNotFound, key)
	}
	return data[key], nil
}

// signerOf says whose signature it is. A key that has no name of its own is that of the Secret that it is from, or of the spec itself.
func signerOf(s resolve.Signer, verify []v1alpha1.Verification) string {
	const place = "publicKeyPEM"
	i := slices.IndexFunc(verify, func(v v1alpha1.Verification) bool { return v.Signature == s.Signature })
	fingerprint, bare := strings.CutPrefix(s.Name, "the key in "+place)
	switch {
	case i < 0 || !bare:
		return s.Name
	case verify[i].SecretRef != nil:
		return fmt.Sprintf("the key in Secret %s, %s%s", verify[i].SecretRef.Name, s.Signature, fingerprint)
	}
	return fmt.Sprintf("the key in spec.verify[%d].value%s", i, fingerprint)
}

// refuses reports whether an error says that something is not what it must be, or that this cannot be judged; all other errors say nothing of
// it: the registry may just be away.
func refuses(err error) bool {
	return errors.Is(err, ocm.ErrSignature) || errors.Is(err, ocm.ErrDigest)
}

// vouched is the verdict on a version that was accepted, under the demands of a spec. As long as it stays the same, so does its time.
func vouched(answer *resolve.Answer, before *v1alpha1.VerificationStatus, verify []v1alpha1.Verification) *v1alpha1.VerificationStatus {
	is := &v1alpha1.VerificationStatus{Verdict: v1alpha1.Unverified}
	if !answer.Verified {
		return is
	}
	is.Verdict = v1alpha1.Verified
	for _, s := range answer.Signers {
		is.Signatures = append(is.Signatures, v1alpha1.SignatureStatus{Name: clip(s.Signature, 256), Algorithm: clip(s.Algorithm, 256), Signer: clip(signerOf(s, verify), 512)})
	}
	if before != nil && before.Verdict == is.Verdict && before.Time != nil && slices.Equal(before.Signatures, is.Signatures) {
		is.Time = before.Time
		return is
	}
	at := metav1.NewTime(answer.Time.Truncate(time.Second)) // as it is stored
	is.Time = &at
	return is
}
