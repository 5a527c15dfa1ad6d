// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"fmt"
	"io"
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
	tags    lookup[ref, int]    // by repository and tag
	digests lookup[ref, int]    // by repository and digest; an entry with media type is preferred
	loose   lookup[ref, int]    // by repository and digest: the first entry without tag
	repos   []string            // in order of their first entry
	byRepo  lookup[string, int] // the last entry of a repository …
	prev    []int               // … and for each entry the one of the same repository before it, or -1
	double  bool                // a tag has several entries, all of the same manifest

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
		tags:    newLookup[ref, int](len(es)),
		digests: newLookup[ref, int](len(es)),
		loose:   newLookup[ref, int](0),
		byRepo:  newLookup[string, int](0),
	}
	for i, e := range es {
		if j, twice := idx.tags.get(ref{e.Repository, e.Tag}); twice && e.Tag != "" && es[j].Digest != e.Digest {
			return nil, fmt.Errorf("%s: repository %q: tag %q stands for both %s and %s: %w",
				indexName, e.Repository, e.Tag, es[j].Digest, e.Digest, ocm.ErrInvalid)
		}
		idx.list(i)
		idx.note(i)
	}
	return idx, nil
}

// list adds entry i, the last one, to its repository.
func (idx *index) list(i int) {
	name := idx.entries[i].Repository
	last, ok := idx.byRepo.get(name)
	if !ok {
		idx.repos = append(idx.repos, name)
		last = -1
	}
	idx.prev = append(idx.prev, last)
	idx.byRepo.set(name, i)
}

// repo lists the entries of a repository in order.
func (idx *index) repo(name string) []int {
	var list []int
	i, ok := idx.byRepo.get(name)
	for ; ok && i >= 0; i = idx.prev[i] {
		list = append(list, i)
	}
	slices.Reverse(list)
	return list
}

// has reports whether a repository has any entry.
func (idx *index) has(name string) bool {
	_, ok := idx.byRepo.get(name)
	return ok
}

// note makes entry i searchable by tag and digest.
func (idx *index) note(i int) {
	e := idx.entries[i]
	key := ref{e.Repository, string(e.Digest)}
	if j, twice := idx.digests.get(key); !twice || idx.entries[j].MediaType == "" {
		idx.digests.set(key, i)
	}
	if e.Tag == "" {
		if j, twice := idx.loose.get(key); !twice || i < j {
			idx.loose.set(key, i)
		}
	} else if _, twice := idx.tags.get(ref{e.Repository, e.Tag}); twice {
		idx.double = true
	} else {
		idx.tags.set(ref{e.Repository, e.Tag}, i)
	}
}

// tag finds the entry of a tag.
func (idx *index) tag(repository, tag string) (entry, bool) {
	for _, e := range slices.Backward(idx.added) {
		if e.Repository == repository && e.Tag == tag {
			return e, true
		}
	}
	i, ok := idx.tags.get(ref{repository, tag})
	if !ok {
		return entry{}, false
	}
	return idx.entries[i], true
}

// digest finds an entry of a digest, with or without tag.
func (idx *index) digest(repository string, d digest.Digest) (entry, bool) {
	if i, ok := idx.digests.get(ref{repository, string(d)}); ok {
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

// clone copies what put changes. Entries are few bytes each; the rest costs what was added lately.
func (idx *index) clone() *index {
	next := *idx
	next.entries = append(make(entries, 0, len(idx.entries)+len(idx.entries)/8+16), idx.entries...)
	next.tags = idx.tags.clone()
	next.digests = idx.digests.clone()
	next.loose = idx.loose.clone()
	next.repos = slices.Clip(idx.repos)
	next.byRepo = idx.byRepo.clone()
	next.prev = append(make([]int, 0, cap(next.entries)), idx.prev...)
	return &next
}

// put changes the index itself, at a cost that does not depend on the number of entries.
func (idx *index) put(e entry) {
	if e.Tag != "" {
		idx.untag(e.Repository, e.Tag)
	}
	key := ref{e.Repository, string(e.Digest)}
	i, ok := idx.loose.get(key)
	if ok { // it takes the tag
		idx.loose.drop(key)
		idx.entries[i].Tag = e.Tag
		if idx.entries[i].MediaType == "" {
			idx.entries[i].MediaType = e.MediaType
		}
	} else {
		i = len(idx.entries)
		idx.entries = append(idx.entries, e)
		idx.list(i)
	}
	idx.note(i)
}

// untag takes a tag from its entries, which stay.
func (idx *index) untag(repository, tag string) {
	i, ok := idx.tags.get(ref{repository, tag})
	if !ok {
		return
	}
	idx.tags.drop(ref{repository, tag})
	list := []int{i}
	if idx.double {
		list = idx.repo(repository)
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
func (idx *index) write(w io.Writer) error { return new(encoder).write(w, idx) }

// encoder writes one index after the other. What an index has in common with the one before is not
// encoded again: mostly, entries are only added.
type encoder struct {
	last entries // what text stands for
	text []byte  // each entry with a comma behind it
	ends []int   // where in text each of them ends
}

func (enc *encoder) write(w io.Writer, idx *index) error {
	same := 0
	for same < min(len(enc.last), len(idx.entries)) && enc.last[same] == idx.entries[same] {
		same++
	}
	end := 0
	if same > 0 {
		end = enc.ends[same-1]
	}
	enc.last, enc.ends, enc.text = idx.entries[:same], enc.ends[:same], enc.text[:end]
	for _, e := range idx.entries[same:] {
		raw, err := jsonv2.Marshal(e)
		if err != nil {
			return fmt.Errorf("%s: %w", indexName, err)
		}
		enc.text = append(append(enc.text, raw...), ',')
		if len(enc.text) > MaxIndex-len(indexHead)-len(indexTail) {
			return fmt.Errorf("%s: more than %d bytes: %w (begin another CTF)", indexName, MaxIndex, ocm.ErrLimit)
		}
		enc.ends = append(enc.ends, len(enc.text))
	}
	enc.last = idx.entries
	text := enc.text
	if len(text) > 0 {
		text = text[:len(text)-1]
	}
	for _, part := range [][]byte{[]byte(indexHead), text, []byte(indexTail)} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

const (
	indexHead = `{"schemaVersion":1,"artifacts":[`
	indexTail = `]}`
)
