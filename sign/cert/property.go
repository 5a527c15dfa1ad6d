// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"

	"ocm"
)

// property is PEM text in a secret, inline or as the name of a file, each under its
// current and its legacy names.
type property struct{ inline, file []string }

// The properties that the package comment describes.
func privateKeyProperty() property {
	return property{[]string{"privateKeyPEM", "private_key_pem"}, []string{"privateKeyPEMFile", "private_key_pem_file"}}
}

func publicKeyProperty() property {
	return property{[]string{"publicKeyPEM", "public_key_pem"}, []string{"publicKeyPEMFile", "public_key_pem_file"}}
}

func caCertProperty() property {
	return property{[]string{"caCertPEM", "ca_cert_pem"}, []string{"caCertPEMFile", "ca_cert_pem_file"}}
}

func tsaCertProperty() property {
	return property{[]string{"tsaCertPEM"}, []string{"tsaCertPEMFile"}}
}

// read returns the text and the name it was found under, for messages; no text if it is not
// there. A file that is named beside inline text is where that text is from.
func (p property) read(s ocm.Secret) (text []byte, name string, err error) {
	for _, name := range p.inline {
		if v := s[name]; v != "" {
			if len(v) > MaxFileSize {
				return nil, name, fmt.Errorf("%s has %d bytes, at most %d are accepted: %w", name, len(v), MaxFileSize, ocm.ErrLimit)
			}
			for _, file := range p.file {
				if path := s[file]; path != "" {
					name = path
				}
			}
			return []byte(v), name, nil
		}
	}
	for _, name := range p.file {
		if path := s[name]; path != "" {
			text, err := readFile(path)
			if err != nil {
				return nil, name, fmt.Errorf("%s: %w", name, err)
			}
			return text, name + " " + path, nil
		}
	}
	return nil, p.inline[0], nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", path, MaxFileSize, ocm.ErrLimit)
	}
	return text, nil
}

// certificates reads the certificates of a property; none if it is not there.
func (p property) certificates(s ocm.Secret) ([]*x509.Certificate, error) {
	text, name, err := p.read(s)
	if err != nil || text == nil {
		return nil, err
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certs, nil
}

// PrivateKey reads the private key of a secret: the first one of the kind. [ocm.ErrNotFound] if
// nothing is configured, [ocm.ErrInvalid] if there is no such key in it.
func PrivateKey(s ocm.Secret, kind string) (crypto.Signer, error) {
	text, name, err := privateKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, fmt.Errorf("private key not found: set privateKeyPEM or privateKeyPEMFile: %w", ocm.ErrNotFound)
	}
	key, err := parsePrivateKey(text, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

func parsePrivateKey(text []byte, kind string) (crypto.Signer, error) {
	var seen blocks
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, fmt.Errorf("no %s private key in it (PEM blocks: %s): %w", kind, seen, ocm.ErrInvalid)
		}
		key, err := blockPrivate(b)
		if err != nil {
			return nil, err
		}
		if key == nil {
			seen = seen.add(b.Type, nil)
			continue
		}
		if k, err := kindOf(key.Public()); err == nil && k == kind {
			return key, checkKey(key.Public(), kind, "private key")
		}
		seen = seen.add(b.Type, key.Public())
	}
}

// parsePublicKey takes all certificates, and the first key of the kind. Of certificates only the first
// one's key counts: others are there to be its chain. The key is nil if there are only certificates of others.
func parsePublicKey(text []byte, kind string) (key crypto.PublicKey, certs []*x509.Certificate, err error) {
	var seen blocks
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		var k crypto.PublicKey
		if b.Type == certificateBlock {
			c, err := parseCertificate(b.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
			}
			if certs = append(certs, c); len(certs) > MaxCertificates {
				return nil, nil, fmt.Errorf("more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
			}
			if len(certs) == 1 {
				k = c.PublicKey
			}
		} else if k, err = blockPublic(b); err != nil {
			return nil, nil, err
		}
		seen = seen.add(b.Type, k)
		if found, err := kindOf(k); err == nil && found == kind && key == nil {
			key = k
		}
	}
	if key == nil && len(certs) == 0 {
		return nil, nil, fmt.Errorf("no %s public key in it (PEM blocks: %s): %w", kind, seen, ocm.ErrInvalid)
	}
	return key, certs, nil
}

// ParseCertificates reads trust anchors: 1 to [MaxCertificates] certificates in PEM. Blocks of other types
// beside them are an error ([ocm.ErrInvalid]), because something else was probably meant.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != certificateBlock {
			return nil, fmt.Errorf("PEM block %q, expected %s: %w", b.Type, certificateBlock, ocm.ErrInvalid)
		}
		c, err := parseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		if certs = append(certs, c); len(certs) > MaxCertificates {
			return nil, fmt.Errorf("more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("no certificate in it: %w", ocm.ErrInvalid)
	}
	return slices.Clip(certs), nil
}

// EncodeKeyPair writes a key in PEM as PKCS#8 and PKIX. The caller keeps the private half secret
// (file mode 0600).
func EncodeKeyPair(key crypto.Signer) (privatePEM, publicPEM []byte, err error) {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), nil
}
