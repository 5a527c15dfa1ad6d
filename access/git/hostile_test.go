// SPDX-License-Identifier: Apache-2.0

package git

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

// bundle is a pack that is made by hand, with what no git would make.
type bundle struct {
	count uint32
	body  bytes.Buffer
}

func (b *bundle) entry(kind byte, size int, base []byte, content []byte) {
	b.count++
	head := kind<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b.body.WriteByte(head | 0x80)
		head = byte(size & 0x7f)
	}
	b.body.WriteByte(head)
	b.body.Write(base)
	zw := zlib.NewWriter(&b.body)
	_, _ = zw.Write(content)
	_ = zw.Close()
}

// object adds an object and returns its name in bytes.
func (b *bundle) object(kind byte, content string) string {
	b.entry(kind, len(content), nil, []byte(content))
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", typeNames[kind], len(content), content))
	return string(sum[:])
}

// commit adds a commit of a tree and returns its name.
func (b *bundle) commit(tree string) string {
	return hex.EncodeToString([]byte(b.object(commitObject, fmt.Sprintf("tree %x\nauthor a <a> 0 +0000\n\nmessage\n", tree))))
}

func (b *bundle) bytes() []byte {
	out := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), b.count)
	out = append(out, b.body.Bytes()...)
	sum := sha1.Sum(out)
	return append(out, sum[:]...)
}

// unpack makes an archive of a pack, as Fetch does.
func unpack(t testing.TB, pack []byte, commit string, limit int64) ([]byte, error) {
	t.Helper()
	s, err := newStore(&ocm.Env{Temp: t.TempDir()}, false)
	must(t, err)
	defer s.Close()
	s.max = limit
	if err := s.read(t.Context(), bytes.NewReader(pack)); err != nil {
		return nil, err
	}
	root, err := s.rootTree(commit)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	a := &archive{store: s, ctx: t.Context(), tw: tar.NewWriter(&out), maxBytes: limit, maxEntries: 1000}
	if err := a.dir(".", root, 0); err != nil {
		return nil, err
	}
	return out.Bytes(), a.tw.Close()
}

// tree adds a tree of one entry per name, all of the same mode and content, and a commit of it.
func (b *bundle) tree(mode, content string, names ...string) string {
	id := b.object(blobObject, content)
	var raw strings.Builder
	for _, n := range names {
		raw.WriteString(mode + " " + n + "\x00" + id)
	}
	return b.commit(b.object(treeObject, raw.String()))
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", "..", "a/b", "/etc", `..\x`, `a\..\b`, `\x`, `C:\x`, "c:x", "new\nline", "\x1b[31m", "\x7f", "\xff", "a\u0085b",
		".git", ".GIT", ".Git ", ".git.", ".git . .", ".g\u200cit", "\u202e.git", "git~1", "GIT~1", ".git::$INDEX_ALLOCATION", `a\.git`, ".\ufeffgit",
		strings.Repeat("x", maxPath+1),
	} {
		var b bundle
		_, err := b.unpack(t, b.tree(modeFile, "x", name))
		fixture.WantErr(t, err, ocm.ErrInvalid)
		if strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("the error has control characters: %q", err)
		}
	}
	for _, names := range [][]string{{".gitignore", ".gitmodules", "git", "a..b", "...", "x.git", "dev\\x2dlabel", "ü ö", "-rf"}, {"A", "a"}} {
		var b bundle
		if _, err := b.unpack(t, b.tree(modeFile, "x", names...)); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
}

// unpack makes an archive of the pack, with a limit that tests can reach.
func (b *bundle) unpack(t testing.TB, commit string) ([]byte, error) {
	t.Helper()
	return unpack(t, b.bytes(), commit, 1<<20)
}

// A link that some file systems take for a folder of the same name would lead what is written there elsewhere.
func TestCVE_2021_21300_letter_case(t *testing.T) {
	t.Parallel()
	var b bundle
	file, link := b.object(blobObject, "x"), b.object(blobObject, ".")
	for _, tree := range []string{
		"120000 A\x00" + link + "100644 a\x00" + file, "100644 A\x00" + file + "120000 a\x00" + link, "40000 A\x00" + file + "120000 a\x00" + link,
		"100644 a\x00" + file + "100644 a\x00" + file, "100644 a\x00" + file + "100644 b\x00" + file + "40000 a\x00" + file,
	} {
		_, err := b.unpack(t, b.commit(b.object(treeObject, tree)))
		fixture.WantErr(t, err, ocm.ErrInvalid)
	}
}

