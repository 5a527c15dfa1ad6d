// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// page is the part of a list that a request asks for.
type page struct {
	n    int
	last string // the entry before the part
	all  bool   // n was not given
}

func (x *exchange) page() (page, error) {
	q := x.r.URL.Query()
	p := page{n: MaxPage, last: q.Get("last"), all: true}
	if n := q.Get("n"); n != "" {
		v, ok := number(n)
		if !ok {
			return p, refuse(http.StatusBadRequest, codeUnsupported, "n=%.40q: expected a number", n)
		}
		p.n, p.all = int(min(v, MaxPage)), false // whoever asks for more follows the link
	}
	return p, nil
}

// cut sorts names and takes the page; next tells that there are more behind it.
func (p page) cut(names []string, order func(a, b string) int) (part []string, next bool) {
	slices.SortFunc(names, order)
	i := 0
	if p.last != "" {
		var found bool
		if i, found = slices.BinarySearchFunc(names, p.last, order); found {
			i++
		}
	}
	names = names[i:]
	n := min(p.n, len(names))
	part = append([]string{}, names[:n]...) // never null
	return part, n > 0 && n < len(names)
}

// link points to the next page.
func (x *exchange) link(query url.Values) {
	x.w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, x.r.URL.EscapedPath(), query.Encode()))
}

func (x *exchange) linkAfter(p page, part []string) {
	x.link(url.Values{"n": {strconv.Itoa(p.n)}, "last": {part[len(part)-1]}})
}

// folded is the order of the specification: alphabetical, whether large or small.
func folded(a, b string) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
}

// getTags lists the tags of a repository.
func (g *Registry) getTags(x *exchange) error {
	p, err := x.page()
	if err != nil {
		return err
	}
	tags, err := collect(x.repo.Tags(x.r.Context()), tagPattern.MatchString)
	if err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return err
	}
	if len(tags) == 0 {
		if err := g.mustExist(x); err != nil {
			return err
		}
	}
	part, next := p.cut(tags, folded)
	if next {
		x.linkAfter(p, part)
	}
	return x.json("application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{x.route.name, part})
}

func collect(seq iter.Seq2[string, error], want func(string) bool) ([]string, error) {
	var list []string
	for s, err := range seq {
		if err != nil {
			return nil, err
		}
		if want(s) {
			list = append(list, s)
		}
	}
	return list, nil
}

// mustExist tells a repository without tags from one that is not there, if the store knows.
func (g *Registry) mustExist(x *exchange) error {
	lister, ok := g.store.(oci.RepoLister)
	if ok {
		for name, err := range lister.Repos(x.r.Context()) {
			if err != nil {
				return err
			}
			if name == x.route.name {
				return nil
			}
		}
	}
	if g.emptied.has(x.route.name) {
		return nil
	}
	return refuse(http.StatusNotFound, codeNameUnknown, "repository %.300q is not there", x.route.name)
}

// getCatalog lists the repositories, as Docker's registries do. Those with names that no client could ask for are left out.
func (g *Registry) getCatalog(x *exchange) error {
	lister, ok := g.store.(oci.RepoLister)
	if !ok {
		return fmt.Errorf("catalog: %w", errors.ErrUnsupported)
	}
	p, err := x.page()
	if err != nil {
		return err
	}
	names, err := collect(lister.Repos(x.r.Context()), func(name string) bool { return checkName(name) == nil })
	if err != nil {
		return err
	}
	part, next := p.cut(names, cmp.Compare[string])
	if next {
		x.linkAfter(p, part)
	}
	return x.json("application/json", struct {
		Repositories []string `json:"repositories"`
	}{part})
}

// getReferrers lists the manifests that have a subject; an unknown one has none.
func (g *Registry) getReferrers(x *exchange) error {
	d, err := x.route.digestRef()
	if err != nil {
		return err
	}
	lister, ok := x.repo.(oci.ReferrerLister)
	if !ok {
		return refuse(http.StatusNotFound, codeUnsupported, "this registry cannot list referrers")
	}
	q := x.r.URL.Query()
	filter, last := q.Get("artifactType"), q.Get("last")
	var found []ociv1.Descriptor
	for one, err := range lister.Referrers(x.r.Context(), ociv1.Descriptor{Digest: d}, filter) {
		if errors.Is(err, ocm.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		if string(one.Digest) > last {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b ociv1.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	part, err := fitting(found)
	if err != nil {
		return err
	}
	if len(part) < len(found) {
		query := url.Values{"last": {string(part[len(part)-1].Digest)}}
		if filter != "" {
			query.Set("artifactType", filter)
		}
		x.link(query)
	}
	if filter != "" {
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return x.json(ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: part,
	})
}

// fitting is as much of a list as an index may have, which clients bound as they bound manifests. One entry fits always: its
// annotations come from one manifest.
func fitting(all []ociv1.Descriptor) ([]ociv1.Descriptor, error) {
	const room = blob.MaxManifest - 1<<10
	size := 0
	for i, d := range all {
		raw, err := marshal(d)
		if err != nil {
			return nil, err
		}
		if size += len(raw) + 1; i > 0 && (size > room || i == MaxPage) {
			return all[:i], nil
		}
	}
	return append([]ociv1.Descriptor{}, all...), nil
}
