// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

func TestIsLayout(t *testing.T) {
	t.Parallel()
	for mt, want := range map[string]bool{
		"application/vnd.ocm.software.oci.layout.v1+tar":                     true,
		"application/vnd.ocm.software.oci.layout.v1+tar+gzip":                true,
		"application/vnd.oci.image.manifest.v1+tar":                          true,
		"application/vnd.oci.image.manifest.v1+tar+gzip":                     true,
		"application/vnd.oci.image.index.v1+tar+gzip":                        true,
		"application/vnd.docker.distribution.manifest.v2+tar+gzip":           true,
		"application/vnd.docker.distribution.manifest.list.v2+tar":           true,
		"application/vnd.oci.image.manifest.v1+tar+gzip; charset=binary":     true,
		"application/vnd.oci.image.manifest.v1+json":                         false,
		"application/vnd.oci.image.manifest.v1+gzip":                         false,
		"application/vnd.ocm.software.component-descriptor.v2+yaml+tar":      false,
		"application/x-tar+gzip":                                             false,
		"application/vnd.docker.distribution.manifest.v1+tar":                false,
		"application/vnd.ocm.software.oci.layout.v1+tar+gzip+tar+gzip":       false,
		"application/vnd.ocm.software.oci.layout.v1+tar+gzip.evil/something": false,
		"": false,
	} {
		if IsLayout(mt) != want {
			t.Errorf("%s: expected %v", mt, want)
		}
	}
}

// TestGoldenArtifactSets reads what an existing implementation wrote.
func TestGoldenArtifactSets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for file, main := range map[string]digest.Digest{
		"testdata/chart-artifactset.tgz": "sha256:f4b6f4c380084846a3f7f68803a8f6b276c56cde3fafbea750903f8a962fac5e",
		"testdata/image-artifactset.tgz": "sha256:c9f51ec01c6e008b295c91d70cd3c3ee5fac2694ed32ba5f9ffcf27d9fe8c2e5",
	} {
		c, err := File(file, "application/vnd.oci.image.manifest.v1+tar+gzip")
		must(t, err)
		got, err := CheckLayout(ctx, c)
		must(t, err)
		l, err := Layout(ctx, c)
		must(t, err)
		if got.Digest != main || l.Root.Digest != main || got.MediaType != ociv1.MediaTypeImageManifest {
			t.Fatalf("%s: found %+v and %+v", file, got, l.Root)
		}
		must(t, Check(ctx, l))
	}
}

// bigImage has layers too large to be kept in memory, and small ones.
func bigImage(t testing.TB) (*image, ociv1.Descriptor) {
	var layers [][]byte
	for _, n := range []int{2 << 20, 10, 3 << 20, 1<<20 + 1} {
		b := make([]byte, n)
		_, err := rand.Read(b)
		must(t, err)
		layers = append(layers, b)
	}
	m := &image{}
	return m, m.index(m.manifest(layers...), m.manifest([]byte("other")))
}

// TestLayoutForms opens one image in every form of archive, through every kind of reader.
func TestLayoutForms(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m, root := bigImage(t)
	oci := entry{name: "oci-layout", body: `{"imageLayoutVersion":"1.0.0"}`}
	dirs := []entry{{name: "./", flag: tar.TypeDir}, {name: "blobs/", flag: tar.TypeDir}, {name: "pax", flag: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "by git"}}}
	forms := map[string][]entry{
		"layout":        append(m.entries("/"), indexEntry("index.json", nil, root), oci),
		"index first":   append([]entry{oci, indexEntry("./index.json", nil, root)}, m.entries("/")...),
		"artifact set":  append(append(dirs, indexEntry("index.json", map[string]string{"software.ocm/main": root.Digest.String()}, root)), m.entries(".")...),
		"oldest set":    append(m.entries("."), indexEntry("artifact-descriptor.json", nil, root)),
		"specified set": append(m.entries("."), indexEntry("artifact-set-descriptor.json", nil, root)),
	}
	for form, entries := range forms {
		plain := tarOf(t, entries...)
		for reader, c := range map[string]ocm.Content{
			"file":     fileOf(t, plain),
			"gz file":  fileOf(t, gz(t, plain)),
			"stream":   (&streamed{b: plain}).content(),
			"gzstream": (&streamed{b: gz(t, plain)}).content(),
		} {
			t.Run(form+"/"+reader, func(t *testing.T) {
				t.Parallel()
				l, err := Layout(ctx, c)
				must(t, err)
				got, err := CheckLayout(ctx, c)
				must(t, err)
				if l.Root.Digest != root.Digest || l.Root.MediaType != root.MediaType || got.Digest != root.Digest || got.Size != root.Size {
					t.Fatalf("expected %+v, found %+v and %+v", root, l.Root, got)
				}
				must(t, Check(ctx, l))
				_, err = l.From.Fetch(ctx, ociv1.Descriptor{Digest: digest.FromString("none"), Size: -1})
				wantError(t, err, ocm.ErrNotFound)
				d := l.Root
				d.Size++
				_, err = l.From.Fetch(ctx, d)
				wantError(t, err, ocm.ErrDigest)
			})
		}
	}
}

