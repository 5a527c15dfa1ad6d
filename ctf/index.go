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

// index is a document that can be searched. It is never modified: see with.
type index struct {
	entries entries
	tags    map[ref]int      // by repository and tag
	digests map[ref]int      // by repository and digest; an entry with media type is preferred
	repos   []string         // in order of their first entry
	byRepo  map[string][]int // entries of a repository
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
		byRepo:  map[string][]int{},
	}
	for i, e := range es {
		if e.Tag != "" {
			key := ref{e.Repository, e.Tag}
			if j, twice := idx.tags[key]; twice && es[j].Digest != e.Digest {
				return nil, fmt.Errorf("%s: repository %q: tag %q stands for both %s and %s: %w",
					indexName, e.Repository, e.Tag, es[j].Digest, e.Digest, ocm.ErrInvalid)
			} else if !twice {
				idx.tags[key] = i
			}
		}
		key := ref{e.Repository, string(e.Digest)}
		if j, twice := idx.digests[key]; !twice || es[j].MediaType == "" {
			idx.digests[key] = i
		}
		if idx.byRepo[e.Repository] == nil {
			idx.repos = append(idx.repos, e.Repository)
		}
		idx.byRepo[e.Repository] = append(idx.byRepo[e.Repository], i)
	}
	return idx, nil
}

// tag finds the entry of a tag.
func (idx *index) tag(repository, tag string) (entry, bool) {
	i, ok := idx.tags[ref{repository, tag}]
	if !ok {
		return entry{}, false
	}
	return idx.entries[i], true
}

// digest finds an entry of a digest, with or without tag.
func (idx *index) digest(repository string, d digest.Digest) (entry, bool) {
	i, ok := idx.digests[ref{repository, string(d)}]
	if !ok {
		return entry{}, false
	}
	return idx.entries[i], true
}

// with returns an index that has e too, or idx itself if it has. A tag is moved: the entry it
// stood in stays without it. An untagged entry of the same manifest takes the tag.
func (idx *index) with(e entry) (*index, error) {
	if _, known := idx.digest(e.Repository, e.Digest); known && e.Tag == "" {
		return idx, nil
	}
	if old, ok := idx.tag(e.Repository, e.Tag); ok && old.Digest == e.Digest {
		return idx, nil
	}
	es := slices.Clone(idx.entries)
	for _, i := range idx.byRepo[e.Repository] {
		if e.Tag != "" && es[i].Tag == e.Tag {
			es[i].Tag = ""
		}
	}
	same := func(o entry) bool { return o.Repository == e.Repository && o.Tag == "" && o.Digest == e.Digest }
	if i := slices.IndexFunc(es, same); i >= 0 {
		es[i].Tag = e.Tag
		if es[i].MediaType == "" {
			es[i].MediaType = e.MediaType
		}
	} else {
		es = append(es, e)
	}
	return newIndex(es)
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
