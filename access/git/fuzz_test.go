// SPDX-License-Identifier: Apache-2.0

package git

import (
	"archive/tar"
	"bufio"
	"bytes"
	"io"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
)

// FuzzPack: whatever is sent ends with an archive of harmless names, or with an error.
func FuzzPack(f *testing.F) {
	var b bundle
	base := b.object(blobObject, "abc")
	b.entry(refDelta, 4, []byte(base), []byte{3, 3, 0x90, 3})
	b.entry(ofsDelta, 4, []byte{20}, []byte{3, 3, 0x90, 3})
	commit := b.commit(b.object(treeObject, "100644 a\x00"+base+"120000 l\x00"+base+"40000 d\x00"+b.object(treeObject, "")))
	f.Add(b.bytes(), commit)
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x30x\x9c\x03\x00\x00\x00\x00\x01"), commit)
	f.Fuzz(func(t *testing.T, pack []byte, commit string) {
		all, err := unpack(t, pack, commit, 1<<16)
		if err != nil {
			return
		}
		tr := tar.NewReader(bytes.NewReader(all))
		for h, err := tr.Next(); err != io.EOF; h, err = tr.Next() {
			if err != nil {
				t.Fatal(err)
			}
			harmless(t, h)
		}
	})
}

func harmless(t *testing.T, h *tar.Header) {
	t.Helper()
	if !filepath.IsLocal(strings.TrimSuffix(h.Name, "/")) || strings.Contains(strings.ToLower("/"+h.Name+"/"), "/.git/") {
		t.Errorf("the archive has the name %q", h.Name)
	}
	if h.Typeflag == tar.TypeSymlink && !filepath.IsLocal(path.Join(path.Dir(h.Name), h.Linkname)) {
		t.Errorf("%q leads to %q", h.Name, h.Linkname)
	}
}

// FuzzTree: names are single elements, and none stands twice.
func FuzzTree(f *testing.F) {
	id := strings.Repeat("x", 20)
	for _, mode := range []string{modeFile, modeExecutable, modeLink, modeDir, modeSubmodule, "100664"} {
		f.Add([]byte(mode + " a\x00" + id + "100644 B\x00" + id))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseTree(raw, 20)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if seen[e.name] || path.Base(e.name) != e.name || e.name == ".." || e.name == "." || strings.EqualFold(e.name, ".git") {
				t.Errorf("accepted the name %q", e.name)
			}
			seen[e.name] = true
		}
	})
}

// FuzzSession: a greeting and two answers.
func FuzzSession(f *testing.F) {
	id := strings.Repeat("1", 40)
	f.Add([]byte("000eversion 2\n0013fetch=shallow\n0000"), []byte("003d"+id+" HEAD peeled:"+id+"\n0000"), []byte("000dpackfile\n0009\x01PACK0000"))
	f.Add([]byte("000eversion 1\n0055"+id+" HEAD\x00side-band-64k shallow ofs-delta\n0000"), []byte(""), []byte("0008NAK\n0009\x01PACK0000"))
	f.Fuzz(func(t *testing.T, hello, refs, pack []byte) {
		s := &session{service: &stream{w: io.Discard, r: bufio.NewReader(bytes.NewReader(refs))}, caps: map[string]string{}, refs: map[string]string{}}
		if s.greet(&packets{r: bufio.NewReader(bytes.NewReader(hello))}) != nil {
			return
		}
		_ = s.list(t.Context(), []string{"HEAD"}) // for what it does, not for what it finds
		for name, id := range s.refs {
			if CheckCommit(id) != nil || name == "" {
				t.Errorf("accepted %q %q", name, id)
			}
		}
		s.service = &stream{w: io.Discard, r: bufio.NewReader(bytes.NewReader(pack))}
		if r, err := s.pack(t.Context(), id); err == nil {
			_, _ = io.Copy(io.Discard, r)
		}
	})
}

// FuzzAddress: what is accepted has no secret, and nothing that a server or a shell takes for an option.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://example.org/a", "git@example.org:a", "ssh://u@h:22/~x/y", "./a", "file:///a", "ext::x", "git://h/a%00host=other%00", "ssh://u%0a@h/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil || a.Local() {
			return
		}
		_, secret := a.URL.User.Password()
		if secret || a.URL.RawQuery != "" || strings.HasPrefix(a.path, "-") || strings.HasPrefix(a.URL.Hostname(), "-") || strings.ContainsAny(a.path+a.String(), "\x00\n") {
			t.Errorf("accepted %q as %+v", s, a)
		}
		_ = NewRemote(&ocm.Env{}, a)
		if q := quote(a.path); !strings.HasPrefix(q, "'") || !strings.HasSuffix(q, "'") {
			t.Errorf("quoted as %s", q)
		}
	})
}
