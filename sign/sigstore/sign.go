// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"ocm"
)

func (h Handler) sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (value string, err error) {
	defer noPanic(&err)
	cfg, err := parseSigning(s)
	if err != nil {
		return "", err
	}
	artifact, err := hashed(d)
	if err != nil {
		return "", err
	}
	at, err := cfg.places(env.Time())
	if err != nil {
		return "", err
	}
	secret, err := signerSecret(ctx, env, name, &cfg)
	if err != nil {
		return "", err
	}
	// Before anything is published: a root that cannot be read would only be noticed after it.
	judge, err := at.judge(ctx, env, name)
	if err != nil {
		return "", err
	}
	m := &maker{client: client{env}, at: at}
	if has(secret, "privateKeyPEM") {
		err = m.withKey(secret)
	} else {
		err = m.keyless(ctx, h, secret, &cfg)
	}
	if err != nil {
		return "", err
	}
	if err := m.make(ctx, artifact); err != nil {
		return "", err
	}
	if value, err = encodeValue(m.bundle); err != nil {
		return "", err
	}
	if err := judge(value, artifact, m.key.Public()); err != nil {
		return "", fmt.Errorf("the new signature is not good: %w", err)
	}
	return value, nil
}

func signerIdentity(name string, c *SigningConfig) ocm.Identity {
	id := ocm.Identity{"type": SignerIdentityType, "signature": name}
	if c.Issuer != "" {
		id["issuer"] = c.Issuer
	}
	if c.ClientID != "" {
		id["clientID"] = c.ClientID
	}
	return id
}

// signerSecret is nil if there is none: tokens have other places too.
func signerSecret(ctx context.Context, env *ocm.Env, name string, c *SigningConfig) (ocm.Secret, error) {
	id := signerIdentity(name, c)
	s, err := env.Resolve(ctx, id)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	case has(s, "privateKeyPEM") && has(s, "token"):
		return nil, fmt.Errorf("credentials for %s have both a private key and a token: which of them is to sign? %w", id, ocm.ErrInvalid)
	}
	return s, nil
}

// maker makes one bundle.
type maker struct {
	client
	at      places
	key     crypto.Signer
	details signature.AlgorithmDetails
	bundle  *protobundle.Bundle
}

// withKey takes the private key of a secret.
func (m *maker) withKey(s ocm.Secret) error {
	if m.at.fulcioGiven {
		return fmt.Errorf("there is a private key and a fulcioURL; a signature has a key or a certificate, take one of them away: %w", ocm.ErrInvalid)
	}
	text, err := property(s, "privateKeyPEM")
	if err != nil {
		return err
	}
	if m.key, err = parsePrivateKey(text); err != nil {
		return err
	}
	m.material(&protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
		PublicKey: &protocommon.PublicKeyIdentifier{Hint: keyHint(m.key.Public())},
	}})
	return m.algorithm()
}

// parsePrivateKey reads the first private key of a PEM text. Its messages do not quote what it read.
func parsePrivateKey(text string) (crypto.Signer, error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
			return nil, fmt.Errorf("privateKeyPEM is encrypted, which is not supported: convert it to PKCS#8 without a password, as openssl pkey does: %w", ocm.ErrInvalid)
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, fmt.Errorf("privateKeyPEM: the block %s cannot be read as a key that signs: %w", block.Type, ocm.ErrInvalid)
		}
		return signer, nil
	}
	return nil, fmt.Errorf("privateKeyPEM holds no private key in PEM form: %w", ocm.ErrInvalid)
}

// keyless makes a key for this one signature and has it certified.
func (m *maker) keyless(ctx context.Context, h Handler, s ocm.Secret, c *SigningConfig) error {
	if m.at.fulcio == "" {
		return fmt.Errorf("neither a private key (privateKeyPEM of the consumer %s) nor a certificate authority (fulcioURL or signingConfig) is configured: %w", SignerIdentityType, ocm.ErrNotFound)
	}
	dated := len(m.at.tsas) > 0
	for _, l := range m.at.logs {
		dated = dated || l.version == 1
	}
	if !dated {
		return fmt.Errorf("nobody is configured who says when it was signed, and the certificate is good for minutes only: set tsaURL: %w", ocm.ErrInvalid)
	}
	token, err := m.token(ctx, h, s, c)
	if err != nil {
		return err
	}
	if m.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := m.certify(ctx, token)
	if err != nil {
		return err
	}
	m.material(&protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: der},
	}})
	return m.algorithm()
}

func (m *maker) material(v *protobundle.VerificationMaterial) {
	v.TimestampVerificationData = &protobundle.TimestampVerificationData{}
	m.bundle = &protobundle.Bundle{MediaType: MediaType, VerificationMaterial: v}
}

func (m *maker) algorithm() (err error) {
	if m.details, err = signature.GetDefaultAlgorithmDetails(m.key.Public(), options.WithED25519ph()); err != nil {
		return fmt.Errorf("privateKeyPEM: Sigstore does not know what to do with this key: %v: %w", err, ocm.ErrInvalid)
	}
	return nil
}

// make signs, has the signature dated, and publishes it. The log comes last: what is in it stays there.
func (m *maker) make(ctx context.Context, artifact []byte) error {
	hash := m.details.GetHashType()
	h := hash.New()
	h.Write(artifact)
	digest := h.Sum(nil)
	raw, err := m.key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	m.bundle.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
		MessageDigest: &protocommon.HashOutput{Algorithm: m.details.GetProtoHashType(), Digest: digest},
		Signature:     raw,
	}}
	v := m.bundle.VerificationMaterial
	for _, url := range m.at.tsas {
		stamp, err := m.stamp(ctx, url, raw)
		if err != nil {
			return err
		}
		v.TimestampVerificationData.Rfc3161Timestamps = append(v.TimestampVerificationData.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: stamp})
	}
	for _, l := range m.at.logs {
		entry, err := m.publish(ctx, l)
		if err != nil {
			return err
		}
		v.TlogEntries = append(v.TlogEntries, entry)
	}
	return nil
}

// judge prepares the judgement of a new signature: by the trusted root if one is configured, and else whether it is
// about itself.
func (p *places) judge(ctx context.Context, env *ocm.Env, name string) (func(value string, artifact []byte, key crypto.PublicKey) error, error) {
	c := &VerificationConfig{PrivateInfrastructure: len(p.logs) == 0}
	t, err := loadTrust(ctx, env, name, c)
	rooted := err == nil
	if err != nil && !errors.Is(err, errNoRoot) {
		return nil, err
	}
	return func(value string, artifact []byte, key crypto.PublicKey) error {
		b, err := decodeValue(value)
		if err != nil {
			return err
		}
		if !rooted {
			return b.checkEntries(key)
		}
		// Who signs knows who he is; everything else is as for a verifier.
		own, policy := &trust{TrustedMaterial: t.TrustedMaterial}, verify.WithoutIdentitiesUnsafe()
		if b.certificate == nil {
			policy = verify.WithKey()
			if err := own.setKey(key, time.Time{}, time.Time{}); err != nil {
				return err
			}
		}
		_, err = judge(b, own, c, artifact, policy)
		return err
	}, nil
}
