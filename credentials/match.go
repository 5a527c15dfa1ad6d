// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"ocm"
)

// Attributes of identities with rules of their own.
const (
	attrType   = "type"
	attrHost   = "hostname"
	attrScheme = "scheme"
	attrPort   = "port"
	attrPath   = "path"
	attrPrefix = "pathprefix"
)

// readIdentity reads a configured identity. A number is taken as its text: ports are
// often written without quotes.
func readIdentity(raw map[string]ocm.RawJSON) (ocm.Identity, error) {
	id := make(ocm.Identity, len(raw))
	for k, v := range raw {
		switch v.Kind() {
		case '"':
			var text string
			if err := decode(v, &text); err != nil {
				return nil, fmt.Errorf("identity: %s: %w", k, err)
			}
			id[k] = text
		case '0':
			id[k] = v.String()
		case 'n':
		default:
			return nil, fmt.Errorf("identity: %s must be text: %w", k, ocm.ErrInvalid)
		}
	}
	if id[attrType] == "" {
		return nil, fmt.Errorf("identity has no type: %w", ocm.ErrInvalid)
	}
	if _, err := path.Match(id[attrPath], ""); err != nil {
		return nil, fmt.Errorf("identity: path %q is no pattern: %w", id[attrPath], ocm.ErrInvalid)
	}
	return normal(id), nil
}

// normal gives a copy in which everything that is written in several ways is written in one.
func normal(id ocm.Identity) ocm.Identity {
	id = maps.Clone(id)
	id[attrType] = baseType(id[attrType])
	for k, v := range id {
		switch k {
		case attrHost:
			v = strings.ToLower(v)
		case attrScheme:
			if v = strings.ToLower(v); v == "oci" {
				v = "https"
			}
		case attrPath, attrPrefix:
			v = strings.Trim(v, "/")
		}
		if v == "" {
			delete(id, k)
		} else {
			id[k] = v
		}
	}
	return id
}

// baseType strips the version of a type and maps older names.
func baseType(typ string) string {
	typ = strings.TrimSuffix(strings.TrimSuffix(typ, "/v1"), "/v1alpha1")
	switch typ {
	case "Github":
		return "GitHubRepository"
	case "S3":
		return "S3Bucket"
	case "wget":
		return "Wget"
	}
	return typ
}

// matches reports whether a configured identity is for a request; both are normal.
func matches(conf, request ocm.Identity) bool {
	if conf[attrHost] != request[attrHost] || !schemesMatch(conf, request) || !pathsMatch(conf, request) {
		return false
	}
	return restWithin(conf, request) && restWithin(request, conf)
}

// restWithin reports whether the attributes without own rules of a stand in b, too.
func restWithin(a, b ocm.Identity) bool {
	for k, v := range a {
		switch k {
		case attrHost, attrScheme, attrPort, attrPath, attrPrefix:
			continue
		}
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// schemesMatch compares schemes, where both are known, and ports.
func schemesMatch(conf, request ocm.Identity) bool {
	c, r := conf[attrScheme], request[attrScheme]
	if c != "" && r != "" && c != r {
		return false
	}
	scheme := c + r // one of them, or twice the same
	if c == r {
		scheme = c
	}
	return portOf(conf, scheme) == portOf(request, scheme)
}

func portOf(id ocm.Identity, scheme string) string {
	switch p := id[attrPort]; {
	case p != "":
		return p
	case scheme == "http":
		return "80"
	case scheme == "" || scheme == "https":
		return "443"
	}
	return ""
}

func pathsMatch(conf, request ocm.Identity) bool {
	want := request[attrPath]
	if want == "" {
		want = request[attrPrefix]
	}
	if p := conf[attrPath]; p != "" {
		if ok, err := path.Match(p, want); err != nil || !ok {
			return false
		}
	}
	p := conf[attrPrefix]
	return p == "" || want == p || strings.HasPrefix(want, p+"/")
}

// specificity ranks a matching identity, most significant number first.
func specificity(conf, request ocm.Identity) []int {
	same, exact, length := 0, 0, 0
	if maps.Equal(conf, request) {
		same = 1
	}
	if p := conf[attrPath]; p != "" {
		length = len(p)
		if p == request[attrPath] {
			exact = 1
		}
	}
	length = max(length, len(conf[attrPrefix]))
	return []int{same, exact, length, len(conf)}
}
