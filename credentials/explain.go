// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ocm"
)

// Explanation tells how a secret was chosen. It holds names of properties and never a value.
type Explanation struct {
	Consumer   ocm.Identity `json:"consumer"`             // what was asked for
	Considered []Considered `json:"considered"`           // configured consumers of this type, in their order
	Others     int          `json:"otherTypes"`           // configured consumers of other types
	Asked      []string     `json:"asked,omitempty"`      // repositories, helpers and servers, and what came of it
	Source     string       `json:"source,omitempty"`     // whose secret it is; empty: nobody has one
	Properties []string     `json:"properties,omitempty"` // names of what is in the secret
}

// Considered is a configured consumer that was compared.
type Considered struct {
	Place    string       `json:"place"`    // file, and number of the consumer in it
	Identity ocm.Identity `json:"identity"` // as it was understood
	Matches  bool         `json:"matches"`
	Wins     bool         `json:"wins"`
	Why      string       `json:"why"`
}

// Explain resolves like [Store.Resolve] and tells how. That nobody has a secret is no error; with any other error
// the explanation says how far it went.
func (s *Store) Explain(ctx context.Context, id ocm.Identity) (Explanation, error) {
	request := normal(id)
	x := Explanation{Consumer: request, Considered: []Considered{}}
	winner := s.best(request)
	for _, c := range s.consumers {
		if c.id[attrType] != request[attrType] {
			x.Others++
			continue
		}
		miss := mismatch(c.id, request)
		one := Considered{Place: c.String(), Identity: c.id, Matches: miss == "", Wins: c == winner}
		switch {
		case miss != "":
			one.Why = different(miss, c.id, request)
		case c == winner:
			one.Why = s.whyItWins(c, request)
		default:
			one.Why = "matches; a better one wins: " + advantage(winner.id, c.id, request)
		}
		x.Considered = append(x.Considered, one)
	}
	n := &notes{}
	secret, c, err := s.resolve(ctx, id, n)
	x.Asked = n.lines
	switch {
	case c != nil:
		x.Source = c.String()
	case err == nil:
		x.Source = n.from
	}
	x.Properties = slices.Sorted(maps.Keys(secret))
	if errors.Is(err, ocm.ErrNotFound) {
		err = nil
	}
	return x, err
}

// different says what stands in the way of a match.
func different(attr string, conf, request ocm.Identity) string {
	want, found := request[attr], conf[attr]
	switch attr {
	case attrPort:
		return fmt.Sprintf("port is %s, asked for %s", portOf(conf, schemeOf(conf, request)), portOf(request, schemeOf(conf, request)))
	case attrPath, attrPrefix:
		want = wantedPath(request)
	}
	return fmt.Sprintf("%s is %s, asked for %s", attr, orNone(found), orNone(want))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// whyItWins compares the winner with the second best.
func (s *Store) whyItWins(winner *consumer, request ocm.Identity) string {
	var second *consumer
	for _, c := range s.consumers {
		if c == winner || !matches(c.id, request) {
			continue
		}
		if second == nil || slices.Compare(specificity(c.id, request), specificity(second.id, request)) > 0 {
			second = c
		}
	}
	if second == nil {
		return "wins: the only one that matches"
	}
	return "wins: " + advantage(winner.id, second.id, request)
}

// advantage is what makes one identity more specific than another; the order is that of [specificity].
func advantage(winner, other, request ocm.Identity) string {
	a, b := specificity(winner, request), specificity(other, request)
	reasons := []string{"it is the very same identity", "its path is the very same", "its path is longer", "it names more attributes"}
	for i, why := range reasons {
		if a[i] != b[i] {
			return why
		}
	}
	return "it stands first"
}