func TestLayoutSelection(t *testing.T) {
	t.Parallel()
	m := &image{}
	a, b := m.manifest([]byte("a")), m.manifest([]byte("b"))
	blob := m.add("text/plain", []byte("text"))
	noType := func(d ociv1.Descriptor) ociv1.Descriptor { d.MediaType = ""; return d }
	bare := m.add("", []byte(strings.Replace(string(m.blobs[a.Digest]), `"mediaType":"`+a.MediaType+`",`, "", 1)))
	main := func(s string) map[string]string { return map[string]string{"software.ocm/main": s} }
	for name, tc := range map[string]struct {
		index entry
		want  ociv1.Descriptor
		texts []string
	}{
		"one":                  {index: indexEntry("index.json", nil, a), want: a},
		"one with two tags":    {index: indexEntry("index.json", nil, tagged(a, "1"), tagged(a, "2")), want: a},
		"tagged":               {index: indexEntry("index.json", nil, a, tagged(b, "1")), want: b},
		"annotation":           {index: indexEntry("index.json", main(a.Digest.String()), a, tagged(b, "1")), want: a},
		"no media type":        {index: indexEntry("index.json", nil, noType(b)), want: b},
		"no media type at all": {index: indexEntry("index.json", nil, bare), want: ociv1.Descriptor{MediaType: a.MediaType, Digest: bare.Digest}},
		"two":                  {index: indexEntry("index.json", nil, a, b), texts: []string{a.Digest.String(), b.Digest.String()}},
		"two tagged":           {index: indexEntry("index.json", nil, tagged(a, "x1"), tagged(b, "x2")), texts: []string{`"x1"`, `"x2"`}},
		"none":                 {index: indexEntry("index.json", nil), texts: []string{"none"}},
		"annotation elsewhere": {index: indexEntry("index.json", main(b.Digest.String()), a), texts: []string{b.Digest.String()}},
		"annotation garbage":   {index: indexEntry("index.json", main("x"), a), texts: []string{`"x"`}},
		"a blob":               {index: indexEntry("index.json", nil, blob), texts: []string{"text/plain"}},
		"a blob, no type":      {index: indexEntry("index.json", nil, noType(blob)), texts: []string{`""`}},
		"manifest and index":   {index: entry{name: "index.json", body: `{"manifests":[],"layers":[]}`}, texts: []string{"at once"}},
		"duplicate key":        {index: entry{name: "index.json", body: `{"manifests":[],"manifests":[]}`}, texts: []string{"duplicate"}},
		"no JSON":              {index: entry{name: "index.json", body: `<html>`}, texts: []string{"index.json"}},
		"path as digest":       {index: entry{name: "index.json", body: `{"manifests":[{"digest":"sha256:../../x"}]}`}, texts: []string{"digest"}},
		"no index":             {index: entry{name: "README", body: `hello`}, texts: []string{"no index.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := (&streamed{b: tarOf(t, append(m.entries("/"), tc.index)...)}).content()
			l, err := Layout(context.Background(), c)
			checked, errCheck := CheckLayout(context.Background(), c)
			if tc.want.Digest == "" {
				wantError(t, err, ocm.ErrInvalid, tc.texts...)
				wantError(t, errCheck, ocm.ErrInvalid, tc.texts...)
				return
			}
			must(t, err)
			must(t, errCheck)
			if l.Root.Digest != tc.want.Digest || l.Root.MediaType != tc.want.MediaType || l.Root.Annotations != nil || checked.Digest != tc.want.Digest {
				t.Fatalf("expected %+v, found %+v and %+v", tc.want, l.Root, checked)
			}
		})
	}
}

