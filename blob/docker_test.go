// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// saved is an image as docker save has it.
type saved struct {
	config string
	layers []string // uncompressed
}

func newSaved(layers ...string) saved {
	ids := []string{}
	for _, l := range layers {
		ids = append(ids, fmt.Sprintf("%q", digest.FromString(l)))
	}
	return saved{fmt.Sprintf(`{"architecture":"arm64","os":"linux","variant":"v8","rootfs":{"type":"layers","diff_ids":[%s]},"history":[]}`, strings.Join(ids, ",")), layers}
}

func (s saved) configName() string { return digest.FromString(s.config).Encoded() + ".json" }

// listEntry is the archive's list of images.
func listEntry(t testing.TB, list ...map[string]any) entry {
	t.Helper()
	raw, err := json.Marshal(list)
	must(t, err)
	return entry{name: dockerList, body: string(raw)}
}

// legacy are the entries of an archive of Docker before version 25.
func (s saved) legacy(t testing.TB, tag string) []entry {
	out := []entry{{name: "repositories", body: "{}"}, {name: "x/", flag: tar.TypeDir}}
	var names []string
	for i, l := range s.layers {
		name := fmt.Sprintf("%064d/layer.tar", i)
		names = append(names, name)
		out = append(out, entry{name: strings.TrimSuffix(name, "layer.tar"), flag: tar.TypeDir}, entry{name: name, body: l}, entry{name: fmt.Sprintf("%064d/json", i), body: "{}"})
	}
	out = append(out, entry{name: s.configName(), body: s.config})
	return append(out, listEntry(t, map[string]any{"Config": s.configName(), "RepoTags": []string{tag}, "Layers": names}))
}

// modern are the entries of an archive of Docker 25: an OCI layout and the list.
func (s saved) modern(t testing.TB, m *image, layerType string) ([]entry, ociv1.Descriptor) {
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.add(ociv1.MediaTypeImageConfig, []byte(s.config))
	names := []string{}
	for _, l := range s.layers {
		b := []byte(l)
		if strings.HasSuffix(layerType, "gzip") {
			b = gz(t, b)
		}
		d := m.add(layerType, b)
		man.Layers = append(man.Layers, d)
		names = append(names, "blobs/sha256/"+d.Digest.Encoded())
	}
	root := m.addJSON(man.MediaType, man)
	list := listEntry(t, map[string]any{"Config": "blobs/sha256/" + man.Config.Digest.Encoded(), "RepoTags": nil, "Layers": names})
	return append(m.entries("/"), entry{name: ociv1.ImageLayoutFile, body: `{"imageLayoutVersion":"1.0.0"}`}, list), root
}

// bothWays opens an archive in place and as a stream, which must lead to the same.
func bothWays(t testing.TB, b []byte, ref string) (ocm.Content, error) {
	t.Helper()
	ctx := context.Background()
	a, errA := DockerArchive(ctx, ocm.Content{Root: ociv1.Descriptor{Size: int64(len(b))}, From: readerAtFetcher(b)}, ref)
	s, errS := DockerArchive(ctx, (&streamed{b: b}).content(), ref)
	z, errZ := DockerArchive(ctx, (&streamed{b: gz(t, b)}).content(), ref)
	if (errA == nil) != (errS == nil) || (errA == nil) != (errZ == nil) {
		t.Fatalf("in place: %v, streamed: %v, compressed: %v", errA, errS, errZ)
	}
	if errA != nil {
		return a, errA
	}
	if a.Root.Digest != s.Root.Digest || a.Root.Digest != z.Root.Digest {
		t.Fatalf("in place: %v, streamed: %v, compressed: %v", a.Root, s.Root, z.Root)
	}
	errA = Check(ctx, a)
	if errS, errZ = Check(ctx, s), Check(ctx, z); (errA == nil) != (errS == nil) || (errA == nil) != (errZ == nil) {
		t.Fatalf("in place: %v, streamed: %v, compressed: %v", errA, errS, errZ)
	}
	return a, errA
}

