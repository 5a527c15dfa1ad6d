// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	"ocm/plugin/wire"
)

func (s *server) sign(ctx context.Context, q wire.Sign) (wire.Signed, error) {
	signer, err := s.kit.Signers.For(q.Spec.Type)
	if err != nil {
		return wire.Signed{}, err
	}
	value, err := signer.Sign(ctx, s.env(q.Env), q.Name, q.Digest, q.Spec)
	return wire.Signed{Signature: value}, err
}

// verify answers what the verifier says, also that the signature is not good.
func (s *server) verify(ctx context.Context, q wire.Verify) (wire.Verdict, error) {
	verifier, err := s.kit.Verifiers.For(q.Signature.Signature.Algorithm)
	if err != nil {
		return wire.Verdict{}, err
	}
	found, err := verifier.Verify(ctx, s.env(q.Env), q.Signature, q.Spec)
	v := wire.Verdict{Verified: err == nil, Error: wire.NewError(err)}
	for _, f := range found {
		v.Findings = append(v.Findings, wire.Finding{Check: f.Check, Detail: f.Detail, Time: f.Time})
	}
	return v, nil
}