// CVE-2026-29064, GHSA-m37j-52j7-pjw7: links lead out of the tree, at once or by way of another link.
func TestCVE_2026_29064_links(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"", "/etc/passwd", "..", "../x", "a/../..", "a/../b", "./../x", "a//b", "a\\b", "..\\x", "a\x00b", "a\nb", "\xff", "b/..", strings.Repeat("x", maxPath+1)} {
		var b bundle
		if _, err := b.unpack(t, b.tree(modeLink, target, "link")); err == nil {
			t.Errorf("the link to %q is accepted", target)
		}
	}
	for target, want := range map[string]bool{"../x": true, "../../x": false, "x": true, "../f/x": true, "..": true, "x/": true, "../..": false} {
		if err := checkLink("f/link", target); (err == nil) != want {
			t.Errorf("f/link to %q: %v", target, err)
		}
	}
}

// CVE-2026-45022: what is used is what was hashed. The tree is that of the first line, for git and for us.
func TestCVE_2026_45022_commits(t *testing.T) {
	t.Parallel()
	var b bundle
	tree := b.object(treeObject, "100644 a\x00"+b.object(blobObject, "x"))
	evil := b.object(treeObject, "100644 evil\x00"+b.object(blobObject, "x"))
	for _, text := range []string{
		fmt.Sprintf("tree %x\ntree %x\n\nm", tree, evil), fmt.Sprintf("author a\ntree %x\n\nm", tree), fmt.Sprintf("tree  %x\n\n", tree), fmt.Sprintf("tree %X\n\n", tree),
		fmt.Sprintf("tree %x\n\n", tree[:10]), fmt.Sprintf("tree %x00\n\n", tree), "", "\n\n", fmt.Sprintf("tree %x\nauthor a\ntree %x\n\nm", tree, evil),
	} {
		commit := hex.EncodeToString([]byte(b.object(commitObject, text)))
		_, err := b.unpack(t, commit)
		fixture.WantErr(t, err, ocm.ErrInvalid)
	}
	good := hex.EncodeToString([]byte(b.object(commitObject, fmt.Sprintf("tree %x\nauthor a\n\ntree %x\n", tree, evil))))
	all, err := b.unpack(t, good)
	if err != nil || !bytes.Contains(all, []byte("a\x00")) || bytes.Contains(all, []byte("evil")) {
		t.Errorf("found another tree: %v", err)
	}
	for kind, name := range map[string]string{"tree": tree, "blob": "missing-missing-miss"} {
		if _, err := b.unpack(t, hex.EncodeToString([]byte(name))); err == nil {
			t.Errorf("a %s is taken for a commit", kind)
		}
	}
}

// A server sends the objects of another commit than the one that was asked for.
func TestAnotherCommitIsSent_CVE_2026_45022(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := repository(t, dir)
	at := proxy(t, servers(t, dir)["http"], func(r *httputil.ProxyRequest) {
		body, err := io.ReadAll(r.In.Body)
		if err == nil {
			r.Out.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(body, []byte("want "+first), []byte("want "+second))))
		}
	})
	_, err := read(t.Context(), remote(t, &ocm.Env{}, at).Tree(first))
	fixture.WantErr(t, err, ocm.ErrDigest, first)
	if _, err := read(t.Context(), remote(t, &ocm.Env{}, at).Tree(second)); err != nil {
		t.Errorf("the change is more than what it was made for: %v", err)
	}
}

// A tree that is not there, or whose bytes were exchanged, is missed by its hash.
func TestExchangedObjects(t *testing.T) {
	t.Parallel()
	var b bundle
	missing := sha1.Sum([]byte("x"))
	for _, tree := range []string{string(missing[:]), b.object(treeObject, "40000 a\x00"+string(missing[:])), b.object(treeObject, "100644 a\x00"+string(missing[:]))} {
		_, err := b.unpack(t, b.commit(tree))
		fixture.WantErr(t, err, ocm.ErrDigest)
	}
	file := b.object(blobObject, "x")
	for _, tree := range []string{"40000 a\x00" + file, "100644 a", "100644 a\x00" + file[:19], "100644a\x00" + file, "777 a\x00" + file, "140000 a\x00" + file} {
		_, err := b.unpack(t, b.commit(b.object(treeObject, tree)))
		fixture.WantErr(t, err, ocm.ErrInvalid)
	}
}

