// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

const appYAML = "apiVersion: v2\nname: app\nversion: 1.0.0\n"

// folder writes files into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// packed are the files of the archive of a folder, in their order.
func packed(t testing.TB, dir, name string) (names []string, files map[string]string, sum digest.Digest, err error) {
	t.Helper()
	c, err := Dir(dir, name)
	if err != nil {
		return nil, nil, "", err
	}
	rc, err := c.Open(t.Context())
	if err != nil {
		return nil, nil, "", err
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		return nil, nil, "", err
	}
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return names, files, digest.FromBytes(raw), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(tr)
		if err != nil || h.Mode != 0o644 || h.ModTime.Unix() != 0 || h.Uid != 0 || h.Uname != "" || h.Typeflag != tar.TypeReg {
			t.Errorf("%+v %v", h, err)
		}
		names, files[h.Name] = append(names, h.Name), string(text)
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"c/Chart.yaml":  appYAML + "dependencies: [{name: dep, version: 1.x, repository: 'https://example.com'}, {name: lib, version: 1.0.0, repository: ''}]\n",
		"c/.helmignore": "# comment\n*.bak\n/top.txt\nsecret/\ndocs/*.md\n", "c/values.yaml": "a: 1\n", "c/templates/x.yaml": "x", "c/templates/.hidden": "h",
		"c/x.bak": "", "c/top.txt": "", "c/sub/top.txt": "kept", "c/secret/key": "", "c/docs/a.md": "", "c/docs/a.txt": "kept", "c/Chart.lock": "dependencies: []\n",
		"c/charts/dep-1.2.3.tgz": "tgz", "c/charts/lib/Chart.yaml": "lib", "c/crds/a.yaml": "crd",
	}
	dir := folder(t, files)
	names, got, sum, err := packed(t, dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	want := "Chart.yaml .helmignore Chart.lock charts/dep-1.2.3.tgz charts/lib/Chart.yaml crds/a.yaml docs/a.txt sub/top.txt templates/x.yaml values.yaml"
	if found := strings.ReplaceAll(strings.Join(names, " "), "app/", ""); found != want {
		t.Errorf("expected %s\nfound %s", want, found)
	}
	if got["app/values.yaml"] != "a: 1\n" || got["app/Chart.yaml"] != files["c/Chart.yaml"] {
		t.Errorf("contents: %q", got)
	}
	// another machine, another umask, other times
	other := folder(t, files)
	if err := os.Chmod(filepath.Join(other, "c", "values.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, again, err := packed(t, other, "c"); err != nil || again != sum {
		t.Errorf("packed again: expected %s, found %s %v", sum, again, err)
	}
	const golden = "sha256:05edd9675d105015ff71173623d11a51426ca0a54b1a97cc577dbd163285b96f"
	if sum != golden {
		t.Errorf("the bytes of a packed chart have changed: expected %s, found %s", golden, sum)
	}
}

func TestDirThatIsNoGoodChart(t *testing.T) {
	t.Parallel()
	link := func(from, to string) map[string]string { return map[string]string{"link:" + from: to} }
	for name, c := range map[string]struct {
		files map[string]string
		want  error
		text  string
	}{
		"no chart":           {map[string]string{"Chart.yaml": ""}, ocm.ErrInvalid, "apiVersion"},
		"no Chart.yaml":      {map[string]string{"Chart.yaml": "-"}, ocm.ErrNotFound, "is it the folder of a chart?"},
		"no version":         {map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\n"}, ocm.ErrInvalid, "version"},
		"bad version":        {map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: a/b\n"}, ocm.ErrInvalid, "version"},
		"no YAML":            {map[string]string{"Chart.yaml": "a: [\n"}, ocm.ErrInvalid, "Chart.yaml"},
		"dependency":         {map[string]string{"Chart.yaml": appYAML + "dependencies: [{name: dep}]\n"}, ocm.ErrNotFound, "helm dependency build"},
		"older dependency":   {map[string]string{"Chart.yaml": strings.Replace(appYAML, "v2", "v1", 1), "requirements.yaml": "dependencies: [{name: dep}]\n"}, ocm.ErrNotFound, "dependency dep"},
		"another dependency": {map[string]string{"Chart.yaml": appYAML + "dependencies: [{name: dep}]\n", "charts/dep-other-1.0.0.tgz": ""}, ocm.ErrNotFound, "dependency dep"},
		"bad .helmignore":    {map[string]string{".helmignore": "a/**\n"}, ocm.ErrInvalid, "a/**"},
		"ignored":            {map[string]string{".helmignore": "Chart.*\n"}, ocm.ErrInvalid, "leaves out Chart.yaml"},
		"link out":           {link("values.yaml", "../other"), ocm.ErrInvalid, "values.yaml: a symbolic link"},
		"link up":            {link("a/b", ".."), ocm.ErrInvalid, "leads back"},
		"link to nothing":    {link("values.yaml", "gone"), ocm.ErrNotFound, "values.yaml"},
		"bomb":               {map[string]string{"Chart.yaml": appYAML + "description: &a " + strings.Repeat("x", 100_000) + "\nkeywords: [" + strings.Repeat("*a,", 100) + "]\n"}, ocm.ErrLimit, "Chart.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{"c/Chart.yaml": appYAML, "c/values.yaml": "", "c/a/x": "", "other": "secret"})
			for file, text := range c.files {
				path := filepath.Join(dir, "c", strings.TrimPrefix(file, "link:"))
				_ = os.RemoveAll(path)
				switch {
				case strings.HasPrefix(file, "link:"):
					if err := os.Symlink(text, path); err != nil {
						t.Fatal(err)
					}
				case text != "-":
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, _, _, err := packed(t, dir, "c")
			fixture.WantErr(t, err, c.want, c.text)
		})
	}
}

func TestFolderThatIsTooLargeForAChart(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"c/Chart.yaml": appYAML, "c/video": ""})
	if err := os.Truncate(filepath.Join(dir, "c", "video"), MaxUnpacked); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := packed(t, dir, "c")
	fixture.WantErr(t, err, ocm.ErrLimit, ".helmignore leaves files out")
}

func TestLinksInsideAChartAreFollowed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"c/Chart.yaml": appYAML, "c/.helmignore": "out\n", "c/files/x": "x", "elsewhere": "secret"})
	for from, to := range map[string]string{"values.yaml": "files/x", "templates": "files", "out": "../elsewhere"} {
		if err := os.Symlink(to, filepath.Join(dir, "c", from)); err != nil {
			t.Fatal(err)
		}
	}
	_, files, _, err := packed(t, dir, "c")
	if err != nil || files["app/values.yaml"] != "x" || files["app/templates/x"] != "x" || len(files) != 5 {
		t.Errorf("%v %v", files, err)
	}
}