func TestDockerArchive(t *testing.T) {
	t.Parallel()
	s := newSaved("first layer", "", "second layer")
	c, err := bothWays(t, tarOf(t, s.legacy(t, "acme/app:1.0")...), "")
	must(t, err)
	// The manifest is part of what is promised: it never changes for the same image.
	const want = "sha256:8f7702d1aebaab4a24eafd8ec78a2db29b7684bb575b736dc36de1dbfefbdea6"
	raw, err := ReadAll(t.Context(), c.From, c.Root, MaxManifest)
	must(t, err)
	var m ociv1.Manifest
	must(t, json.Unmarshal(raw, &m))
	if m.Config.Digest != digest.FromString(s.config) || len(m.Layers) != 3 || m.Layers[2].Digest != digest.FromString("second layer") || m.Layers[2].MediaType != ociv1.MediaTypeImageLayer {
		t.Errorf("found %s", raw)
	}
	if c.Root.Digest.String() != want {
		t.Errorf("expected %s, found %s: %s", want, c.Root.Digest, raw)
	}
}

// Layers that are links to those of another image, as older versions of Docker write them, and compressed ones.
func TestDockerArchiveLinksAndCompression(t *testing.T) {
	t.Parallel()
	s := newSaved("same", "same", "zipped", "hard")
	zipped := string(gz(t, []byte("zipped")))
	entries := []entry{
		{name: "b/layer.tar", flag: tar.TypeSymlink, link: "../a/layer.tar"},
		{name: "a/layer.tar", body: "same"}, {name: "c.tar", body: zipped}, {name: "d.tar", body: "hard"}, {name: "e.tar", flag: tar.TypeLink, link: "d.tar"},
		{name: s.configName(), body: s.config},
		listEntry(t, map[string]any{"Config": s.configName(), "Layers": []string{"a/layer.tar", "b/layer.tar", "c.tar", "e.tar"}}),
	}
	c, err := bothWays(t, tarOf(t, entries...), "")
	must(t, err)
	raw, err := ReadAll(t.Context(), c.From, c.Root, MaxManifest)
	must(t, err)
	var m ociv1.Manifest
	must(t, json.Unmarshal(raw, &m))
	if l := m.Layers[2]; l.MediaType != ociv1.MediaTypeImageLayerGzip || l.Digest != digest.FromString(zipped) {
		t.Errorf("found %s", raw)
	}
}

// Since version 25 there is an OCI layout: the artifact in it is what was saved.
func TestDockerArchiveWithLayout(t *testing.T) {
	t.Parallel()
	s := newSaved("first layer", "second layer")
	for _, layerType := range []string{ociv1.MediaTypeImageLayer, ociv1.MediaTypeImageLayerGzip} {
		m := &image{}
		entries, root := s.modern(t, m, layerType)
		c, err := bothWays(t, tarOf(t, append(entries, indexEntry("index.json", nil, tagged(root, "1.0")))...), "")
		if err != nil || c.Root.Digest != root.Digest {
			t.Errorf("%s: found %+v, %v", layerType, c.Root, err)
		}
		// without the list it is an OCI layout
		c, err = bothWays(t, tarOf(t, append(m.entries("/"), indexEntry("index.json", nil, root))...), "")
		if err != nil || c.Root.Digest != root.Digest {
			t.Errorf("%s: found %+v, %v", layerType, c.Root, err)
		}
		// of several platforms all, or the one that was saved
		m = &image{}
		entries, root = s.modern(t, m, layerType)
		other := root
		other.Digest = digest.FromString("not saved")
		whole, part := m.index(root), m.index(root, other)
		entries = append(entries, entry{name: "blobs/sha256/" + whole.Digest.Encoded(), body: string(m.blobs[whole.Digest])}, entry{name: "blobs/sha256/" + part.Digest.Encoded(), body: string(m.blobs[part.Digest])})
		for top, want := range map[*ociv1.Descriptor]digest.Digest{&whole: whole.Digest, &part: root.Digest} {
			c, err = bothWays(t, tarOf(t, append(entries, indexEntry("index.json", nil, *top))...), "")
			if err != nil || c.Root.Digest != want {
				t.Errorf("%s: expected %s, found %+v, %v", layerType, want, c.Root, err)
			}
		}
	}
}