// Small packs that would become endless archives.
func TestBombs(t *testing.T) {
	t.Parallel()
	var b bundle
	tree := b.object(treeObject, "")
	for range 20 { // 2^20 folders in 20 objects
		tree = b.object(treeObject, "40000 a\x00"+tree+"40000 b\x00"+tree)
	}
	_, err := b.unpack(t, b.commit(tree))
	fixture.WantErr(t, err, ocm.ErrLimit)

	b, tree = bundle{}, b.object(treeObject, "")
	_ = b.object(treeObject, "")
	for range blob.MaxDirDepth + 1 {
		tree = b.object(treeObject, "40000 a\x00"+tree)
	}
	_, err = b.unpack(t, b.commit(tree))
	fixture.WantErr(t, err, ocm.ErrLimit, "in each other")

	b = bundle{} // one file, many times
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("f", i))
	}
	_, err = b.unpack(t, b.tree(modeFile, strings.Repeat("x", 100_000), names...))
	fixture.WantErr(t, err, ocm.ErrLimit, "all files together")

	b = bundle{} // more than fits
	_, err = b.unpack(t, b.tree(modeFile, strings.Repeat("\x00", 2<<20), "a"))
	fixture.WantErr(t, err, ocm.ErrLimit)

	b = bundle{} // a change that grows, of a change that grows
	base := b.object(blobObject, strings.Repeat("x", 0x10000))
	change := binary.AppendUvarint(binary.AppendUvarint(nil, 0x10000), 0x10000*64)
	change = append(change, bytes.Repeat([]byte{0x80}, 64)...)
	b.entry(refDelta, len(change), []byte(base), change)
	_, err = b.unpack(t, strings.Repeat("1", 40))
	fixture.WantErr(t, err, ocm.ErrLimit)

	_, err = unpack(t, []byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"), strings.Repeat("1", 40), 1<<20)
	fixture.WantErr(t, err, ocm.ErrLimit, "objects")
	_, err = unpack(t, []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\xb0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), strings.Repeat("1", 40), 1<<20)
	fixture.WantErr(t, err, ocm.ErrLimit)
}

func TestBrokenChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]byte{
		"other size":       {9, 3, 0x90, 3},
		"too short":        {3, 5, 0x90, 3},
		"too long":         {3, 1, 0x90, 3},
		"beyond the base":  {3, 3, 0x91, 2, 3},
		"no instruction":   {3, 3, 0},
		"cut off":          {3, 3, 0x90},
		"cut off text":     {3, 3, 3, 'a'},
		"no size":          {3},
		"nothing":          {},
		"endless number":   bytes.Repeat([]byte{0xff}, 12),
		"more than is max": {3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x90, 3},
	} {
		var b bundle
		base := b.object(blobObject, "abc")
		b.entry(refDelta, len(change), []byte(base), change)
		_, err := b.unpack(t, strings.Repeat("1", 40))
		if err == nil || !strings.Contains(err.Error(), "object 2") {
			t.Errorf("%s: found %v", name, err)
		}
	}
	var b bundle
	b.object(blobObject, "abc")
	for _, back := range [][]byte{{0}, {1}, {0x7f}, {0xff, 0x7f}, bytes.Repeat([]byte{0xff}, 20)} {
		c := bundle{count: b.count}
		c.body.Write(b.body.Bytes())
		c.entry(ofsDelta, 4, back, []byte{3, 3, 0x90, 3})
		_, err := c.unpack(t, strings.Repeat("1", 40))
		fixture.WantErr(t, err, ocm.ErrInvalid)
	}
}

// A change may come before what it changes, and be changed itself.
func TestChangesInAnyOrder(t *testing.T) {
	t.Parallel()
	sum := func(text string) []byte {
		h := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(text), text))
		return h[:]
	}
	var b bundle
	b.entry(refDelta, 6, sum("abcd"), []byte{4, 5, 0x90, 4, 1, 'e'}) // abcde of abcd
	b.entry(refDelta, 6, sum("abc"), []byte{3, 4, 0x90, 3, 1, 'd'})  // abcd of abc
	b.object(blobObject, "abc")
	b.object(blobObject, "abc")
	commit := b.commit(b.object(treeObject, "100644 f\x00"+string(sum("abcde"))))
	all, err := b.unpack(t, commit)
	if err != nil || !bytes.Contains(all, []byte("abcde")) {
		t.Errorf("found %v", err)
	}
}

// gitProtocolServer answers every connection on git's own port with the same bytes.
func gitProtocolServer(t testing.TB, answer []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write(answer)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return "git://" + l.Addr().String() + "/r"
}

