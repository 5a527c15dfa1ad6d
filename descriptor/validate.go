// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ocm"
)

// Validate holds d against the rules for component versions that are written anew.
// The error joins everything that is wrong, each with its path; all wrap
// [ocm.ErrInvalid]. Documents that exist may break these rules: [Decode] does not
// apply them.
func Validate(d *ocm.Descriptor) error {
	var p problems
	c := &d.Component
	if d.Meta.SchemaVersion != "" && !isSchema(d.Meta.SchemaVersion) {
		p.addf("meta.schemaVersion", "expected %q, found %q", ocm.SchemaV2, d.Meta.SchemaVersion)
	}
	p.add("component.name", CheckName(c.Name))
	p.add("component.version", CheckVersion(c.Version))
	if c.CreationTime != "" {
		if _, err := time.Parse(time.RFC3339, c.CreationTime); err != nil {
			p.addf("component.creationTime", "expected a time as in RFC 3339, found %.40q", c.CreationTime)
		}
	}
	p.provider(c.Provider)
	p.labels("component.labels", c.Labels)
	for i := range c.RepositoryContexts {
		p.need(fmt.Sprintf("component.repositoryContexts[%d].type", i), c.RepositoryContexts[i].Type)
	}
	p.resources(c.Resources)
	p.sources(c.Sources)
	p.references(c.References)
	p.signatures(d.Signatures)
	p.nested(d.NestedDigests)
	return errors.Join(p...)
}

// problems collects errors, each with the path of what is wrong.
type problems []error

func (p *problems) add(path string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", path, err))
	}
}

func (p *problems) addf(path, format string, args ...any) {
	p.add(path, fmt.Errorf(format+": %w", append(args, ocm.ErrInvalid)...))
}

func (p *problems) need(path, value string) {
	if value == "" {
		p.addf(path, "is missing")
	}
}

func (p *problems) match(path string, rule *regexp.Regexp, value string) {
	if !rule.MatchString(value) {
		p.addf(path, "%.80q does not match %s", value, rule)
	}
}

func (p *problems) provider(provider ocm.Provider) {
	name, labels, err := provider.Parse()
	if err == nil {
		err = unambiguousProvider(provider)
	}
	if err != nil {
		p.add("component.provider", err)
		return
	}
	p.need("component.provider", name)
	p.labels("component.provider.labels", labels)
}

func (p *problems) labels(path string, labels []ocm.Label) {
	seen := map[string]int{}
	for i := range labels {
		l, at := &labels[i], fmt.Sprintf("%s[%d]", path, i)
		p.need(at+".name", l.Name)
		if first, dup := seen[l.Name]; dup {
			p.addf(at+".name", "label %q is there already as entry %d", l.Name, first)
		} else {
			seen[l.Name] = i
		}
		if l.Version != "" {
			p.match(at+".version", labelVersion, l.Version)
		}
		if len(l.Value) == 0 {
			p.addf(at+".value", "is missing")
		}
		if l.Merge != nil {
			p.match(at+".merge.algorithm", algorithmName, l.Merge.Algorithm)
		}
	}
}

// identities finds elements of one kind that cannot be told apart.
type identities map[string]int

// element checks what all elements have; at is the path of the element in its list.
func (p *problems) element(at string, i int, seen identities, e *ocm.Element) {
	p.match(at+".name", elementName, e.Name)
	p.add(at+".version", CheckVersion(e.Version))
	for _, k := range slices.Sorted(maps.Keys(e.ExtraIdentity)) {
		if k == "name" {
			p.addf(at+".extraIdentity", "key \"name\" is the element's own name and not allowed here")
			continue
		}
		p.match(at+".extraIdentity", identityKey, k)
	}
	key := identityText(e.Identity())
	if first, dup := seen[key]; dup {
		p.addf(at, "identity %s is there already as entry %d: change version or extraIdentity", e.Identity(), first)
	} else {
		seen[key] = i
	}
	p.labels(at+".labels", e.Labels)
}

// identityText quotes keys and values, so that two identities never have one text.
func identityText(id ocm.Identity) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(id)) {
		b.WriteString(strconv.Quote(k))
		b.WriteString(strconv.Quote(id[k]))
	}
	return b.String()
}