// A chart's Chart.lock, or any other file, that is a link to what the author may read must not be packed.
func TestCVE_2025_53547_ChartLockIsALink(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"inside/c/Chart.yaml": appYAML, "secret": "hunter2"})
	for _, to := range []string{filepath.Join(dir, "secret"), "../../secret"} {
		lock := filepath.Join(dir, "inside", "c", "Chart.lock")
		_ = os.Remove(lock)
		if err := os.Symlink(to, lock); err != nil {
			t.Fatal(err)
		}
		_, files, _, err := packed(t, filepath.Join(dir, "inside"), "c")
		fixture.WantErr(t, err, ocm.ErrInvalid, "Chart.lock")
		if len(files) > 0 {
			t.Errorf("packed: %v", files)
		}
	}
	// nor may the chart itself be a link that leads out
	if err := os.Symlink(dir, filepath.Join(dir, "inside", "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(filepath.Join(dir, "inside"), "link/inside/c"); err == nil {
		t.Error("a chart outside was packed")
	}
}

// Names of charts become names of files and folders.
func TestCVE_2024_25620_CVE_2026_35204_CVE_2026_35206_NamesOfCharts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../app", "..", ".", "a/b", `a\b`, "/app", ".app", "-app", "a b", "a\u202eb/..", "c:app", strings.Repeat("x", 251), ""} {
		_, err := ParseMeta(fmt.Appendf(nil, "apiVersion: v2\nversion: 1.0.0\nname: %q\n", name))
		fixture.WantErr(t, err, ocm.ErrInvalid, "name")
		if _, err := (&Meta{Name: name, Version: "1.0.0"}).FileName(); err == nil {
			t.Errorf("%q became the name of a file", name)
		}
	}
	for _, version := range []string{"../1.0.0", "1.0.0/..", "", ".", "1.0.0-../x", `1.0.0+a\b`, "1.0.0-" + strings.Repeat("x", 300)} {
		if _, err := (&Meta{Name: "app", Version: version}).FileName(); err == nil {
			t.Errorf("version %q became part of the name of a file", version)
		}
	}
	if _, err := ParseMeta([]byte(appYAML + "dependencies: [{name: ../dep}]\n")); err == nil {
		t.Error("the name of a dependency leads out of its folder")
	}
	if got, err := (&Meta{Name: "my.app_2-x", Version: "v1.0.0-rc.1+b"}).FileName(); err != nil || got != "my.app_2-x-v1.0.0-rc.1+b.tgz" {
		t.Errorf("%q %v", got, err)
	}
}