// rawTar corrupts a valid archive.
func rawTar(t testing.TB, change func([]byte) []byte, entries ...entry) []byte {
	return change(tarOf(t, entries...))
}

// TestHostileLayouts: what an archive must not be able to do, whoever reads it how.
func TestHostileLayouts(t *testing.T) {
	t.Parallel()
	m := &image{}
	root := m.manifest([]byte("layer"))
	layer := digest.FromString("layer")
	index := indexEntry("index.json", nil, root)
	blobs := m.entries("/")
	path := "blobs/sha256/" + layer.Encoded()
	without := func(name string) []entry {
		var out []entry
		for _, e := range blobs {
			if e.name != name {
				out = append(out, e)
			}
		}
		return append(out, index)
	}
	sparse := append(without(path), entry{name: "sparse", body: "x"})
	for name, tc := range map[string]struct {
		b     []byte
		err   error
		texts []string
	}{
		"duplicate blob":          {tarOf(t, append(without(""), blobs[0])...), ocm.ErrInvalid, []string{"twice"}},
		"duplicate in other form": {tarOf(t, append(without(""), entry{name: "blobs/sha256." + layer.Encoded(), body: "layer"})...), ocm.ErrInvalid, []string{"twice"}},
		"duplicate index":         {tarOf(t, append(without(""), index)...), ocm.ErrInvalid, []string{"twice"}},
		"absolute name":           {tarOf(t, append(without(""), entry{name: "/etc/x", body: "x"})...), ocm.ErrInvalid, []string{"relative"}},
		"dots in a name":          {tarOf(t, append(without(path), entry{name: "x/../" + path, body: "layer"})...), ocm.ErrInvalid, []string{".."}},
		"linked index":            {tarOf(t, append(blobs, entry{name: "index.json", flag: tar.TypeSymlink, link: "/etc/passwd"})...), ocm.ErrInvalid, []string{"regular"}},
		"device":                  {tarOf(t, append(without(path), entry{name: path, flag: tar.TypeChar})...), ocm.ErrInvalid, []string{"regular"}},
		"index too big":           {tarOf(t, append(blobs, entry{name: "index.json", body: strings.Repeat(" ", MaxManifest+1)})...), ocm.ErrLimit, []string{"index.json"}},
		"data after the end":      {append(tarOf(t, without("")...), []byte("more")...), ocm.ErrInvalid, []string{"follow"}},
		"endless padding":         {append(tarOf(t, without("")...), make([]byte, maxPadding+1)...), ocm.ErrLimit, nil},
		"cut off":                 {rawTar(t, func(b []byte) []byte { return b[:len(b)-1500] }, append([]entry{index}, blobs...)...), ocm.ErrInvalid, nil},
		"no archive":              {[]byte(strings.Repeat("hello ", 1000)), ocm.ErrInvalid, nil},
		"empty":                   {nil, ocm.ErrInvalid, []string{"no index.json"}},
		"sparse by PAX":           {rawTar(t, renamePax, append(sparse, entry{name: "f", pax: map[string]string{"XXX.sparse.major": "1"}})...), ocm.ErrInvalid, []string{"sparse"}},
		"negative size": {rawTar(t, func(b []byte) []byte {
			copy(b[124:136], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0")
			return b
		}, without("")...), ocm.ErrInvalid, nil},
		"root is missing": {tarOf(t, without("blobs/sha256/"+root.Digest.Encoded())...), ocm.ErrNotFound, []string{root.Digest.String()}},
	} {
		for form, b := range map[string][]byte{"plain": tc.b, "gzip": gz(t, tc.b)} {
			t.Run(name+"/"+form, func(t *testing.T) {
				t.Parallel()
				c := (&streamed{b: b}).content()
				_, err := CheckLayout(context.Background(), c)
				wantError(t, err, tc.err, tc.texts...)
				_, err = Layout(context.Background(), c)
				wantError(t, err, tc.err, tc.texts...)
				_, err = Layout(context.Background(), fileOf(t, b))
				wantError(t, err, tc.err, tc.texts...)
			})
		}
	}
}

// renamePax turns records that the tar writer accepts into those of a sparse file, which it
// would not write, and repairs nothing: records have no checksum.
func renamePax(b []byte) []byte {
	return bytes.ReplaceAll(b, []byte("XXX.sparse"), []byte("GNU.sparse"))
}

// TestGHSA_ggcr_2306_SymlinkedBlobs: a blob that is a link would be read from wherever it points.
func TestGHSA_ggcr_2306_SymlinkedBlobs(t *testing.T) {
	t.Parallel()
	m := &image{}
	root := m.manifest([]byte("layer"))
	for _, flag := range []byte{tar.TypeSymlink, tar.TypeLink} {
		entries := []entry{indexEntry("index.json", nil, root)}
		for _, e := range m.entries("/") {
			if e.body == "layer" {
				e = entry{name: e.name, flag: flag, link: "../../../../etc/passwd"}
			}
			entries = append(entries, e)
		}
		c := fileOf(t, tarOf(t, entries...))
		_, err := Layout(context.Background(), c)
		wantError(t, err, ocm.ErrInvalid, "regular file")
		_, err = CheckLayout(context.Background(), c)
		wantError(t, err, ocm.ErrInvalid, "regular file")
	}
}

// TestCVE_2025_58183_SparseMaps: sparse files are refused whatever their map says.
func TestCVE_2025_58183_SparseMaps(t *testing.T) {
	t.Parallel()
	old := tarOf(t, entry{name: "f", body: ""})
	old[156] = tar.TypeGNUSparse
	copy(old[257:265], "ustar  \x00")
	copy(old[482:], "\x00") // no extension, no map
	checksum(old[:512])
	b := rawTar(t, renamePax, entry{name: "f", body: "0\n", pax: map[string]string{
		"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.realsize": "99999999999"}})
	for _, b := range [][]byte{old, b} {
		_, err := CheckLayout(context.Background(), (&streamed{b: b}).content())
		wantError(t, err, ocm.ErrInvalid)
		err = Extract(context.Background(), bytes.NewReader(b), t.TempDir()+"/x", ExtractOptions{})
		wantError(t, err, ocm.ErrInvalid)
	}
}

// checksum repairs the checksum of a tar header.
func checksum(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestLayoutTooManyEntries(t *testing.T) {
	t.Parallel()
	one := tarOf(t, entry{name: "x"})[:512]
	c := (&streamed{b: gz(t, bytes.Repeat(one, MaxEntries+1))}).content()
	_, err := CheckLayout(context.Background(), c)
	wantError(t, err, ocm.ErrLimit, "too many entries")
	_, err = Layout(context.Background(), c)
	wantError(t, err, ocm.ErrLimit, "too many entries")
}

// TestEndlessGzip: a stream that never ends is left as soon as nothing but headers, or nothing
// but padding, comes from it.
func TestEndlessGzip(t *testing.T) {
	t.Parallel()
	long := tarOf(t, entry{name: strings.Repeat("n", 1<<10), body: ""})
	pax := long[:512+1536] // an extended header without the entry that it belongs to
	m := &image{}
	good := tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, m.manifest()))...)
	for name, head := range map[string][]byte{"headers": pax, "padding": append(good, make([]byte, 512)...)} {
		c := ocm.Content{Root: ociv1.Descriptor{MediaType: MediaTypeLayoutGzip, Size: -1}, From: fetcherFunc(func(ctx context.Context) io.ReadCloser {
			return pipe(ctx, func(_ context.Context, w io.Writer) error {
				zw := gzip.NewWriter(w)
				for {
					if _, err := zw.Write(head); err != nil {
						return err
					}
					if name == "padding" {
						head = make([]byte, 512)
					}
				}
			})
		})}
		_, err := CheckLayout(context.Background(), c)
		wantError(t, err, ocm.ErrLimit)
		t.Log(name, err)
	}
}

