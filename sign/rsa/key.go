// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"

	"ocm"
)

// Limits of keys.
const (
	// MinKeyBits is the smallest modulus accepted for signing and verifying.
	MinKeyBits = 2048
	// MaxKeyBits is the largest one: the time that one verification takes is bounded.
	MaxKeyBits = 16384
	// MaxKeyFileSize is the greatest size in bytes of PEM text in a property or its file.
	MaxKeyFileSize = 1 << 20
)

// property is PEM text in a secret, inline or as the name of a file, each under its
// current and its legacy name.
type property struct{ inline, file [2]string }

// The properties that the package comment describes.
func privateKeyProperty() property {
	return property{[2]string{"privateKeyPEM", "private_key_pem"}, [2]string{"privateKeyPEMFile", "private_key_pem_file"}}
}

func publicKeyProperty() property {
	return property{[2]string{"publicKeyPEM", "public_key_pem"}, [2]string{"publicKeyPEMFile", "public_key_pem_file"}}
}

func caCertProperty() property {
	return property{[2]string{"caCertPEM", "ca_cert_pem"}, [2]string{"caCertPEMFile", "ca_cert_pem_file"}}
}

// read returns the text and the name it was found under, for messages; no text if it is not
// there. A file that is named beside inline text is where that text is from.
func (p property) read(s ocm.Secret) (text []byte, name string, err error) {
	for _, name := range p.inline {
		if v := s[name]; v != "" {
			if len(v) > MaxKeyFileSize {
				return nil, name, fmt.Errorf("%s has %d bytes, at most %d are accepted: %w", name, len(v), MaxKeyFileSize, ocm.ErrLimit)
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
	text, err := io.ReadAll(io.LimitReader(f, MaxKeyFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxKeyFileSize {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", path, MaxKeyFileSize, ocm.ErrLimit)
	}
	return text, nil
}

// privateKey reads the private key of a secret; [ocm.ErrNotFound] if it has none.
func privateKey(s ocm.Secret) (*stdrsa.PrivateKey, error) {
	text, name, err := privateKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, fmt.Errorf("private key not found: set privateKeyPEM or privateKeyPEMFile: %w", ocm.ErrNotFound)
	}
	key, err := parsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// parsePrivateKey takes the first block that is an RSA private key. Errors name the
// kinds of blocks, never their content.
func parsePrivateKey(text []byte) (*stdrsa.PrivateKey, error) {
	var seen []string
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		seen = append(seen, b.Type)
		if len(b.Bytes) > MaxKeyBits { // eight times the modulus: no key we take is that long
			return nil, fmt.Errorf("PEM block %q has %d bytes: %w", b.Type, len(b.Bytes), ocm.ErrLimit)
		}
		var key any
		var err error
		switch b.Type {
		case "RSA PRIVATE KEY":
			if b.Headers["DEK-Info"] != "" {
				return nil, fmt.Errorf("the private key is encrypted, which is not supported: decrypt it with openssl pkey: %w", ocm.ErrInvalid)
			}
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("the private key is encrypted, which is not supported: decrypt it with openssl pkey: %w", ocm.ErrInvalid)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %q cannot be read as a private key: %w", b.Type, ocm.ErrInvalid)
		}
		if k, ok := key.(*stdrsa.PrivateKey); ok {
			return k, checkSize(&k.PublicKey, "private key")
		}
	}
	return nil, fmt.Errorf("no RSA private key in it (PEM blocks: %s): %w", orNone(seen), ocm.ErrInvalid)
}

// parsePublicKey takes the key of the first block that has an RSA public key, and all certificates.
func parsePublicKey(text []byte) (key *stdrsa.PublicKey, certs []*x509.Certificate, err error) {
	var seen []string
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		seen = append(seen, b.Type)
		var k any
		switch b.Type {
		case "RSA PUBLIC KEY":
			k, err = x509.ParsePKCS1PublicKey(b.Bytes)
		case "PUBLIC KEY":
			k, err = x509.ParsePKIXPublicKey(b.Bytes)
		case certificateBlock:
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(b.Bytes); err == nil {
				certs, k = append(certs, c), c.PublicKey
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("PEM block %q cannot be read: %v: %w", b.Type, err, ocm.ErrInvalid)
		}
		if len(certs) > MaxCertificates {
			return nil, nil, fmt.Errorf("more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
		}
		if r, ok := k.(*stdrsa.PublicKey); ok && key == nil {
			key = r
		}
	}
	if key == nil {
		return nil, nil, fmt.Errorf("no RSA public key in it (PEM blocks: %s): %w", orNone(seen), ocm.ErrInvalid)
	}
	return key, certs, nil
}

func orNone(seen []string) string {
	if len(seen) == 0 {
		return "none"
	}
	return strings.Join(seen, ", ")
}

func checkSize(k *stdrsa.PublicKey, what string) error {
	if n := k.N.BitLen(); n < MinKeyBits || n > MaxKeyBits {
		return fmt.Errorf("%s has %d bits, accepted are %d to %d: %w", what, n, MinKeyBits, MaxKeyBits, ocm.ErrInvalid)
	}
	return nil
}

// GenerateKeyPair makes a key of [MinKeyBits] to [MaxKeyBits] bits, in PEM as PKCS#8
// and PKIX. The caller keeps the private half secret (file mode 0600).
func GenerateKeyPair(bits int) (privatePEM, publicPEM []byte, err error) {
	if bits < MinKeyBits || bits > MaxKeyBits {
		return nil, nil, fmt.Errorf("RSA key of %d bits, accepted are %d to %d: %w", bits, MinKeyBits, MaxKeyBits, ocm.ErrInvalid)
	}
	key, err := stdrsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), nil
}