func TestHostileServers(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("1", 40)
	lines := func(text ...string) (b []byte) {
		for _, l := range text {
			if l == "0000" || l == "0001" {
				b = append(b, l...)
			} else {
				b = appendLine(b, "%s", l)
			}
		}
		return b
	}
	for name, answer := range map[string][]byte{
		"not git":             []byte("HTTP/1.0 400 Bad Request\r\n\r\n"),
		"short packet":        []byte("0003"),
		"long packet":         []byte("ffff"),
		"signed length":       []byte("-004"),
		"error":               lines("ERR \x1b[31mno"),
		"broken reference":    lines("version 1", "zzzz HEAD"),
		"no name":             lines("version 1", id),
		"delimiter":           lines("version 2", "0001"),
		"broken peeled":       lines("version 2", "ls-refs", "0000", id+" HEAD peeled:zz", "0000"),
		"error in the middle": lines("version 2", "ls-refs", "0000", "ERR no", "0000"),
	} {
		_, err := remote(t, &ocm.Env{}, gitProtocolServer(t, answer)).Commit(t.Context(), "")
		if err == nil || strings.ContainsAny(err.Error(), "\x1b") {
			t.Errorf("%s: found %v", name, err)
		}
	}
	for name, answer := range map[string][]byte{
		"no objects":       lines("version 2", "fetch=shallow", "0000", "0000"),
		"an error":         append(lines("version 2", "fetch=shallow", "0000", "shallow-info", "0001", "packfile"), "0008\x03no\n"...),
		"end of the pack":  append(lines("version 2", "fetch", "0000", "packfile"), "0009\x01PACK0000"...),
		"no pack":          append(lines("version 2", "fetch", "0000", "packfile"), "0015\x01NOPE567890123456"...),
		"old, no NAK":      lines("version 1", id+" HEAD\x00side-band-64k shallow", "0000", "packfile"),
		"another commit":   append(append(lines("version 2", "fetch", "0000", "packfile"), fmt.Sprintf("%04x\x01", 5+12+20)...), append((&bundle{}).bytes(), "0000"...)...),
		"format of hashes": lines("version 2", "object-format=sha256", "0000"),
	} {
		_, err := read(t.Context(), remote(t, &ocm.Env{}, gitProtocolServer(t, answer)).Tree(id))
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	_, err := remote(t, &ocm.Env{Timeout: 1}, gitProtocolServer(t, nil)).Commit(t.Context(), "")
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("expected the end of patience, found %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://example.org/a/b.git":     "https://example.org/a/b.git",
		"HTTPS://example.org/a":           "https://example.org/a",
		"git@example.org:a/b.git":         "ssh://example.org/a/b.git",
		"example.org:/srv/b.git":          "ssh://example.org/srv/b.git",
		"ssh://git@example.org:2222/a":    "ssh://example.org:2222/a",
		"ssh://example.org/~me/a":         "ssh://example.org/~me/a",
		"git://example.org/a":             "git://example.org/a",
		"file:///srv/a":                   "/srv/a",
		"./a":                             "./a",
		"a/b:c":                           "a/b:c",
		"":                                "",
		"https://example.org":             "!",
		"https://example.org/":            "!",
		"https://u@example.org/a":         "!",
		"ssh://u:geheim@example.org/a":    "!",
		"https://example.org/a?token=g":   "!",
		"https://example.org/a#geheim":    "!",
		"ftp://example.org/a":             "!",
		"ext::sh -c touch% /tmp/x":        "!",
		"ssh://-oProxyCommand=x/a":        "!",
		"-oProxyCommand=x:a":              "!",
		"ssh://-l@example.org/a":          "!",
		"host:-x":                         "!",
		"https://example.org/\nHost: x":   "!",
		"git://example.org/a\x00host=b":   "!",
		"file://example.org/a":            "!",
		"https:///a":                      "!",
		"git://169.254.169.254/a":         "!",
		"ssh://[fe80::1]/a":               "!",
		"git://example.org/a%00host=b":    "!",
		"ssh://example.org/a%0ab":         "!",
		"ssh://u%0a@example.org/a":        "!",
		"git://metadata.google.internal/": "!",
		"git://2852039166/a":              "!",
		"ssh://169.254.169.２５４/a":         "!",
		strings.Repeat("a", maxAddress+1): "!",
	} {
		a, err := ParseAddress(text)
		switch {
		case want == "!":
			if err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: found %v, %v", text, a, err)
			}
		case err != nil || a.String() != want || a.Local() != !strings.Contains(want, "://"):
			t.Errorf("%q: expected %s, found %s, %v", text, want, a, err)
		}
	}
}

func TestCheckRef(t *testing.T) {
	t.Parallel()
	for ref, good := range map[string]bool{"main": true, "release/1.0": true, "refs/tags/v1": true, "a b": false, "a..b": false, "a\nb": false, "a:b": false, "/a": false, "a/": false, strings.Repeat("a", maxRef+1): false} {
		if err := CheckRef(ref); (err == nil) != good {
			t.Errorf("%q: found %v", ref, err)
		}
	}
}