type fetcherFunc func(ctx context.Context) io.ReadCloser

func (f fetcherFunc) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	return f(ctx), nil
}

// TestCheckLayoutFindings: what CheckLayout promises to find, and that Layout with verified
// reading finds it too.
func TestCheckLayoutFindings(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := &image{}
	root := m.index(m.manifest([]byte("layer one"), make([]byte, maxKeptEntry+1)), m.manifest([]byte("layer two")))
	index := indexEntry("index.json", nil, root)
	for _, victim := range m.order {
		for _, how := range []string{"missing", "flipped", "longer"} {
			var entries []entry
			for _, d := range m.order {
				e := entry{name: "blobs/sha256/" + d.Encoded(), body: string(m.blobs[d])}
				if d == victim {
					switch how {
					case "missing":
						continue
					case "flipped":
						e.body = string(e.body[0]^1) + e.body[1:]
					case "longer":
						e.body += "x"
					}
				}
				entries = append(entries, e)
			}
			kind := ocm.ErrDigest
			if how == "missing" {
				kind = ocm.ErrNotFound
			}
			c := (&streamed{b: tarOf(t, append(entries, index)...)}).content()
			_, err := CheckLayout(ctx, c)
			wantError(t, err, kind, victim.Encoded()[:12])
			l, err := Layout(ctx, c)
			if err == nil {
				err = Check(ctx, l)
			}
			wantError(t, err, kind)
		}
	}
}