func (p *problems) resources(list []ocm.Resource) {
	seen := identities{}
	for i := range list {
		r, at := &list[i], fmt.Sprintf("component.resources[%d]", i)
		p.element(at, i, seen, &r.Element)
		p.need(at+".type", r.Type)
		if r.Relation != ocm.RelationLocal && r.Relation != ocm.RelationExternal {
			p.addf(at+".relation", "expected %q or %q, found %.40q", ocm.RelationLocal, ocm.RelationExternal, r.Relation)
		}
		p.need(at+".access.type", r.Access.Type)
		for j := range r.SrcRefs {
			p.labels(fmt.Sprintf("%s.srcRefs[%d].labels", at, j), r.SrcRefs[j].Labels)
		}
		if !r.Digest.Empty() {
			p.digest(at+".digest", r.Digest)
		}
	}
}

func (p *problems) sources(list []ocm.Source) {
	seen := identities{}
	for i := range list {
		s, at := &list[i], fmt.Sprintf("component.sources[%d]", i)
		p.element(at, i, seen, &s.Element)
		p.need(at+".type", s.Type)
		p.need(at+".access.type", s.Access.Type)
	}
}

func (p *problems) references(list []ocm.Reference) {
	seen := identities{}
	for i := range list {
		r, at := &list[i], fmt.Sprintf("component.componentReferences[%d]", i)
		p.element(at, i, seen, &r.Element)
		p.add(at+".componentName", CheckName(r.ComponentName))
		if r.Digest.Empty() {
			continue
		}
		if r.Digest.Excluded() {
			p.addf(at+".digest", "a component version cannot be excluded from the signature")
			continue
		}
		p.digest(at+".digest", r.Digest)
	}
}

func (p *problems) signatures(list []ocm.Signature) {
	seen := map[string]int{}
	for i := range list {
		s, at := &list[i], fmt.Sprintf("signatures[%d]", i)
		p.need(at+".name", s.Name)
		if first, dup := seen[s.Name]; dup {
			p.addf(at+".name", "signature %q is there already as entry %d", s.Name, first)
		} else {
			seen[s.Name] = i
		}
		if s.Digest.Excluded() {
			p.addf(at+".digest", "a signature needs a digest")
		} else {
			p.digest(at+".digest", &s.Digest)
		}
		p.need(at+".signature.algorithm", s.Signature.Algorithm)
		p.need(at+".signature.mediaType", s.Signature.MediaType)
		p.need(at+".signature.value", s.Signature.Value)
	}
}

func (p *problems) nested(list []ocm.NestedDigest) {
	for i := range list {
		n, at := &list[i], fmt.Sprintf("nestedDigests[%d]", i)
		p.add(at+".name", CheckName(n.Name))
		p.add(at+".version", CheckVersion(n.Version))
		if !n.Digest.Empty() {
			p.digest(at+".digest", n.Digest)
		}
		for j := range n.ResourceDigests {
			r, at := &n.ResourceDigests[j], fmt.Sprintf("%s.resourceDigests[%d]", at, j)
			p.need(at+".name", r.Name)
			p.digest(at+".digest", &r.Digest)
		}
	}
}

// digest wants all three members, or all three of the exclusion.
func (p *problems) digest(at string, d *ocm.Digest) {
	if d.Excluded() {
		return
	}
	for _, m := range []string{d.HashAlgorithm, d.NormalisationAlgorithm, d.Value} {
		if m == ocm.NoDigest || m == ocm.ExcludeFromSignature {
			p.addf(at, "%q is allowed only together: %s, %s, %s", m, ocm.NoDigest, ocm.ExcludeFromSignature, ocm.NoDigest)
			return
		}
	}
	p.need(at+".normalisationAlgorithm", d.NormalisationAlgorithm)
	var digits int
	switch d.HashAlgorithm {
	case ocm.SHA256, "sha256": // the lower-case names are legacy, and tolerated where they are signed already
		digits = 64
	case ocm.SHA512, "sha512":
		digits = 128
	default:
		p.addf(at+".hashAlgorithm", "expected %s or %s, found %.40q", ocm.SHA256, ocm.SHA512, d.HashAlgorithm)
		return
	}
	if len(d.Value) != digits || strings.Trim(d.Value, "0123456789abcdef") != "" {
		p.addf(at+".value", "expected %d lower-case hex digits, found %.140q", digits, d.Value)
	}
}
