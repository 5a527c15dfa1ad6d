// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
)

var (
	digestA = digest.FromString("a")
	digestB = digest.FromString("b")
)

// short writes an index as "repository:tag=digest …".
func short(es entries) string {
	var out []string
	for _, e := range es {
		name := map[digest.Digest]string{digestA: "A", digestB: "B"}[e.Digest]
		out = append(out, e.Repository+":"+e.Tag+"="+name+e.MediaType)
	}
	return strings.Join(out, " ")
}

func parseShort(t *testing.T, s string) entries {
	var es entries
	for _, f := range strings.Fields(s) {
		repo, rest, _ := strings.Cut(f, ":")
		tag, name, _ := strings.Cut(rest, "=")
		d := map[byte]digest.Digest{'A': digestA, 'B': digestB}[name[0]]
		es = append(es, entry{repo, tag, d, name[1:]})
	}
	return es
}

func TestIndex_with(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, add, after string }{
		{"first", "", "r:1=A", "r:1=A"},
		{"same again", "r:1=A", "r:1=A", "r:1=A"},
		{"moved tag leaves history", "r:1=A", "r:1=B", "r:=A r:1=B"},
		{"moved back", "r:=A r:1=B", "r:1=A", "r:1=A r:=B"},
		{"untagged gets the tag", "r:=A", "r:1=A", "r:1=A"},
		{"and the media type", "r:=A", "r:1=Amt", "r:1=Amt"},
		{"second tag", "r:1=A", "r:2=A", "r:1=A r:2=A"},
		{"untagged is new", "r:1=A", "r:=B", "r:1=A r:=B"},
		{"untagged is known with tag", "r:1=A", "r:=A", "r:1=A"},
		{"untagged is known", "r:=A", "r:=A", "r:=A"},
		{"other repository", "r:1=A", "s:1=B", "r:1=A s:1=B"},
		{"other repository, same manifest", "r:=A", "s:1=A", "r:=A s:1=A"},
		{"tag there twice", "r:1=A r:1=A", "r:1=B", "r:=A r:=A r:1=B"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idx, err := newIndex(parseShort(t, tt.before))
			if err != nil {
				t.Fatal(err)
			}
			got, err := idx.with(parseShort(t, tt.add)[0])
			if err != nil || short(got.entries) != tt.after {
				t.Errorf("expected %s, found %s, %v", tt.after, short(got.entries), err)
			}
			if short(idx.entries) != tt.before {
				t.Errorf("the old index was modified: %s", short(idx.entries))
			}
			if (got == idx) != (tt.before == tt.after) {
				t.Errorf("an index that does not change must be the same one")
			}
		})
	}
}

func TestIndex_refused(t *testing.T) {
	t.Parallel()
	entry := func(text string) string { return `{"schemaVersion":1,"artifacts":[{` + text + `}]}` }
	good := fmt.Sprintf(`"repository":"r","digest":%q`, digestA)
	long := strings.Repeat("a", MaxName+1)
	tests := []struct {
		name, text string
		want       error
	}{
		{"not JSON", "x", ocm.ErrInvalid},
		{"truncated", entry(good)[:20], ocm.ErrInvalid},
		{"something behind it", entry(good) + "{}", ocm.ErrInvalid},
		{"no version", `{"artifacts":[]}`, ocm.ErrInvalid},
		{"version 2", `{"schemaVersion":2}`, ocm.ErrInvalid},
		{"version as text", `{"schemaVersion":"1"}`, ocm.ErrInvalid},
		{"version twice", `{"schemaVersion":1,"schemaVersion":1}`, ocm.ErrInvalid},
		{"entries twice", `{"schemaVersion":1,"artifacts":[],"artifacts":[]}`, ocm.ErrInvalid},
		{"entries no list", `{"schemaVersion":1,"artifacts":{}}`, ocm.ErrInvalid},
		{"entry no object", `{"schemaVersion":1,"artifacts":["x"]}`, ocm.ErrInvalid},
		{"digest twice", entry(good + fmt.Sprintf(`,"digest":%q`, digestB)), ocm.ErrInvalid},
		{"no digest", entry(`"repository":"r"`), ocm.ErrInvalid},
		{"digest is a path", entry(`"repository":"r","digest":"sha256:../../x"`), ocm.ErrInvalid},
		{"no repository", entry(fmt.Sprintf(`"digest":%q`, digestA)), ocm.ErrInvalid},
		{"long repository", entry(fmt.Sprintf(`"repository":%q,"digest":%q`, long, digestA)), ocm.ErrLimit},
		{"long tag", entry(good + `,"tag":"` + long + `"`), ocm.ErrLimit},
		{"long media type", entry(good + `,"mediaType":"` + long + `"`), ocm.ErrLimit},
		{"not UTF-8", entry(good + ",\"tag\":\"\xff\""), ocm.ErrInvalid},
		{"one tag, two manifests", fmt.Sprintf(`{"schemaVersion":1,"artifacts":[{"repository":"r","tag":"t","digest":%q},{"repository":"r","tag":"t","digest":%q}]}`, digestA, digestB), ocm.ErrInvalid},
		{"too many entries", `{"schemaVersion":1,"artifacts":[` + strings.Repeat(`{`+good+`},`, MaxIndex/100) + `{` + good + `}]}`, ocm.ErrLimit},
		{"millions of empty entries", `{"schemaVersion":1,"artifacts":[` + strings.Repeat(`{},`, MaxIndex/4) + `{}]}`, ocm.ErrInvalid},
		{"too many bytes", `{"schemaVersion":1,"x":"` + strings.Repeat("a", MaxIndex) + `"}`, ocm.ErrLimit},
		{"too many blanks", `{"schemaVersion":1}` + strings.Repeat(" ", MaxIndex), ocm.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseIndex(strings.NewReader(tt.text))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), indexName) {
				t.Errorf("expected %q and the name of the file, found %v", tt.want, err)
			}
		})
	}
}