// TestCheckLayoutArchiveDigest flips each byte of an archive, and cuts and extends it: the
// archive's own digest covers all of it, also what follows the compressed data.
func TestCheckLayoutArchiveDigest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	good, err := os.ReadFile("testdata/image-artifactset.tgz")
	must(t, err)
	want := ociv1.Descriptor{MediaType: MediaTypeLayout, Digest: digest.FromBytes(good), Size: int64(len(good))}
	check := func(b []byte) error {
		_, err := CheckLayout(ctx, ocm.Content{Root: want, From: &streamed{b: b}})
		return err
	}
	must(t, check(good))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		wantError(t, check(bad), ocm.ErrDigest)
	}
	wantError(t, check(good[:len(good)-1]), ocm.ErrDigest)
	wantError(t, check(append(bytes.Clone(good), 0)), ocm.ErrDigest)
	wantError(t, check(append(bytes.Clone(good), gz(t, nil)...)), ocm.ErrDigest)
}

// TestCVE_2021_41190_ManifestThatIsAlsoAnIndex in a layout.
func TestCVE_2021_41190_ManifestThatIsAlsoAnIndex(t *testing.T) {
	t.Parallel()
	m := &image{}
	inner := m.manifest([]byte("layer"))
	both := m.addJSON(ociv1.MediaTypeImageManifest, map[string]any{
		"schemaVersion": 2, "config": inner, "layers": []any{}, "manifests": []any{inner},
	})
	for _, mt := range []string{ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageIndex, ""} {
		both.MediaType = mt
		c := (&streamed{b: tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, both))...)}).content()
		_, err := CheckLayout(context.Background(), c)
		wantError(t, err, ocm.ErrInvalid)
		l, err := Layout(context.Background(), c)
		if err == nil {
			err = Check(context.Background(), l)
		}
		wantError(t, err, ocm.ErrInvalid)
	}
}

