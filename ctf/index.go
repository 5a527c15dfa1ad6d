// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"fmt"
	"io"
	"maps"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
)

// entry is one line of the index. Without a tag it is a nested manifest, or one whose tag
// has moved on.
type entry struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest"`
	MediaType  string        `json:"mediaType,omitempty"`
}

// document is artifact-index.json. Unknown members are refused when it is read.
type document struct {
	SchemaVersion int     `json:"schemaVersion"`
	Artifacts     entries `json:"artifacts"`
}

type entries []entry

// index is a document that can be searched. It is never modified, see with, but for one that is
// being made of several changes, see open.
type index struct {
	entries entries
	tags    map[ref]int      // by repository and tag
	digests map[ref]int      // by repository and digest; an entry with media type is preferred
	loose   map[ref]int      // by repository and digest: the first entry without tag
	repos   []string         // in order of their first entry
	byRepo  map[string][]int // entries of a repository
	double  bool             // a tag has several entries, all of the same manifest

	open  bool    // belongs to one goroutine: with need not copy it
	added []entry // what with adds to an open index, until put takes it in
}

type ref struct{ repository, name string }

// UnmarshalJSONFrom checks each entry when it comes. An entry with all it needs has about 100
// bytes, so [MaxIndex] bounds their number too; millions of empty ones end at the first.
func (es *entries) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	switch tok.Kind() {
	case 'n':
		return nil
	case '[':
	default:
		return fmt.Errorf("artifacts: expected a list, found %s", tok.Kind())
	}
	for dec.PeekKind() != ']' {
		var e entry
		if err := jsonv2.UnmarshalDecode(dec, &e); err != nil {
			return err
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("entry %d: %w", len(*es), err)
		}
		*es = append(*es, e)
	}
	_, err = dec.ReadToken()
	return err
}

func (e *entry) check() error {
	for _, s := range []string{e.Repository, e.Tag, e.MediaType} {
		if len(s) > MaxName {
			return fmt.Errorf("%.40q…: a name of %d bytes, accepted are %d: %w", s, len(s), MaxName, ocm.ErrLimit)
		}
	}
	if e.Repository == "" {
		return fmt.Errorf("repository is missing: %w", ocm.ErrInvalid)
	}
	if err := blob.CheckDigest(e.Digest); err != nil {
		return fmt.Errorf("repository %q: %w", e.Repository, err)
	}
	return nil
}