func TestDockerArchiveOfSeveralImages(t *testing.T) {
	t.Parallel()
	a, b := newSaved("a"), newSaved("b")
	entries := []entry{
		{name: a.configName(), body: a.config}, {name: b.configName(), body: b.config}, {name: "a.tar", body: "a"}, {name: "b.tar", body: "b"},
		listEntry(t,
			map[string]any{"Config": a.configName(), "RepoTags": []string{"alpine:latest"}, "Layers": []string{"a.tar"}},
			map[string]any{"Config": b.configName(), "RepoTags": []string{"host:5000/b:1"}, "Layers": []string{"b.tar"}}),
	}
	for ref, want := range map[string]saved{"docker.io/library/alpine": a, "alpine": a, "host:5000/b:1": b} {
		c, err := bothWays(t, tarOf(t, entries...), ref)
		must(t, err)
		raw, err := ReadAll(t.Context(), c.From, c.Root, MaxManifest)
		must(t, err)
		if !bytes.Contains(raw, []byte(digest.FromString(want.config))) {
			t.Errorf("%s: found %s", ref, raw)
		}
	}
	for _, ref := range []string{"", "alpine:2", "b:1"} {
		_, err := bothWays(t, tarOf(t, entries...), ref)
		wantError(t, err, ocm.ErrInvalid, "expected one image, found 2", "alpine:latest")
	}
}