// TestHiddenChildren: an index names a manifest first as somebody's layer. What the manifest
// needs must be looked for all the same.
func TestHiddenChildren(t *testing.T) {
	t.Parallel()
	m := &image{}
	hidden := m.manifest([]byte("not in the archive"))
	asLayer := hidden
	asLayer.MediaType = "application/octet-stream"
	cover := m.addJSON(ociv1.MediaTypeImageManifest, ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest,
		Config: m.add("text/plain", []byte("{}")), Layers: []ociv1.Descriptor{asLayer}})
	root := m.index(cover, hidden)
	must(t, Check(context.Background(), m.content()))
	missing := digest.FromString("not in the archive")
	var entries []entry
	for _, e := range m.entries("/") {
		if !strings.Contains(e.name, missing.Encoded()) {
			entries = append(entries, e)
		}
	}
	c := (&streamed{b: tarOf(t, append(entries, indexEntry("index.json", nil, root))...)}).content()
	_, err := CheckLayout(context.Background(), c)
	wantError(t, err, ocm.ErrNotFound, missing.String())

	// The complete artifact can be written, each blob once.
	var out bytes.Buffer
	must(t, WriteLayout(context.Background(), &out, m.content(), ""))
	_, err = CheckLayout(context.Background(), (&streamed{b: out.Bytes()}).content())
	must(t, err)
}

func TestWalkTwoSizes(t *testing.T) {
	t.Parallel()
	m := &image{}
	a := m.manifest([]byte("layer"))
	var man ociv1.Manifest
	must(t, json.Unmarshal(m.blobs[a.Digest], &man))
	man.Layers[0].Size = 4
	b := m.addJSON(ociv1.MediaTypeImageManifest, man)
	m.index(a, b)
	wantError(t, Check(context.Background(), m.content()), ocm.ErrInvalid, "with 5 and with 4 bytes")
}

func TestNestedTooDeep(t *testing.T) {
	t.Parallel()
	m := &image{}
	root := m.manifest([]byte("layer"))
	for range MaxDepth {
		root = m.index(root)
	}
	c := (&streamed{b: tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...)}).content()
	_, err := CheckLayout(context.Background(), c)
	wantError(t, err, ocm.ErrLimit, "deep")
}

// TestStreamedOrder: blobs that are asked for in the archive's order cost one more pass; no
// reader is left open; other orders and concurrent readers get the right bytes.
func TestStreamedOrder(t *testing.T) {
	t.Parallel()
	m, root := bigImage(t)
	s := &streamed{b: gz(t, tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...))}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := Layout(ctx, s.content())
	must(t, err)
	if n := s.opens.Load(); n != 1 {
		t.Fatalf("opening read the archive %d times", n)
	}
	must(t, Check(ctx, l))
	if n := s.opens.Load(); n != 2 || s.open.Load() != 0 {
		t.Fatalf("a walk in order read the archive %d times, %d readers are open", n-1, s.open.Load())
	}
	var wg sync.WaitGroup
	for i := range m.order {
		d := m.order[len(m.order)-1-i]
		wg.Go(func() {
			got, err := ReadAll(ctx, l.From, ociv1.Descriptor{Digest: d, Size: int64(len(m.blobs[d]))}, 8<<20)
			if err != nil || !bytes.Equal(got, m.blobs[d]) {
				t.Errorf("%s: %v", d, err)
			}
		})
	}
	wg.Wait()
	big := ociv1.Descriptor{Digest: digest.FromBytes(m.blobs[m.order[1]]), Size: int64(len(m.blobs[m.order[1]]))}
	r, err := l.From.Fetch(ctx, big)
	must(t, err)
	_, err = io.ReadFull(r, make([]byte, 100))
	must(t, err)
	must(t, r.Close())
	_, err = r.Read(make([]byte, 1))
	wantError(t, err, io.ErrClosedPipe)
	if s.open.Load() == 0 {
		t.Fatal("the cursor was not kept")
	}
	cancel()
	for s.open.Load() != 0 { // the time limit of the test is the bound
		time.Sleep(time.Millisecond)
	}
	_, err = l.From.Fetch(ctx, big)
	wantError(t, err, context.Canceled)
}

// TestStreamedBackwards: a cursor that is behind what is asked for is of no use.
func TestStreamedBackwards(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m, root := bigImage(t)
	s := &streamed{b: tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...)}
	l, err := Layout(ctx, s.content())
	must(t, err)
	for i := range m.order {
		d := m.order[len(m.order)-1-i]
		got, err := ReadAll(ctx, l.From, ociv1.Descriptor{Digest: d, Size: int64(len(m.blobs[d]))}, 8<<20)
		must(t, err)
		if !bytes.Equal(got, m.blobs[d]) {
			t.Fatalf("%s: other bytes", d)
		}
	}
	if n := s.opens.Load(); n != 4 || s.open.Load() > 1 {
		t.Fatalf("three large blobs: the archive was read %d times, %d readers are open", n, s.open.Load())
	}
}

