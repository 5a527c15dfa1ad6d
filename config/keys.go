// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/base64"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// KeysType is the type of entries that hold keys by the name of the signature, as the older tool
// configures them.
const KeysType = "keys.config.ocm.software"

// Keys are keys by the name of the signature.
type Keys struct {
	Public  map[string]Key
	Private map[string]Key
	Roots   []Key             // trust anchors of all signatures
	Issuers map[string]string // the distinguished name that a certificate must have
}

// Key is a key or certificate: a file, or its text. It does not show its text when it is printed.
type Key struct{ Path, Text string }

// String names the file, or hides the text.
func (k Key) String() string {
	if k.Path != "" {
		return k.Path
	}
	return "a key in the configuration"
}

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Empty reports whether there is nothing at all.
func (k Keys) Empty() bool { return len(k.Public)+len(k.Private)+len(k.Roots)+len(k.Issuers) == 0 }

// keyData is a key as it is written.
type keyData struct {
	Path       string `json:"path"`
	Data       string `json:"data"` // base64
	StringData string `json:"stringdata"`
}

// Keys returns the keys of all entries; of equal names the later one wins, trust anchors add up.
// [ocm.ErrInvalid] if a key is not said in exactly one way.
func (c *Config) Keys() (Keys, error) { return Explained(c, KeysType, (*Config).keys) }

func (c *Config) keys() (Keys, error) {
	all := Keys{Public: map[string]Key{}, Private: map[string]Key{}, Issuers: map[string]string{}}
	for _, s := range c.Of(KeysType) {
		var e struct {
			Public  map[string]keyData `json:"publicKeys"`
			Private map[string]keyData `json:"privateKeys"`
			Roots   []keyData          `json:"rootCertificates"`
			Issuers map[string]issuer  `json:"issuers"`
		}
		if err := s.Decode(&e); err != nil {
			return all, err
		}
		for place, keys := range map[string]map[string]keyData{"publicKeys": e.Public, "privateKeys": e.Private} {
			to := all.Public
			if place == "privateKeys" {
				to = all.Private
			}
			for name, data := range keys {
				k, err := data.key()
				if err != nil {
					return all, fmt.Errorf("%s: %s: %s: %w", s.Type, place, name, err)
				}
				to[name] = k
			}
		}
		for i, data := range e.Roots {
			k, err := data.key()
			if err != nil {
				return all, fmt.Errorf("%s: rootCertificates[%d]: %w", s.Type, i, err)
			}
			all.Roots = append(all.Roots, k)
		}
		for name, text := range e.Issuers {
			all.Issuers[name] = string(text)
		}
	}
	return all, nil
}

func (d keyData) key() (Key, error) {
	said := 0
	for _, v := range []string{d.Path, d.Data, d.StringData} {
		if v != "" {
			said++
		}
	}
	if said != 1 {
		return Key{}, fmt.Errorf("expected one of path, data and stringdata: %w", ocm.ErrInvalid)
	}
	if d.Data == "" {
		return Key{Path: d.Path, Text: d.StringData}, nil
	}
	raw, err := base64.StdEncoding.DecodeString(d.Data)
	if err != nil {
		return Key{}, fmt.Errorf("data is not base64: %w", ocm.ErrInvalid)
	}
	return Key{Text: string(raw)}, nil
}

// issuer is a distinguished name: text, or an object of its attributes.
type issuer string

func (n *issuer) UnmarshalJSON(raw []byte) error {
	if ocm.RawJSON(raw).Kind() == '"' {
		if err := jsonv2.Unmarshal(raw, (*string)(n)); err != nil || *n == "" {
			return fmt.Errorf("issuer: expected a distinguished name: %w", ocm.ErrInvalid)
		}
		return nil
	}
	var o struct {
		CommonName         string   `json:"commonName"`
		Country            []string `json:"country"`
		Organization       []string `json:"organization"`
		OrganizationalUnit []string `json:"organizationalUnit"`
		Locality           []string `json:"locality"`
		Province           []string `json:"province"`
		StreetAddress      []string `json:"streetAddress"`
		PostalCode         []string `json:"postalCode"`
	}
	// What is not understood would be a demand that nobody makes.
	if err := jsonv2.Unmarshal(raw, &o, jsonv2.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `;`, `\;`, `+`, `\+`, `"`, `\"`, `#`, `\#`)
	var parts []string
	for _, a := range []struct {
		key    string
		values []string
	}{{"CN", []string{o.CommonName}}, {"OU", o.OrganizationalUnit}, {"O", o.Organization}, {"L", o.Locality}, {"ST", o.Province},
		{"STREET", o.StreetAddress}, {"POSTALCODE", o.PostalCode}, {"C", o.Country}} {
		for _, v := range a.values {
			if v != "" {
				parts = append(parts, a.key+"="+escape.Replace(v))
			}
		}
	}
	if len(parts) == 0 {
		return fmt.Errorf("issuer: it has no attribute: %w", ocm.ErrInvalid)
	}
	*n = issuer(strings.Join(parts, ","))
	return nil
}