// entry is one of an archive that is made by hand.
type entry struct {
	name, text string
	kind       byte
	size       int64 // zeros, if there is no text
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Mode: 0o644, Size: e.size}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg && e.size == 0 {
			h.Size = int64(len(e.text))
		} else if h.Typeflag != tar.TypeReg {
			h.Linkname = e.text
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		switch {
		case e.size > 0:
			_, err = io.CopyN(tw, zeros{}, e.size)
		case h.Typeflag == tar.TypeReg:
			_, err = io.WriteString(tw, e.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What an archive contains must stay in the chart's folder when somebody unpacks it.
func TestCVE_2019_18658_CVE_2026_35204_EntriesOfArchives(t *testing.T) {
	t.Parallel()
	good := entry{name: "app/Chart.yaml", text: appYAML}
	for _, e := range []entry{
		{name: "../evil"}, {name: "app/../../evil"}, {name: "app/.."}, {name: "/app/evil"}, {name: `app\..\..\evil`}, {name: `c:\evil`}, {name: "app/c:/evil"}, {name: "evil"}, {name: "app//abs"},
		{name: "app/link", text: "/etc/passwd", kind: tar.TypeSymlink}, {name: "app/link", text: "app/Chart.yaml", kind: tar.TypeLink}, {name: "app/pipe", kind: tar.TypeFifo}, {name: "app/Chart.yaml", text: appYAML},
	} {
		if _, err := Scan(bytes.NewReader(archive(t, good, e))); err == nil {
			t.Errorf("%+v is accepted", e)
		} else {
			fixture.WantErr(t, err, ocm.ErrInvalid)
		}
	}
	for _, e := range []entry{{name: "app/", kind: tar.TypeDir}, {name: "app/a/b", text: "x"}, {name: `app\a\b`, text: "x"}, {name: "app/..data", text: "x"}} {
		if m, err := Scan(bytes.NewReader(archive(t, e, good))); err != nil || m.Name != "app" {
			t.Errorf("%+v: %v", e, err)
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "plain": []byte("text"), "empty": archive(t), "no chart": archive(t, entry{name: "app/x", text: "x"}), "cut": archive(t, good)[:40]} {
		if _, err := Scan(bytes.NewReader(raw)); err == nil {
			t.Errorf("%s: is accepted", name)
		}
	}
}

// A small archive must not become a large one.
func TestCVE_2025_32386_ArchiveThatIsABomb(t *testing.T) {
	t.Parallel()
	good := entry{name: "app/Chart.yaml", text: appYAML}
	bomb := archive(t, good, entry{name: "app/bomb", size: MaxUnpacked})
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	_, _, err := Artifact(t.Context(), blob.Bytes(MediaTypeContent, bomb), nil)
	fixture.WantErr(t, err, ocm.ErrLimit, "after decompression")
	_, err = Head(bytes.NewReader(archive(t, entry{name: "app/bomb", size: MaxUnpacked}, good)))
	fixture.WantErr(t, err, ocm.ErrLimit)
	_, err = Scan(bytes.NewReader(archive(t, entry{name: "app/Chart.yaml", size: MaxMetadata + 1})))
	fixture.WantErr(t, err, ocm.ErrLimit)
	many := make([]entry, MaxFiles+1)
	for i := range many {
		many[i] = entry{name: fmt.Sprintf("app/%d", i)}
	}
	_, err = Scan(bytes.NewReader(archive(t, append(many, good)...)))
	fixture.WantErr(t, err, ocm.ErrLimit, "entries")
	// after the archive's end, where tar readers stop
	var tail bytes.Buffer
	tail.Write(archive(t, good))
	zw, err := gzip.NewWriterLevel(&tail, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(zw, zeros{}, MaxUnpacked); err != nil || zw.Close() != nil {
		t.Fatal(err)
	}
	_, err = Scan(&tail)
	fixture.WantErr(t, err, ocm.ErrLimit)
}

func signed(archive []byte) []byte {
	return []byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nfiles:\n  app-1.0.0.tgz: " + digest.FromBytes(archive).String() + "\n-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n")
}

func TestArtifact(t *testing.T) {
	t.Parallel()
	tgz := archive(t, entry{name: "app/Chart.yaml", text: appYAML + "description: a <b> & c\nhome: https://example.com\nsources: [s1, s2]\nappVersion: 1.10\nmaintainers: [{name: A, email: a@example.com}, {name: B}]\n" +
		"annotations: {x: why, org.opencontainers.image.title: other, org.opencontainers.image.version: '9'}\n"})
	c, m, err := Artifact(t.Context(), blob.Bytes("text/plain", tgz), signed(tgz))
	if err != nil || m.Name != "app" {
		t.Fatal(err)
	}
	if err := blob.Check(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	raw, err := blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"annotations":{"org.opencontainers.image.authors":"A (a@example.com), B","org.opencontainers.image.description":"a \u003cb\u003e \u0026 c","org.opencontainers.image.source":"s1",` +
			`"org.opencontainers.image.title":"app","org.opencontainers.image.url":"https://example.com","org.opencontainers.image.version":"1.0.0","x":"why"}`,
		`"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"` + digest.FromBytes(tgz).String(), `"mediaType":"application/vnd.cncf.helm.chart.provenance.v1.prov"`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("expected %s\nin %s", want, raw)
		}
	}
	again, _, err := Artifact(t.Context(), blob.Bytes("text/plain", tgz), signed(tgz))
	if err != nil || again.Root.Digest != c.Root.Digest {
		t.Errorf("made again: %s %v", again.Root.Digest, err)
	}
	for name, content := range map[string]ocm.Content{"artifact": c, "archive": blob.Bytes("application/octet-stream", tgz), "layout": layoutOf(t, c)} {
		found, err := Find(t.Context(), content)
		if err != nil || found.Meta.Version != "1.0.0" {
			t.Fatalf("%s: %v", name, err)
		}
		if got := all(t, found.Archive); got != string(tgz) {
			t.Errorf("%s: another archive", name)
		}
		if (found.Provenance != nil) != (name != "archive") || found.Provenance != nil && all(t, *found.Provenance) != string(signed(tgz)) {
			t.Errorf("%s: provenance: %v", name, found.Provenance)
		}
	}
	for name, content := range map[string]ocm.Content{"image": fixture.Image("x"), "index": fixture.Index("x"), "text": blob.Bytes("text/plain", []byte("x"))} {
		_, err := Find(t.Context(), content)
		if err == nil {
			t.Errorf("%s is a chart", name)
		}
		fixture.WantErr(t, err, ocm.ErrInvalid)
	}
}

func layoutOf(t *testing.T, c ocm.Content) ocm.Content {
	t.Helper()
	var b bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &b, c, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	return blob.Bytes(blob.MediaTypeLayout, b.Bytes())
}

func all(t *testing.T, c ocm.Content) string {
	t.Helper()
	rc, err := blob.OpenContent(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A provenance file that is not about the archive must not be shipped as if it were.
func TestCVE_2026_35205_ProvenanceOfAnotherArchive(t *testing.T) {
	t.Parallel()
	tgz := archive(t, entry{name: "app/Chart.yaml", text: appYAML})
	sum := digest.FromBytes(tgz).String()
	for text, want := range map[string]error{
		string(signed([]byte("other"))): ocm.ErrDigest, "": ocm.ErrInvalid, sum: ocm.ErrInvalid, sum + "-----BEGIN PGP SIGNATURE-----": ocm.ErrInvalid,
		string(signed([]byte("other"))) + sum: ocm.ErrDigest, // what is not signed does not count
	} {
		_, _, err := Artifact(t.Context(), blob.Bytes(MediaTypeContent, tgz), []byte(text))
		fixture.WantErr(t, err, want, "provenance file")
	}
}

// A malicious repository must not fill the memory with its index.
func TestCVE_2024_29893_Index(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"many values": "apiVersion: v1\nentries:\n  a:" + strings.Repeat("\n  - {}", maxIndexNodes),
		"large":       "apiVersion: v1\nx: " + strings.Repeat("x", MaxIndex),
		"aliases":     "apiVersion: v1\nx: &x " + strings.Repeat("x", 1<<20) + "\nentries: {a: [" + strings.Repeat("{version: *x},", 100) + "]}\n",
	} {
		_, err := ParseIndex([]byte(raw))
		if err == nil {
			t.Fatalf("%s: is accepted", name)
		}
		fixture.WantErr(t, err, ocm.ErrLimit)
	}
	for name, raw := range map[string]string{"nothing": "", "html": "<html>log in</html>", "list": "- a", "no index": "entries: {}", "wrong kind": "apiVersion: v1\nentries: {a: {b: c}}"} {
		if _, err := ParseIndex([]byte(raw)); err == nil {
			t.Errorf("%s: is accepted", name)
		}
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	x, err := ParseIndex([]byte("apiVersion: v1\nentries:\n  app:\n  - {version: 1.0, urls: [a.tgz]}\n  - {version: 1.5.0, urls: []}\n  - {version: 1.6.0, urls: [b], digest: sha512-abc}\n" +
		"  - {version: 1.7.0, urls: [c], digest: 'SHA256:" + strings.Repeat("AB", 32) + "'}\n  - {version: odd, urls: [d]}\n  - {version: 1.0, urls: [second.tgz]}\n  none: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := x.Find("app", "1.0"); err != nil || e.URL != "a.tgz" || e.Digest != "" {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := x.Find("app", "1.7.0"); err != nil || e.Digest != digest.NewDigestFromEncoded("sha256", strings.Repeat("ab", 32)) {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := x.Find("app", "odd"); err != nil || e.URL != "d" {
		t.Errorf("%+v %v", e, err)
	}
	for _, c := range []struct {
		name, version string
		want          error
		text          string
	}{
		{"app", "1.5.0", ocm.ErrInvalid, "address"}, {"app", "1.6.0", ocm.ErrInvalid, "sha512-abc"}, {"app", "other", ocm.ErrInvalid, "neither a version nor a range"},
		{"none", "", ocm.ErrNotFound, "versions: none"}, {"ap", "", ocm.ErrNotFound, "did you mean app?"}, {"zzzzzzzz", "", ocm.ErrNotFound, "there are: app, none"},
		{"app", strings.Repeat("1", 300), ocm.ErrInvalid, "300 characters"},
	} {
		_, err := x.Find(c.name, c.version)
		fixture.WantErr(t, err, c.want, c.text)
	}
	many, err := ParseIndex([]byte("apiVersion: v1\nentries: {aa: [], ab: [], ac: [], ad: [], ae: [], af: [], \"\\e[31m\": []}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = many.Find("unknown-thing", "")
	fixture.WantErr(t, err, ocm.ErrNotFound, "and 2 more")
	if strings.Contains(err.Error(), "\x1b") {
		t.Errorf("the message steers the terminal: %q", err)
	}
}

func TestIgnoreRules(t *testing.T) {
	t.Parallel()
	r, err := parseRules("\ufeff*.txt\n  # no\n\n/a/b\ndir/\nx/*.y\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a.txt": true, "deep/a.txt": true, "a/b": true, "c/a/b": false, "dir/": true, "dir": false, "c/dir/": true, "x/1.y": true, "z/x/1.y": false, "templates/.x": true, "templates/x": false, ".x": false,
	} {
		plain, isDir := strings.CutSuffix(name, "/")
		if got := r.ignores(plain, isDir); got != want {
			t.Errorf("%s: expected %v, found %v", name, want, got)
		}
	}
	// as helm has it, everything but what matches
	r, err = parseRules("!keep.*\n")
	if err != nil || r.ignores("keep.me", false) || !r.ignores("other", false) {
		t.Error(r, err)
	}
	if _, err := parseRules("[\n"); err == nil {
		t.Error("a malformed pattern is accepted")
	}
}

func FuzzScan(f *testing.F) {
	f.Add(archive(f, entry{name: "app/Chart.yaml", text: appYAML}, entry{name: "app/requirements.yaml", text: "dependencies: []\n"}))
	f.Add(archive(f, entry{name: "app/Chart.yaml", text: appYAML}, entry{name: "../x", text: "x"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Scan(bytes.NewReader(raw))
		if err != nil {
			return
		}
		name, err := m.FileName()
		if err != nil || !filepath.IsLocal(name) || filepath.Base(name) != name {
			t.Errorf("%q %v", name, err)
		}
		if h, err := Head(bytes.NewReader(raw)); err != nil || h.Name != m.Name {
			t.Errorf("the archive's head says something else: %v", err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(appYAML))
	f.Add([]byte(appYAML + "dependencies: [{name: a, import-values: [{a: b}, c]}]\nmaintainers: [{name: x}]\nannotations: {a: b}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseMeta(raw)
		if err != nil {
			return
		}
		config, err := m.config()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseConfig(config)
		if err != nil || again.Name != m.Name || again.Version != m.Version {
			t.Errorf("%s: %v", config, err)
		}
		m.ociAnnotations()
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [a.tgz], digest: abc}]}\n"), "app", "1.x")
	f.Add([]byte("apiVersion: v1\nentries: {app: &a [{version: 1.0.0, urls: [a.tgz]}], b: *a}\n"), "b", "")
	f.Fuzz(func(t *testing.T, raw []byte, name, version string) {
		x, err := ParseIndex(raw)
		if err != nil {
			return
		}
		for _, n := range append(slices.Collect(maps.Keys(x.charts)), name) {
			if e, err := x.Find(n, version); err == nil && e.URL == "" && len(x.charts[n]) == 0 {
				t.Errorf("%q: %+v", n, e)
			}
		}
	})
}

func FuzzIgnore(f *testing.F) {
	f.Add("*.txt\n!a\n/b/\n", "a/b.txt")
	f.Fuzz(func(_ *testing.T, text, name string) {
		if r, err := parseRules(text); err == nil {
			r.ignores(name, true)
			r.ignores(name, false)
		}
	})
}