// TestLayoutMemoryIsBounded: more small blobs than may be kept, and more manifests than may be.
func TestLayoutMemoryIsBounded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var layers [][]byte
	for i := range maxKept/maxKeptEntry + 4 {
		layers = append(layers, append([]byte{byte(i)}, make([]byte, maxKeptEntry-1)...))
	}
	m := &image{}
	root := m.manifest(layers...)
	s := &streamed{b: gz(t, tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...))}
	l, err := Layout(ctx, s.content())
	must(t, err)
	if kept := maxKept - l.From.(*layout).room; kept > maxKept || kept < maxKept/2 {
		t.Fatalf("%d bytes are kept", kept)
	}
	must(t, Check(ctx, l))
	_, err = CheckLayout(ctx, s.content())
	must(t, err)

	m = &image{}
	var children []ociv1.Descriptor
	for i := range 9 {
		man := ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest, Config: m.add("text/plain", []byte("{}")), Layers: []ociv1.Descriptor{}}
		man.Annotations = map[string]string{"n": fmt.Sprint(i), "pad": strings.Repeat("x", MaxManifest-1000)}
		children = append(children, m.addJSON(man.MediaType, man))
	}
	root = m.index(children...)
	s = &streamed{b: gz(t, tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...))}
	_, err = CheckLayout(ctx, s.content())
	wantError(t, err, ocm.ErrLimit, "bytes of manifests")
}

func TestStreamedArchiveChanges(t *testing.T) {
	t.Parallel()
	m, root := bigImage(t)
	s := &streamed{b: tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...)}
	l, err := Layout(context.Background(), s.content())
	must(t, err)
	s.b = s.b[:1<<20]
	wantError(t, Check(context.Background(), l), ocm.ErrConflict, "shorter")
	if s.open.Load() != 0 {
		t.Fatal("a reader is left open")
	}
}

func TestWriteLayout(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := &image{}
	root := m.index(m.manifest([]byte("a")), m.manifest([]byte("b"), []byte("a")))
	var one, two bytes.Buffer
	must(t, WriteLayout(ctx, &one, m.content(), "1.0.0"))
	must(t, WriteLayout(ctx, &two, m.content(), "1.0.0"))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatal("two archives of one artifact differ")
	}
	const want = "sha256:c3fa09b2054d5aeafeb7b1d58e27a1a4dda277d37630a3e41fdfd65f00057215"
	if got := digest.FromBytes(one.Bytes()); got != want {
		t.Errorf("expected %s, found %s", want, got)
	}
	if n := names(t, one.Bytes()); n[0] != "oci-layout" || n[1] != "index.json" || n[len(n)-1] != "blobs/sha256/"+root.Digest.Encoded() || len(n) != 2+len(m.order) {
		t.Fatalf("found %q", n)
	}
	if !bytes.Contains(one.Bytes(), []byte(`"org.opencontainers.image.ref.name":"1.0.0"`)) {
		t.Fatal("the tag is missing")
	}
	got, err := CheckLayout(ctx, (&streamed{b: one.Bytes()}).content())
	must(t, err)
	if got.Digest != root.Digest {
		t.Fatalf("found %+v", got)
	}

	m.blobs[digest.FromString("a")] = []byte("b")
	wantError(t, WriteLayout(ctx, io.Discard, m.content(), ""), ocm.ErrDigest, digest.FromString("a").String())
	delete(m.blobs, digest.FromString("a"))
	wantError(t, WriteLayout(ctx, io.Discard, m.content(), ""), ocm.ErrNotFound)
	wantError(t, WriteLayout(ctx, io.Discard, Bytes("text/plain", nil), ""), ocm.ErrInvalid, "text/plain")
	full := errors.New("disk full")
	wantError(t, WriteLayout(ctx, failing{full}, Bytes(ociv1.MediaTypeImageIndex, []byte(`{"manifests":[]}`)), ""), full)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
