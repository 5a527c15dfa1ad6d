// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"fmt"
	"time"

	"ocm"
)

// Foreign takes a PEM value that somebody else made over d for us, a signing server for example, and
// returns it as Sign would have written it, roots left out. Nothing in it is believed: it must have
// one SIGNATURE block, of the algorithm if it names one, and the certificate of a signer who
// may sign now; and the signature must fit that certificate's key and d. Whether the certificate
// is somebody's whom anybody trusts is for those to say who verify.
//
// [ocm.ErrSignature] if the signature does not fit, [ocm.ErrInvalid] or [ocm.ErrLimit] for its form.
func (f *Family) Foreign(algorithm, value string, d ocm.Digest, now time.Time) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	hash, sum, err := hashed(d, false)
	if err != nil {
		return none, err
	}
	v, err := f.Decode(ocm.SignatureValue{Algorithm: algorithm, MediaType: MediaTypePEM, Value: value})
	if err != nil {
		return none, err
	}
	if len(v.Chain) == 0 {
		return none, fmt.Errorf("PEM value has no certificate of the signer: %w", ocm.ErrInvalid)
	}
	leaf := v.Chain[0]
	if err := checkKey(leaf.PublicKey, v.Algorithm.Kind, "key of certificate "+nameOf(leaf)); err != nil {
		return none, err
	}
	if err := maySign(leaf, now); err != nil {
		return none, err
	}
	if !v.Algorithm.Verify(leaf.PublicKey, hash, sum, v.Raw) {
		return none, fmt.Errorf("the %s signature does not fit %s and the key of certificate %s: %w", v.Algorithm.Name, &d, nameOf(leaf), ocm.ErrSignature)
	}
	return EncodePEM(v.Algorithm.Name, v.Raw, withoutRoots(v.Chain)), nil
}
