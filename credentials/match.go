// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"fmt"
	"maps"
	"path"
	"slices"
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

// olderTypes are names that the older tool gives to consumers, without version.
var olderTypes = map[string]string{
	"Github":                      "GitHubRepository",
	"S3":                          "S3Bucket",
	"wget":                        "Wget",
	"Registry.npmjs.com":          "NpmRegistry",
	"Repository.maven.apache.org": "MavenRepository",
}

// baseType strips the version of a type and maps older names.
func baseType(typ string) string {
	typ = strings.TrimSuffix(strings.TrimSuffix(typ, "/v1"), "/v1alpha1")
	if newer, ok := olderTypes[typ]; ok {
		return newer
	}
	return typ
}

// matches reports whether a configured identity is for a request; both are normal.
func matches(conf, request ocm.Identity) bool { return mismatch(conf, request) == "" }

// mismatch is the attribute because of which a configured identity is not for a request; empty if it is.
func mismatch(conf, request ocm.Identity) string {
	switch {
	case conf[attrType] != request[attrType]:
		return attrType
	case conf[attrHost] != request[attrHost]:
		return attrHost
	case !schemesMatch(conf, request):
		return attrScheme
	case !portsMatch(conf, request):
		return attrPort
	case !patternMatches(conf, request):
		return attrPath
	case !prefixMatches(conf, request):
		return attrPrefix
	}
	if k := missingFrom(request, conf, nil); k != "" {
		return k
	}
	return missingFrom(conf, request, mayLack[conf[attrType]])
}

// mayLack are attributes of requests that a configured identity need not have: it is for all of them then.
var mayLack = map[string][]string{vaultConsumer: {"namespace", "secretEngine"}}

// missingFrom is the first attribute without rules of its own that stands in b and not in a, or differently.
func missingFrom(a, b ocm.Identity, optional []string) string {
	for _, k := range slices.Sorted(maps.Keys(b)) {
		switch k {
		case attrHost, attrScheme, attrPort, attrPath, attrPrefix:
			continue
		}
		if v, ok := a[k]; (!ok && !slices.Contains(optional, k)) || ok && v != b[k] {
			return k
		}
	}
	return ""
}

// schemesMatch compares schemes, where both are known.
func schemesMatch(conf, request ocm.Identity) bool {
	c, r := conf[attrScheme], request[attrScheme]
	return c == "" || r == "" || c == r
}

// portsMatch compares ports, the defaults of the scheme filled in; whoever names no scheme has that of the other.
func portsMatch(conf, request ocm.Identity) bool {
	scheme := schemeOf(conf, request)
	return portOf(conf, scheme) == portOf(request, scheme)
}

// schemeOf is the scheme that decides about default ports.
func schemeOf(conf, request ocm.Identity) string {
	if s := conf[attrScheme]; s != "" {
		return s
	}
	return request[attrScheme]
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

// wantedPath is the path of a request; the older tool calls it pathprefix there, too.
func wantedPath(request ocm.Identity) string {
	if p := request[attrPath]; p != "" {
		return p
	}
	return request[attrPrefix]
}

func patternMatches(conf, request ocm.Identity) bool {
	p, want := conf[attrPath], wantedPath(request)
	if p == "" {
		return true
	}
	ok, err := path.Match(p, want)
	return err == nil && ok && !leadsAway(want)
}

// prefixMatches compares whole segments: acme is no prefix of acme2/app.
func prefixMatches(conf, request ocm.Identity) bool {
	p, want := conf[attrPrefix], wantedPath(request)
	return p == "" || (want == p || strings.HasPrefix(want, p+"/")) && !leadsAway(want)
}

// leadsAway tells paths that servers take for others: with acme/../other the one below acme would be given to
// other. Some servers read a backslash as slash, and leave out what follows a semicolon. What is for the whole host is
// not limited by a path, so such a path changes nothing there.
func leadsAway(p string) bool {
	for segment := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment, _, _ = strings.Cut(segment, ";"); segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// specificity ranks a matching identity, most significant number first.
func specificity(conf, request ocm.Identity) []int {
	same, exact, length := 0, 0, 0
	if maps.Equal(conf, request) {
		same = 1
	}
	if p := conf[attrPath]; p != "" {
		length = len(p)
		if p == wantedPath(request) {
			exact = 1
		}
	}
	length = max(length, len(conf[attrPrefix]))
	return []int{same, exact, length, len(conf)}
}

// mostSpecific is the index of the identity that is for a request more specifically than all others, the
// first of equal ones; -1 if none is.
func mostSpecific(n int, at func(i int) ocm.Identity, request ocm.Identity) int {
	best, rank := -1, []int(nil)
	for i := range n {
		if !matches(at(i), request) {
			continue
		}
		if r := specificity(at(i), request); best < 0 || slices.Compare(r, rank) > 0 {
			best, rank = i, r
		}
	}
	return best
}