// parseIndex reads a document of at most [MaxIndex] bytes. Nothing at all is an empty index.
func parseIndex(r io.Reader) (*index, error) {
	// The decoder gets the bytes at once: fed in small pieces, it looks at blanks again and again.
	raw, err := io.ReadAll(io.LimitReader(r, MaxIndex+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", indexName, err)
	case len(raw) > MaxIndex:
		return nil, fmt.Errorf("%s: more than %d bytes: %w", indexName, MaxIndex, ocm.ErrLimit)
	case len(raw) == 0:
		return newIndex(nil)
	}
	var doc document
	// Unknown members are refused, as one of the existing tools does: a member whose name was damaged
	// would else be taken for one that is missing.
	if err := jsonv2.Unmarshal(raw, &doc, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", indexName, invalid(err))
	}
	if doc.SchemaVersion != 1 {
		return nil, fmt.Errorf("%s: schemaVersion: expected 1, found %d: %w", indexName, doc.SchemaVersion, ocm.ErrInvalid)
	}
	return newIndex(doc.Artifacts)
}

// newIndex makes entries searchable. A tag that stands for two manifests is refused: readers
// would not agree on which one it is.
func newIndex(es entries) (*index, error) {
	idx := &index{
		entries: es,
		tags:    make(map[ref]int, len(es)),
		digests: make(map[ref]int, len(es)),
		loose:   map[ref]int{},
		byRepo:  map[string][]int{},
	}
	for i, e := range es {
		if j, twice := idx.tags[ref{e.Repository, e.Tag}]; twice && e.Tag != "" && es[j].Digest != e.Digest {
			return nil, fmt.Errorf("%s: repository %q: tag %q stands for both %s and %s: %w",
				indexName, e.Repository, e.Tag, es[j].Digest, e.Digest, ocm.ErrInvalid)
		}
		if idx.byRepo[e.Repository] == nil {
			idx.repos = append(idx.repos, e.Repository)
		}
		idx.byRepo[e.Repository] = append(idx.byRepo[e.Repository], i)
		idx.note(i)
	}
	return idx, nil
}

// note makes entry i searchable by tag and digest.
func (idx *index) note(i int) {
	e := idx.entries[i]
	key := ref{e.Repository, string(e.Digest)}
	if j, twice := idx.digests[key]; !twice || idx.entries[j].MediaType == "" {
		idx.digests[key] = i
	}
	if e.Tag == "" {
		if j, twice := idx.loose[key]; !twice || i < j {
			idx.loose[key] = i
		}
	} else if _, twice := idx.tags[ref{e.Repository, e.Tag}]; twice {
		idx.double = true
	} else {
		idx.tags[ref{e.Repository, e.Tag}] = i
	}
}

// tag finds the entry of a tag.
func (idx *index) tag(repository, tag string) (entry, bool) {
	for _, e := range slices.Backward(idx.added) {
		if e.Repository == repository && e.Tag == tag {
			return e, true
		}
	}
	i, ok := idx.tags[ref{repository, tag}]
	if !ok {
		return entry{}, false
	}
	return idx.entries[i], true
}

// digest finds an entry of a digest, with or without tag.
func (idx *index) digest(repository string, d digest.Digest) (entry, bool) {
	if i, ok := idx.digests[ref{repository, string(d)}]; ok {
		return idx.entries[i], true
	}
	for _, e := range idx.added {
		if e.Repository == repository && e.Digest == d {
			return e, true
		}
	}
	return entry{}, false
}

// with returns an index that has e too, or idx itself if it has. A tag is moved: the entry it
// stood in stays without it. An untagged entry of the same manifest takes the tag.
func (idx *index) with(e entry) (*index, error) {
	if _, known := idx.digest(e.Repository, e.Digest); known && e.Tag == "" {
		return idx, nil
	}
	if old, ok := idx.tag(e.Repository, e.Tag); ok && e.Tag != "" && old.Digest == e.Digest {
		return idx, nil
	}
	if idx.open {
		next := *idx
		next.added = append(slices.Clip(idx.added), e)
		return &next, nil
	}
	next := idx.clone()
	next.put(e)
	return next, nil
}

// clone copies everything, at a cost of the number of entries.
func (idx *index) clone() *index {
	next := *idx
	next.entries = append(make(entries, 0, len(idx.entries)+len(idx.entries)/8+16), idx.entries...)
	next.tags = maps.Clone(idx.tags)
	next.digests = maps.Clone(idx.digests)
	next.loose = maps.Clone(idx.loose)
	next.repos = slices.Clip(idx.repos)
	next.byRepo = maps.Clone(idx.byRepo)
	for name, list := range next.byRepo {
		next.byRepo[name] = slices.Clip(list)
	}
	return &next
}

// put changes the index itself, at a cost that does not depend on the number of entries.
func (idx *index) put(e entry) {
	if e.Tag != "" {
		idx.untag(e.Repository, e.Tag)
	}
	key := ref{e.Repository, string(e.Digest)}
	i, ok := idx.loose[key]
	if ok { // it takes the tag
		delete(idx.loose, key)
		idx.entries[i].Tag = e.Tag
		if idx.entries[i].MediaType == "" {
			idx.entries[i].MediaType = e.MediaType
		}
	} else {
		i = len(idx.entries)
		idx.entries = append(idx.entries, e)
		if idx.byRepo[e.Repository] == nil {
			idx.repos = append(idx.repos, e.Repository)
		}
		idx.byRepo[e.Repository] = append(idx.byRepo[e.Repository], i)
	}
	idx.note(i)
}

// untag takes a tag from its entries, which stay.
func (idx *index) untag(repository, tag string) {
	i, ok := idx.tags[ref{repository, tag}]
	if !ok {
		return
	}
	delete(idx.tags, ref{repository, tag})
	list := []int{i}
	if idx.double {
		list = idx.byRepo[repository]
	}
	for _, i := range list {
		if idx.entries[i].Tag == tag {
			idx.entries[i].Tag = ""
			idx.note(i)
		}
	}
}

// apply runs changes one after the other, each on what the ones before it made, and returns what
// all made together, with the error of each. A change that fails leaves no trace.
func (idx *index) apply(changes []func(*index) (*index, error)) (*index, []error) {
	old, errs := idx, make([]error, len(changes))
	for i, change := range changes {
		next, err := change(idx)
		switch {
		case err != nil:
			errs[i] = err
		case next == idx:
		case next.open:
			for _, e := range next.added {
				idx.put(e)
			}
		default: // a copy that nobody else has: from now on it is changed in place
			idx = next
			idx.open = true
		}
	}
	if idx != old {
		idx.open = false
	}
	return idx, errs
}

// write writes the document. It refuses what could not be read again.
func (idx *index) write(w io.Writer) error {
	cw := &limitedWriter{w: w, n: MaxIndex}
	if err := jsonv2.MarshalWrite(cw, document{SchemaVersion: 1, Artifacts: idx.entries}); err != nil {
		return fmt.Errorf("%s: %w", indexName, err)
	}
	return nil
}

// limitedWriter fails after n bytes.
type limitedWriter struct {
	w io.Writer
	n int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	if l.n -= len(b); l.n < 0 {
		return 0, fmt.Errorf("more than %d bytes: %w (begin another CTF)", MaxIndex, ocm.ErrLimit)
	}
	return l.w.Write(b)
}
