// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"ocm"
)

// maxNameSize bounds distinguished names in text form, in bytes.
const maxNameSize = 4 << 10

// distinguishedName is a sorted list of "oid=value". Two names with the same
// attributes are taken as equal whatever the order: writers print them in both directions.
type distinguishedName []string

// isNameOf reports whether the text is the certificate's subject or issuer.
func isNameOf(text string, c *x509.Certificate) (bool, error) {
	want, err := parseName(text)
	if err != nil {
		return false, err
	}
	for _, raw := range [][]byte{c.RawSubject, c.RawIssuer} {
		if have, err := decodeName(raw); err == nil && slices.Equal(want, have) {
			return true, nil
		}
	}
	return false, nil
}

// subjectHas reports whether the certificate's subject has every attribute of the pattern.
func subjectHas(c *x509.Certificate, pattern string) (bool, error) {
	want, err := parseName(pattern)
	if err != nil {
		return false, err
	}
	have, err := decodeName(c.RawSubject)
	if err != nil {
		return false, err
	}
	for _, a := range want {
		if !slices.Contains(have, a) {
			return false, nil
		}
	}
	return true, nil
}

// parseName reads a name as RFC 2253 writes it, with ";" as separator and quotes
// as in RFC 1779. Text without "=" is a common name.
func parseName(text string) (distinguishedName, error) {
	if len(text) > maxNameSize {
		return nil, fmt.Errorf("name has %d bytes, at most %d are accepted: %w", len(text), maxNameSize, ocm.ErrLimit)
	}
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("name is empty: %w", ocm.ErrInvalid)
	}
	if !strings.Contains(text, "=") {
		return distinguishedName{"2.5.4.3=" + strings.TrimSpace(text)}, nil
	}
	var n distinguishedName
	for rest := text; ; {
		typ, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("name %q: expected type=value at %q: %w", text, rest, ocm.ErrInvalid)
		}
		oid, err := attributeOID(strings.TrimSpace(typ))
		if err != nil {
			return nil, fmt.Errorf("name %q: %w", text, err)
		}
		val, left, more, err := attributeValue(after)
		if err != nil {
			return nil, fmt.Errorf("name %q: %w", text, err)
		}
		n = append(n, oid+"="+val)
		if !more {
			break
		}
		rest = left
	}
	slices.Sort(n)
	return n, nil
}

// attributeValue reads a value up to the next separator; more says that there was one.
func attributeValue(s string) (val, rest string, more bool, err error) {
	s = strings.TrimLeft(s, " ")
	var b []byte
	quoted, solid := false, 0 // solid: length up to which trailing spaces are part of the value
	i := 0
loop:
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			raw, n := unescape(s[i+1:])
			if n == 0 {
				return "", "", false, fmt.Errorf("unfinished escape at %q: %w", s[i:], ocm.ErrInvalid)
			}
			b, i = append(b, raw), i+n
			solid = len(b)
		case c == '"':
			quoted = !quoted
			solid = len(b)
		case !quoted && strings.IndexByte(",;+", c) >= 0:
			more = true
			break loop
		default:
			b = append(b, c)
			if quoted || c != ' ' {
				solid = len(b)
			}
		}
	}
	if quoted {
		return "", "", false, fmt.Errorf("unfinished quote: %w", ocm.ErrInvalid)
	}
	val = string(b[:solid])
	if strings.HasPrefix(s, "#") {
		der, err := hex.DecodeString(val[1:])
		if err != nil {
			return "", "", false, fmt.Errorf("value %q is not hex: %w", val, ocm.ErrInvalid)
		}
		val = attributeText(der)
	}
	if more {
		rest = s[i+1:]
	}
	return val, rest, more, nil
}

// unescape reads what follows a backslash: two hex digits or one character.
func unescape(s string) (c byte, n int) {
	if len(s) >= 2 {
		if raw, err := hex.DecodeString(s[:2]); err == nil {
			return raw[0], 2
		}
	}
	if len(s) == 0 {
		return 0, 0
	}
	return s[0], 1
}

func attributeOID(typ string) (string, error) {
	switch strings.ToUpper(typ) {
	case "CN":
		return "2.5.4.3", nil
	case "SERIALNUMBER":
		return "2.5.4.5", nil
	case "C":
		return "2.5.4.6", nil
	case "L":
		return "2.5.4.7", nil
	case "ST", "S":
		return "2.5.4.8", nil
	case "STREET":
		return "2.5.4.9", nil
	case "O":
		return "2.5.4.10", nil
	case "OU":
		return "2.5.4.11", nil
	case "POSTALCODE":
		return "2.5.4.17", nil
	case "DC":
		return "0.9.2342.19200300.100.1.25", nil
	case "UID":
		return "0.9.2342.19200300.100.1.1", nil
	case "E", "EMAIL", "EMAILADDRESS":
		return "1.2.840.113549.1.9.1", nil
	}
	oid := strings.TrimPrefix(strings.ToLower(typ), "oid.")
	if oid == "" || strings.Trim(oid, "0123456789.") != "" {
		return "", fmt.Errorf("attribute type %q is not known: %w", typ, ocm.ErrInvalid)
	}
	return oid, nil
}

// The ASN.1 shape of a name; encoding/asn1 goes by the suffix SET.
type (
	attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	attributeSET []attribute
)

// decodeName reads a name from a certificate.
func decodeName(der []byte) (distinguishedName, error) {
	var seq []attributeSET
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("name in certificate cannot be read: %w", ocm.ErrInvalid)
	}
	var n distinguishedName
	for _, set := range seq {
		for _, a := range set {
			n = append(n, a.Type.String()+"="+attributeText(a.Value.FullBytes))
		}
	}
	slices.Sort(n)
	return n, nil
}

// attributeText is the text of a DER value, or "#" and its hex where it is no text.
func attributeText(der []byte) string {
	var s string
	if rest, err := asn1.Unmarshal(der, &s); err == nil && len(rest) == 0 {
		return s
	}
	return "#" + hex.EncodeToString(der)
}
