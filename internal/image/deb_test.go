// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocm"
)

func needsDpkg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb: apt-get install dpkg")
	}
}

// tarOf is an archive of headers; a regular file has its name as content.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		err := w.WriteHeader(&h)
		if err == nil && h.Typeflag == tar.TypeReg {
			_, err = w.Write([]byte(h.Name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("sparsX"), []byte("sparse")) // which the writer refuses
}

// writeDeb makes a package by hand, as no tool would.
func writeDeb(t *testing.T, path, control string, data []byte) {
	t.Helper()
	var c bytes.Buffer
	w := tar.NewWriter(&c)
	if err := w.WriteHeader(&tar.Header{Name: "./control", Mode: 0o644, Size: int64(len(control))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(control))
	w.Close()
	b := []byte("!<arch>\n")
	for _, m := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", c.Bytes()}, {"data.tar", data}} {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.content))
		b = append(b, m.content...)
		if len(m.content)%2 == 1 {
			b = append(b, '\n')
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func control(name, arch string) string {
	return "Package: " + name + "\nVersion: 1:2.0+x~1\nArchitecture: " + arch + "\nMaintainer: M <m@acme.org>\nDescription: d\n more\n"
}

// debTree unpacks one package of these entries.
func debTree(t *testing.T, text, recipeText string, headers ...tar.Header) (*tree, error) {
	t.Helper()
	r, err := parseRecipe([]byte(recipeText))
	if err != nil {
		t.Fatal(err)
	}
	d := deb{path: filepath.Join(t.TempDir(), "a.deb")}
	writeDeb(t, d.path, text, tarOf(t, headers...))
	tr := newTree()
	return tr, d.unpack(t.Context(), "amd64", r, tr)
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	needsDpkg(t)
	tr, err := debTree(t, control("aa", "all"), "without /opt/* /srv",
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./lib64/ld.so", Typeflag: tar.TypeSymlink, Linkname: "/lib/x/ld.so"},
		tar.Header{Name: "./lib/x/ld.so", Typeflag: tar.TypeReg, Mode: 0o4755},
		tar.Header{Name: "./usr/lib/", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "./usr/bin/b", Typeflag: tar.TypeReg, Mode: 0o755, Uid: 7},
		tar.Header{Name: "./bin/c", Typeflag: tar.TypeLink, Linkname: "./usr/bin/b"},
		tar.Header{Name: "./usr/share/doc/aa/copyright", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "./usr/share/doc/aa/README", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "./opt/x/y", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "./srv/", Typeflag: tar.TypeDir, Mode: 0o755},
	)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, e := range tr.entries {
		got = append(got, fmt.Sprintf("%s %c %o %d %s%s", name, e.kind, e.mode, e.uid, e.link, strings.ReplaceAll(string(e.content), "\n", "|")))
	}
	slices.Sort(got)
	want := []string{
		"bin 2 777 0 usr/bin", "lib 2 777 0 usr/lib", "lib64 2 777 0 usr/lib64",
		"usr 5 755 0 ", "usr/bin 5 755 0 ", "usr/bin/b 0 755 0 ./usr/bin/b", "usr/bin/c 0 755 0 ./usr/bin/b",
		"usr/lib 5 700 0 ", "usr/lib/x 5 755 0 ", "usr/lib/x/ld.so 0 755 0 ./lib/x/ld.so", "usr/lib64 5 755 0 ", "usr/lib64/ld.so 2 777 0 ../lib/x/ld.so",
		"usr/share 5 755 0 ", "usr/share/doc 5 755 0 ", "usr/share/doc/aa 5 755 0 ", "usr/share/doc/aa/copyright 0 644 0 ./usr/share/doc/aa/copyright",
		"var 5 755 0 ", "var/lib 5 755 0 ", "var/lib/dpkg 5 755 0 ", "var/lib/dpkg/status.d 5 755 0 ",
		"var/lib/dpkg/status.d/aa 0 644 0 " + strings.ReplaceAll(control("aa", "all"), "\n", "|"),
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("unpacked\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e, ok := tr.follow("/lib64/ld.so"); !ok || string(e.content) != "./lib/x/ld.so" {
		t.Error("the loader is not found by its old name", e)
	}
}

func TestHostilePackages(t *testing.T) {
	t.Parallel()
	needsDpkg(t)
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	hard := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
	}
	ok := control("aa", "amd64")
	for _, c := range []struct {
		name, control string
		entries       []tar.Header
		want          error
	}{
		{"path with dots", ok, []tar.Header{file("../evil")}, ocm.ErrInvalid},
		{"dots within", ok, []tar.Header{file("./a/../../evil")}, ocm.ErrInvalid},
		{"dots that stay inside", ok, []tar.Header{file("./a/../b")}, ocm.ErrInvalid},
		{"absolute path", ok, []tar.Header{file("/etc/evil")}, ocm.ErrInvalid},
		{"link out", ok, []tar.Header{link("./a/b", "../../etc")}, ocm.ErrInvalid},
		{"link out by the root", ok, []tar.Header{link("./a/b", "/../etc")}, ocm.ErrInvalid},
		{"through a link", ok, []tar.Header{link("./a", "etc"), file("./a/passwd")}, ocm.ErrExists},
		{"through a link that moves", ok, []tar.Header{file("./usr/lib/x"), link("./usr/lib/y", "/etc"), file("./lib/y/passwd")}, ocm.ErrExists},
		{"link over a folder", ok, []tar.Header{file("./a/b"), link("./a", "etc")}, ocm.ErrExists},
		{"file twice", ok, []tar.Header{file("./a"), file("a")}, ocm.ErrExists},
		{"the merged folder as a file", ok, []tar.Header{file("./lib/a"), file("./usr/lib")}, ocm.ErrExists},
		{"hard link out", ok, []tar.Header{hard("./a", "/etc/shadow")}, ocm.ErrInvalid},
		{"hard link with dots", ok, []tar.Header{hard("./a", "../etc/shadow")}, ocm.ErrInvalid},
		{"hard link to what another package may have", ok, []tar.Header{hard("./a", "./var/lib/dpkg/status.d/aa")}, ocm.ErrInvalid},
		{"hard link to what is left out", ok, []tar.Header{file("./usr/share/doc/x"), hard("./a", "./usr/share/doc/x")}, ocm.ErrInvalid},
		{"device", ok, []tar.Header{{Name: "./dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8}}, ocm.ErrInvalid},
		{"terminal", ok, []tar.Header{{Name: "./dev/tty", Typeflag: tar.TypeChar}}, ocm.ErrInvalid},
		{"pipe", ok, []tar.Header{{Name: "./a", Typeflag: tar.TypeFifo}}, ocm.ErrInvalid},
		{"sparse", ok, []tar.Header{{Name: "./a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparsX.major": "9"}}}, ocm.ErrInvalid},
		{"status of another package", ok, []tar.Header{file("./var/lib/dpkg/status.d/aa")}, ocm.ErrExists},
		{"another architecture", control("aa", "arm64"), nil, ocm.ErrInvalid},
		{"name with a path", control("../a", "amd64"), nil, ocm.ErrInvalid},
		{"no version", "Package: a\nArchitecture: all\n", nil, ocm.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := debTree(t, c.control, "", c.entries...); !errors.Is(err, c.want) {
				if _, isExit := errors.AsType[*exec.ExitError](err); !isExit || c.entries != nil { // dpkg-deb was faster
					t.Errorf("got %v, expected %v", err, c.want)
				}
			}
		})
	}
}

func TestPackageThatIsCutShortOrAnother(t *testing.T) {
	t.Parallel()
	needsDpkg(t)
	d := deb{path: filepath.Join(t.TempDir(), "a.deb")}
	writeDeb(t, d.path, control("aa", "all"), tarOf(t, tar.Header{Name: "./a", Typeflag: tar.TypeReg}))
	raw, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 7, 100, len(raw) - 1500, len(raw) - 1100} {
		if err := os.WriteFile(d.path, raw[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.unpack(t.Context(), "amd64", recipe{}, newTree()); err == nil {
			t.Errorf("cut short after %d bytes of %d: no error", n, len(raw))
		}
	}
	d.expected = strings.Repeat("0", 64)
	if err := d.unpack(t.Context(), "amd64", recipe{}, newTree()); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("a package of another digest: %v", err)
	}
}

// The same packages give the same bytes, wherever, whenever and by whom they are made into an image. Not parallel: the umask is the process'.
func TestImageOfPackagesIsReproducible(t *testing.T) {
	needsDpkg(t)
	var images, bills [][]byte
	for i, mask := range []int{0o022, 0o077} {
		old := syscall.Umask(mask)
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, strings.Repeat("x/", i), name) }
		write := func(name, text string, mode os.FileMode) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(at(name)), 0o755), os.WriteFile(at(name), []byte(text), mode), os.Chmod(at(name), mode)); err != nil { //nolint:gosec // as packages are
				t.Fatal(err)
			}
		}
		if i == 0 {
			for _, p := range []string{"zlib++", "base"} {
				write(p+"/DEBIAN/control", control(p, "all"), 0o644)
				write(p+"/opt/"+p, p, 0o755)
				if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--build", "--root-owner-group", at(p), at("debs-"+p+".deb")).CombinedOutput(); err != nil {
					t.Fatal(err, string(out))
				}
			}
			images = append(images, nil)
			t.Setenv("DEBS", dir)
		} else {
			for _, p := range []string{"zlib++", "base"} {
				raw, err := os.ReadFile(filepath.Join(os.Getenv("DEBS"), "debs-"+p+".deb"))
				if err != nil {
					t.Fatal(err)
				}
				write("debs-"+p+".deb", string(raw), 0o600)
				if err := os.Chtimes(at("debs-"+p+".deb"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
			}
		}
		write("recipe", "version base\naccount db 999 /db\nfolder /db 999 0700\nlink /var/run /run\n", 0o600)
		write("program", "program", 0o600)
		o := options{out: at("image.tar"), name: "start", recipe: at("recipe"), debs: filepath.Dir(at("recipe")), sbom: at("bill.json"), config: program()}
		if err := run(t.Context(), o, []string{"linux/amd64=" + at("program")}); err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(o.out)
		doc, err2 := os.ReadFile(o.sbom)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		images, bills = append(images, image), append(bills, doc)
		syscall.Umask(old)
	}
	if !bytes.Equal(images[1], images[2]) || !bytes.Equal(bills[0], bills[1]) {
		t.Error("two runs differ")
	}
	checkBill(t, bills[0])
}

func checkBill(t *testing.T, raw []byte) {
	t.Helper()
	var doc spdxDocument
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range doc.Packages {
		if len(p.Checksums) != 1 || len(p.Checksums[0].Value) != 64 {
			t.Errorf("%s has the digests %v", p.Name, p.Checksums)
		}
		for _, r := range p.Refs {
			got = append(got, p.ID+" "+r.Locator)
		}
	}
	want := []string{"SPDXRef-deb-base pkg:deb/debian/base@1:2.0%2Bx~1?arch=all", "SPDXRef-deb-zlib-plus-plus pkg:deb/debian/zlib%2B%2B@1:2.0%2Bx~1?arch=all"}
	if !slices.Equal(got, want) || len(doc.Relationships) != 4 {
		t.Errorf("the bill names\n%q\nexpected\n%q\nand has %d relations", got, want, len(doc.Relationships))
	}
}

// What needs a library that no package brings is found before anybody starts it.
func TestLibrariesAreThere(t *testing.T) {
	t.Parallel()
	sh, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.HasPrefix(sh, []byte(elf.ELFMAG)) {
		t.Skip("needs a linked /bin/sh")
	}
	needs, _, err := linked(sh)
	if err != nil || len(needs) < 2 {
		t.Skip("/bin/sh is not linked with anything", err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		tr := newTree()
		add := func(name string, content []byte) {
			if err := tr.add(name, file(below, 0o755, content)); err != nil {
				t.Fatal(err)
			}
		}
		add("usr/bin/sh", sh)
		if err := resolved(tr, arch); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), needs[0]) {
			t.Errorf("without %q: %v", needs, err)
		}
		for _, n := range needs {
			if !strings.Contains(n, "/") {
				add("usr/lib/"+triplets[arch]+"/real-"+n, []byte("library"))
				if err := tr.addLink("usr/lib/"+triplets[arch]+"/"+n, "/usr/lib/"+triplets[arch]+"/real-"+n, below); err != nil {
					t.Fatal(err)
				}
			} else {
				add(usrMerged(n[1:]), []byte("loader"))
				if err := mergeUsr(tr, usrMerged(n[1:]), below); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := resolved(tr, arch); err != nil {
			t.Error(err)
		}
	}
}

func TestDepends(t *testing.T) {
	t.Parallel()
	list, err := parseStanzas([]byte("Package: a\nPre-Depends: dpkg (>= 1)\nDepends: bb | c, dd:any (>= 2), ee\n ff\n\nPackage: g\n"))
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if got := depends(list[0]); !slices.Equal(got, []string{"dpkg", "bb", "dd", "ee"}) {
		t.Errorf("it depends on %q", got)
	}
	if got := depends(list[1]); got != nil {
		t.Errorf("it depends on %q", got)
	}
	for _, bad := range []string{"no field", "A: 1\nA: 2", "a b: c"} {
		if _, err := parseStanzas([]byte(bad)); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestRecipe(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"package", "package A", "package a=", "package -option", "without ../x", "without /[", "account db x /", "version", "version a/b", "version aa\nversion aa", "account Db 1 /", "account db 4294967295 /",
		"account db 1 home", "account db 1 /a:b", "folder x 1 0755", "folder /x 1 4755", "folder /x -1 755", "link x y", "link /x", "something else",
	} {
		if _, err := parseRecipe([]byte("# fine\n" + bad + " # yes\n")); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := parseRecipe(make([]byte, maxRecipe+1)); !errors.Is(err, ocm.ErrLimit) {
		t.Error(err)
	}
	for _, bad := range []string{"link /../x /run", "link /x ../../run", "folder /../x 1 755", "link /a b\nfolder /a/c 1 755", "folder / 1 755"} {
		r, err := parseRecipe([]byte(bad))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.extend(newTree()); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add([]byte("package a=1 b\nwithout c /d/*\naccount x 1 /x\nfolder /x 1 0755\nlink /a b # c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecipe(text)
		if err != nil {
			return
		}
		tr := newTree()
		if r.extend(tr) == nil {
			sound(t, tr)
		}
	})
}

func FuzzStanzas(f *testing.F) {
	f.Add([]byte(control("aa", "all") + "\nPackage: b\nDepends: a (>= 1), c | d\n"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		list, _ := parseStanzas(text)
		for _, s := range list {
			depends(s)
		}
	})
}

// Whatever a package says, what comes of it means one thing to everybody who unpacks it, and stays inside.
func FuzzFiles(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Name: "./lib/a", Typeflag: tar.TypeReg}, tar.Header{Name: "./b", Typeflag: tar.TypeLink, Linkname: "./lib/a"},
		tar.Header{Name: "./usr/lib/c", Typeflag: tar.TypeSymlink, Linkname: "/lib/a"}, tar.Header{Name: "./d/", Typeflag: tar.TypeDir}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tr := newTree()
		if (&deb{}).read(tar.NewReader(bytes.NewReader(raw)), recipe{patterns: []string{"d*"}}, tr) != nil {
			return
		}
		sound(t, tr)
		for name := range tr.entries {
			tr.follow(name)
		}
		if _, err := tr.layer(below); err != nil && !errors.Is(err, tar.ErrHeader) {
			t.Log(err)
		}
	})
}

func sound(t *testing.T, tr *tree) {
	t.Helper()
	for name, e := range tr.entries {
		if !filepath.IsLocal(name) || filepath.Clean(name) != name {
			t.Errorf("%q stands outside", name)
		}
		if dir := filepath.Dir(name); dir != "." && tr.entries[dir].kind != tar.TypeDir {
			t.Errorf("%q stands in %q, which is no folder", name, dir)
		}
		if to := filepath.Join(filepath.Dir(name), e.link); e.link != "" && to != "." && !filepath.IsLocal(to) {
			t.Errorf("%q leads to %q", name, e.link)
		}
		if e.mode&^0o1777 != 0 {
			t.Errorf("%q has mode %o", name, e.mode)
		}
	}
}

func FuzzLinked(f *testing.F) {
	if sh, err := os.ReadFile("/bin/sh"); err == nil {
		f.Add(sh[:min(len(sh), 64<<10)])
	}
	f.Add([]byte(elf.ELFMAG + "\x02\x01\x01"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _, _ = linked(raw) })
}