// What an archive may say to lead a reader somewhere else. Each name says which fault it is about.
func TestDockerArchivesThatLie(t *testing.T) {
	t.Parallel()
	s, other := newSaved("layer"), newSaved("other")
	list := func(config string, layers ...string) entry {
		return listEntry(t, map[string]any{"Config": config, "Layers": layers})
	}
	config := entry{name: s.configName(), body: s.config}
	layer := entry{name: "l.tar", body: "layer"}
	badConfig := func(text string) (entry, entry) {
		return entry{name: "c.json", body: text}, list("c.json", "l.tar")
	}
	traversal, listTraversal := badConfig(`{"rootfs":{"diff_ids":["sha256:../../../etc/passwd"]}}`)
	md5, listMD5 := badConfig(`{"rootfs":{"diff_ids":["md5:d41d8cd98f00b204e9800998ecf8427e"]}}`)
	notJSON, listNotJSON := badConfig(`{`)
	m := &image{}
	modern, root := s.modern(t, m, ociv1.MediaTypeImageLayer)
	o := &image{}
	foreign, _ := other.modern(t, o, ociv1.MediaTypeImageLayer)
	both := &image{}
	confused := both.add(ociv1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"mediaType":"x","digest":"`+digest.FromString(s.config).String()+`","size":1},"layers":[],"manifests":[]}`))
	for name, c := range map[string]struct {
		entries []entry
		kind    error
		text    string
	}{
		"no list":                       {[]entry{config, layer}, ocm.ErrInvalid, "neither manifest.json nor index.json"},
		"list is not JSON":              {[]entry{{name: dockerList, body: "no"}}, ocm.ErrInvalid, ""},
		"empty list":                    {[]entry{{name: dockerList, body: "[]"}}, ocm.ErrInvalid, "found 0"},
		"list too large":                {[]entry{{name: dockerList, body: strings.Repeat(" ", MaxManifest+1)}}, ocm.ErrLimit, ""},
		"list is a link":                {[]entry{{name: dockerList, flag: tar.TypeSymlink, link: "x"}, {name: "x", body: "[]"}}, ocm.ErrInvalid, ""},
		"configuration is missing":      {[]entry{layer, list("gone.json", "l.tar")}, ocm.ErrInvalid, "gone.json"},
		"layer is missing":              {[]entry{config, list(s.configName(), "gone.tar")}, ocm.ErrInvalid, "gone.tar"},
		"configuration is another":      {[]entry{{name: s.configName(), body: s.config + " "}, layer, list(s.configName(), "l.tar")}, ocm.ErrDigest, "expected sha256"},
		"layer is another":              {[]entry{config, {name: "l.tar", body: "la-er"}, list(s.configName(), "l.tar")}, ocm.ErrDigest, ""},
		"compressed layer is another":   {[]entry{config, {name: "l.tar", body: string(gz(t, []byte("la-er")))}, list(s.configName(), "l.tar")}, ocm.ErrDigest, "layer 0"},
		"compressed layer is broken":    {[]entry{config, {name: "l.tar", body: "\x1f\x8bxx"}, list(s.configName(), "l.tar")}, ocm.ErrInvalid, ""},
		"one layer too many":            {[]entry{config, layer, list(s.configName(), "l.tar", "l.tar")}, ocm.ErrDigest, "1 layers"},
		"CVE-2024-3727 digest string":   {[]entry{traversal, layer, listTraversal}, ocm.ErrInvalid, "diff_ids"},
		"weak digest":                   {[]entry{md5, layer, listMD5}, ocm.ErrInvalid, "diff_ids"},
		"configuration is not JSON":     {[]entry{notJSON, layer, listNotJSON}, ocm.ErrInvalid, "configuration"},
		"configuration leaves":          {[]entry{config, layer, list("../../etc/passwd", "l.tar")}, ocm.ErrInvalid, ".."},
		"layer leaves":                  {[]entry{config, layer, list(s.configName(), "../l.tar")}, ocm.ErrInvalid, ".."},
		"layer is absolute":             {[]entry{config, layer, list(s.configName(), "/etc/passwd")}, ocm.ErrInvalid, ""},
		"link leaves":                   {[]entry{config, {name: "l.tar", flag: tar.TypeSymlink, link: "../../etc/passwd"}, list(s.configName(), "l.tar")}, ocm.ErrInvalid, "l.tar"},
		"absolute link":                 {[]entry{config, {name: "l.tar", flag: tar.TypeSymlink, link: "/etc/passwd"}, list(s.configName(), "l.tar")}, ocm.ErrInvalid, "l.tar"},
		"link to itself":                {[]entry{config, {name: "l.tar", flag: tar.TypeSymlink, link: "l.tar"}, list(s.configName(), "l.tar")}, ocm.ErrInvalid, "l.tar"},
		"device":                        {[]entry{config, {name: "l.tar", flag: tar.TypeChar}, list(s.configName(), "l.tar")}, ocm.ErrInvalid, "regular"},
		"entry twice":                   {[]entry{config, layer, layer, list(s.configName(), "l.tar")}, ocm.ErrInvalid, "twice"},
		"list twice":                    {[]entry{config, layer, list(s.configName(), "l.tar"), list(s.configName(), "l.tar")}, ocm.ErrInvalid, "twice"},
		"go-containerregistry #2306":    {append(m.entries("/")[1:], entry{name: "blobs/sha256/" + m.order[0].Encoded(), flag: tar.TypeSymlink, link: "/etc/passwd"}), ocm.ErrInvalid, "regular file"},
		"CVE-2021-41190 two images":     {append(append(m.entries("/"), foreign...), indexEntry("index.json", nil, root)), ocm.ErrInvalid, "lists others only"},
		"CVE-2021-41190 two kinds":      {append(append(both.entries("/"), modern[len(modern)-1], entry{name: "blobs/sha256/" + digest.FromString(s.config).Encoded(), body: s.config}, entry{name: "blobs/sha256/" + digest.FromString("layer").Encoded(), body: "layer"}), indexEntry("index.json", nil, confused)), ocm.ErrInvalid, "at once"},
		"manifest with one layer more":  {lyingManifest(t, s, "layer", "evil"), ocm.ErrDigest, "2 layers, its configuration 1"},
		"manifest with another layer":   {lyingManifest(t, s, "evil"), ocm.ErrDigest, "layer 0"},
		"CVE-2021-41190 two layers":     {lyingList(t, s), ocm.ErrDigest, "layer 0"},
		"manifest in the layout forged": {append(corrupted(modern, root), indexEntry("index.json", nil, root)), ocm.ErrDigest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bothWays(t, tarOf(t, c.entries...), "")
			wantError(t, err, c.kind, c.text)
		})
	}
}

// lyingManifest is an archive whose OCI manifest has the right configuration and other layers.
func lyingManifest(t testing.TB, s saved, layers ...string) []entry {
	m := &image{}
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.add(ociv1.MediaTypeImageConfig, []byte(s.config))
	for _, l := range layers {
		man.Layers = append(man.Layers, m.add(ociv1.MediaTypeImageLayer, []byte(l)))
	}
	root := m.addJSON(man.MediaType, man)
	list := listEntry(t, map[string]any{"Config": "blobs/sha256/" + man.Config.Digest.Encoded(), "Layers": []string{"blobs/sha256/" + man.Layers[0].Digest.Encoded()}})
	return append(m.entries("/"), list, indexEntry("index.json", nil, root))
}

// lyingList is an archive whose list and configuration agree, while the OCI manifest has another, compressed layer.
func lyingList(t testing.TB, s saved) []entry {
	m := &image{}
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.add(ociv1.MediaTypeImageConfig, []byte(s.config))
	man.Layers = append(man.Layers, m.add(ociv1.MediaTypeImageLayerGzip, gz(t, []byte("evil"))))
	root := m.addJSON(man.MediaType, man)
	good := m.add(ociv1.MediaTypeImageLayer, []byte("layer"))
	list := listEntry(t, map[string]any{"Config": "blobs/sha256/" + man.Config.Digest.Encoded(), "Layers": []string{"blobs/sha256/" + good.Digest.Encoded()}})
	return append(m.entries("/"), list, indexEntry("index.json", nil, root))
}

// corrupted are entries of which the manifest has other bytes than its name says.
func corrupted(entries []entry, d ociv1.Descriptor) []entry {
	out := append([]entry(nil), entries...)
	for i := range out {
		if strings.HasSuffix(out[i].name, d.Digest.Encoded()) {
			out[i].body = strings.Replace(out[i].body, "2", "3", 1)
		}
	}
	return out
}

// CVE-2023-25153: what an archive makes a reader hold is bounded, and so is what it makes it decompress.
func TestCVE_2023_25153_DockerArchiveBounds(t *testing.T) {
	t.Parallel()
	s := newSaved("layer")
	big := entry{name: "c.json", body: strings.Repeat(" ", MaxManifest+1)}
	_, err := bothWays(t, tarOf(t, big, listEntry(t, map[string]any{"Config": "c.json", "Layers": []string{}})), "")
	wantError(t, err, ocm.ErrLimit, "configuration")

	var entries []entry
	for i := range maxKept/4000 + 10 {
		entries = append(entries, entry{name: fmt.Sprintf("%d/%s", i, strings.Repeat(strings.Repeat("x", 99)+"/", 40))})
	}
	d := &dockerArchive{layout: newLayout(ocm.Content{}), files: map[string]dockerFile{}, links: map[string]string{}}
	for _, e := range entries {
		ts := newTarStream(t.Context(), bytes.NewReader(nil), 1)
		if err = d.entry(e.name, &tar.Header{Name: e.name, Typeflag: tar.TypeSymlink, Linkname: "x"}, ts, nil); err != nil {
			break
		}
	}
	wantError(t, err, ocm.ErrLimit, "names")

	ids := strings.Repeat(fmt.Sprintf("%q,", digest.FromString("x")), MaxChildren)
	_, err = diffIDs(fmt.Appendf(nil, `{"rootfs":{"diff_ids":[%s%q]}}`, ids, digest.FromString("x")))
	wantError(t, err, ocm.ErrLimit, "layers")

	m := &image{}
	nested, top := s.modern(t, m, ociv1.MediaTypeImageLayer)
	for range MaxDepth + 1 {
		top = m.index(top)
	}
	_, err = bothWays(t, tarOf(t, append(m.entries("/"), nested[len(nested)-1], indexEntry("index.json", nil, top))...), "")
	wantError(t, err, ocm.ErrLimit, "nested")

	bomb := gz(t, bytes.Repeat([]byte{0}, 1<<20))
	archive := tarOf(t, entry{name: "l.tar", body: string(bomb)})
	d = &dockerArchive{layout: newLayout(ocm.Content{Root: ociv1.Descriptor{Size: int64(len(archive))}, From: readerAtFetcher(archive)}), files: map[string]dockerFile{}, links: map[string]string{}}
	must(t, d.scan(t.Context(), d.entries))
	left := int64(1 << 19)
	_, err = d.layer(t.Context(), d.files["l.tar"], digest.FromString(s.config), &left)
	wantError(t, err, ocm.ErrLimit)
}

// skopeo writes the older form, with its own names.
func TestDockerArchiveOfSkopeo(t *testing.T) {
	t.Parallel()
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not on PATH")
	}
	dir := t.TempDir()
	m := &image{}
	first, second := tarOf(t, entry{name: "a", body: "first"}), tarOf(t, entry{name: "b", body: "second"})
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.addJSON(ociv1.MediaTypeImageConfig, ociv1.Image{Platform: ociv1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(first), digest.FromBytes(second)}}})
	for _, l := range [][]byte{first, second} {
		man.Layers = append(man.Layers, m.add(ociv1.MediaTypeImageLayerGzip, gz(t, l)))
	}
	root := m.addJSON(man.MediaType, man)
	layout := tarOf(t, append(m.entries("/"), entry{name: ociv1.ImageLayoutFile, body: `{"imageLayoutVersion":"1.0.0"}`}, indexEntry("index.json", nil, tagged(root, "1.0")))...)
	must(t, os.WriteFile(filepath.Join(dir, "layout.tar"), layout, 0o600))
	cmd := exec.Command(skopeo, "--insecure-policy", "copy", "--tmpdir", dir, "oci-archive:layout.tar:1.0", "docker-archive:saved.tar:acme.org/app:1.0")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "saved.tar"))
	must(t, err)
	c, err := bothWays(t, b, "acme.org/app:1.0")
	must(t, err)
	raw, err := ReadAll(t.Context(), c.From, c.Root, MaxManifest)
	must(t, err)
	var got ociv1.Manifest
	must(t, json.Unmarshal(raw, &got))
	if len(got.Layers) != 2 || got.Layers[0].Digest != digest.FromBytes(first) || got.Layers[1].Digest != digest.FromBytes(second) {
		t.Errorf("found %s", raw)
	}
	all := t.TempDir()
	var out bytes.Buffer
	must(t, WriteLayout(t.Context(), &out, c, "1.0"))
	must(t, os.WriteFile(filepath.Join(all, "l.tar"), out.Bytes(), 0o600))
	cmd = exec.Command(skopeo, "--insecure-policy", "inspect", "--config", "oci-archive:"+filepath.Join(all, "l.tar")+":1.0")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("amd64")) {
		t.Errorf("%v: %s", err, out)
	}
}

// FuzzDockerArchive: nothing panics, and reading in place and as a stream agree.
func FuzzDockerArchive(f *testing.F) {
	s := newSaved("first layer", "second layer")
	f.Add(tarOf(f, s.legacy(f, "acme/app:1.0")...))
	m := &image{}
	entries, root := s.modern(f, m, ociv1.MediaTypeImageLayer)
	f.Add(tarOf(f, append(entries, indexEntry("index.json", nil, root))...))
	m = &image{}
	entries, root = s.modern(f, m, ociv1.MediaTypeImageLayerGzip)
	f.Add(tarOf(f, append(entries, indexEntry("index.json", nil, root))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := bothWays(t, b, ""); err == nil && (c.Root.Digest == "" || !IsManifest(c.Root.MediaType)) {
			t.Errorf("found %+v", c.Root)
		}
	})
}