// What we write has the members that other tools know, and no others: they would refuse the file.
func TestIndex_write(t *testing.T) {
	t.Parallel()
	for want, es := range map[string]entries{
		`{"schemaVersion":1,"artifacts":[]}`: nil,
		`{"schemaVersion":1,"artifacts":[{"repository":"r","digest":"` + string(digestA) + `"},{"repository":"r","tag":"t","digest":"` + string(digestB) + `","mediaType":"m"}]}`: {
			{"r", "", digestA, ""}, {"r", "t", digestB, "m"},
		},
	} {
		idx, err := newIndex(es)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := idx.write(&b); err != nil || b.String() != want {
			t.Errorf("expected %s, found %s, %v", want, &b, err)
		}
	}
}

func TestIndex_writeLimit(t *testing.T) {
	t.Parallel()
	es := make(entries, MaxIndex/100)
	for i := range es {
		es[i] = entry{"r", fmt.Sprint(i), digestA, "m"}
	}
	idx := &index{entries: es}
	if err := idx.write(&bytes.Buffer{}); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected %q, found %v", ocm.ErrLimit, err)
	}
}

// CVE-2021-41190: a document that is manifest and index at once has no type.
func TestCVE_2021_41190_Sniff(t *testing.T) {
	t.Parallel()
	const image, list = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	for doc, want := range map[string]string{
		`{"schemaVersion":2,"config":{},"layers":[]}`:                                image,
		`{"schemaVersion":2,"manifests":[]}`:                                         list,
		`{"schemaVersion":2,"mediaType":"` + list + `","manifests":[]}`:              list,
		`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`:                 octetStream,
		`{"schemaVersion":2,"mediaType":"` + image + `","config":{},"manifests":[]}`: octetStream,
		`{"schemaVersion":2,"mediaType":"text/plain","config":{}}`:                   octetStream,
		`{"schemaVersion":2}`: octetStream,
		`{"config":{}}`:       octetStream,
		`{"schemaVersion":2,"schemaVersion":2,"config":{}}`: octetStream,
		`text`: octetStream,
		``:     octetStream,
	} {
		if got := sniff([]byte(doc)); got != want {
			t.Errorf("%s: expected %s, found %s", doc, want, got)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(``))
	f.Add([]byte(`{"schemaVersion":1,"artifacts":[{"repository":"r","tag":"t","digest":"` + string(digestA) + `","mediaType":"m"}]}`))
	f.Add([]byte(`{"schemaVersion":1,"artifacts":null,"x":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		idx, err := parseIndex(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		var first bytes.Buffer
		if err := idx.write(&first); err != nil {
			t.Fatal(err)
		}
		again, err := parseIndex(&first)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		for _, e := range again.entries {
			next, err := again.with(entry{e.Repository, "new", digestA, ""})
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := next.tag(e.Repository, "new"); !ok || got.Digest != digestA {
				t.Fatalf("expected the new tag, found %+v", got)
			}
		}
	})
}
