// SPDX-License-Identifier: Apache-2.0

package remote

import "strings"

// MaxChallenge bounds the part of a WWW-Authenticate header that is read, in bytes.
const MaxChallenge = 8 << 10

// challenge is what a registry demands with status 401.
type challenge struct {
	scheme string // "basic" or "bearer"
	params map[string]string
}

// pickChallenge takes the first demand that can be met, Bearer before Basic.
func pickChallenge(headers []string) (challenge, bool) {
	var found challenge
	for _, h := range headers {
		switch c := parseChallenge(h); {
		case c.scheme == "bearer":
			return c, true
		case c.scheme == "basic" && found.scheme == "":
			found = c
		}
	}
	return found, found.scheme != ""
}

// parseChallenge reads one challenge: scheme, then name=value or name="value" with commas
// between. It stops at the first thing that does not fit; of equal names the first counts.
func parseChallenge(h string) challenge {
	h = strings.TrimSpace(h[:min(len(h), MaxChallenge)])
	scheme, rest, _ := strings.Cut(h, " ")
	c := challenge{scheme: strings.ToLower(scheme), params: map[string]string{}}
	for {
		name, after, ok := strings.Cut(strings.TrimLeft(rest, " \t,"), "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(name, " \t\",") {
			return c
		}
		var value string
		if value, rest, ok = parseValue(strings.TrimLeft(after, " \t")); !ok {
			return c
		}
		if _, have := c.params[name]; !have {
			c.params[name] = value
		}
	}
}

// parseValue reads a token or a quoted string with backslash escapes.
func parseValue(s string) (value, rest string, ok bool) {
	quoted, isQuoted := strings.CutPrefix(s, `"`)
	if !isQuoted {
		end := strings.IndexAny(s, " \t,")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch quoted[i] {
		case '"':
			return b.String(), quoted[i+1:], true
		case '\\':
			if i++; i == len(quoted) {
				return "", "", false
			}
		}
		b.WriteByte(quoted[i])
	}
	return "", "", false
}
