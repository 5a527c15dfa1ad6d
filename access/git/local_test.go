// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
)

func local(t testing.TB, dir string) *Local {
	return NewLocal(&ocm.Env{Temp: t.TempDir()}, dir, func() (*os.Root, error) { return os.OpenRoot(dir) })
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		dir := t.TempDir()
		first, second := repository(t, dir, "--object-format="+format)
		r := filepath.Join(dir, "r")
		bare := filepath.Join(dir, "bare.git")
		check := func(how, at string) {
			t.Helper()
			l := local(t, at)
			for ref, want := range map[string]string{"": second, "main": second, "v1": first, "light": first, "refs/heads/side": first} {
				if got, err := l.Commit(t.Context(), ref); err != nil || got != want {
					t.Errorf("%s: ref %q: expected %s, found %s %v", how, ref, want, got, err)
				}
			}
			for _, commit := range []string{first, second} {
				got, err := read(t.Context(), l.Tree(commit))
				if err != nil || !bytes.Equal(got, checkout(t, r, commit)) {
					t.Errorf("%s: the archive of %s differs from a checkout: %v", how, commit, err)
				}
			}
			left, err := os.ReadDir(l.env.Temp)
			if err != nil || len(left) > 0 {
				t.Errorf("%s: left in the temporary folder: %v %v", how, left, err)
			}
		}
		check("one file per object", r)
		run(t, dir, "clone", "-q", "--bare", "--no-local", r, bare)
		check("bare", bare)
		run(t, r, "repack", "-adfq", "--depth=50")
		run(t, r, "pack-refs", "--all")
		check("packed", r)
	}
}

// A folder may be in the pack as a change of another one, which is then read before its turn.
func TestLocalWithChangedFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repository(t, dir)
	var b bundle
	old := "100644 file\x00" + b.object(blobObject, "b") // folder b, which folder a is a change of
	now := "100644 file\x00" + b.object(blobObject, "a")
	base := b.object(treeObject, old)
	change := append([]byte{byte(len(old)), byte(len(now)), 0x90, 12, byte(len(now) - 12)}, now[12:]...)
	b.entry(refDelta, len(change), []byte(base), change)
	sum := sha1.Sum(fmt.Appendf(nil, "tree %d\x00%s", len(now), now))
	commit := b.commit(b.object(treeObject, "40000 a\x00"+string(sum[:])+"40000 b\x00"+base))
	r := filepath.Join(dir, "r")
	must(t, os.WriteFile(filepath.Join(r, ".git/objects/pack/p.pack"), b.bytes(), 0o644))
	run(t, r, "index-pack", ".git/objects/pack/p.pack")
	got, err := read(t.Context(), local(t, r).Tree(commit))
	if err != nil || !bytes.Equal(got, checkout(t, r, commit)) {
		t.Errorf("the archive differs from a checkout: %v", err)
	}
}

func TestLocalRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, second := repository(t, dir)
	r := filepath.Join(dir, "r")
	l := local(t, r)
	_, err := l.Commit(t.Context(), "gone")
	fixture.WantErr(t, err, ocm.ErrNotFound, "refs/heads/gone")
	_, err = l.Commit(t.Context(), "../../x")
	fixture.WantErr(t, err, ocm.ErrInvalid, "ref")
	_, err = read(t.Context(), l.Tree(strings.Repeat("1", 40)))
	fixture.WantErr(t, err, ocm.ErrNotFound, strings.Repeat("1", 40))
	_, err = local(t, t.TempDir()).Commit(t.Context(), "")
	fixture.WantErr(t, err, ocm.ErrNotFound, "no git repository")

	// An object that is another than its name says.
	tree := run(t, r, "rev-parse", second+"^{tree}")
	blob := run(t, r, "rev-parse", second+":a.txt")
	other := run(t, r, "rev-parse", second+":run.sh")
	file := func(id string) string { return filepath.Join(r, ".git/objects", id[:2], id[2:]) }
	raw, err := os.ReadFile(file(other))
	must(t, err)
	must(t, os.Remove(file(blob)))
	must(t, os.WriteFile(file(blob), raw, 0o644))
	_, err = read(t.Context(), l.Tree(second))
	fixture.WantErr(t, err, ocm.ErrDigest, blob)
	must(t, os.Remove(file(blob)))
	must(t, os.WriteFile(file(blob), []byte("broken"), 0o644))
	_, err = read(t.Context(), l.Tree(second))
	fixture.WantErr(t, err, ocm.ErrInvalid)
	must(t, os.Remove(file(tree)))
	_, err = read(t.Context(), l.Tree(second))
	fixture.WantErr(t, err, ocm.ErrNotFound, tree)

	// What leads out of the folder is not followed.
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(second), 0o644))
	must(t, os.Symlink("../../../../secret", filepath.Join(r, ".git/refs/heads/out")))
	if got, err := l.Commit(t.Context(), "out"); err == nil {
		t.Errorf("read %s from outside", got)
	}
	must(t, os.WriteFile(filepath.Join(r, ".git/HEAD"), []byte("ref: refs/../../../secret"), 0o644))
	_, err = l.Commit(t.Context(), "")
	fixture.WantErr(t, err, ocm.ErrInvalid, "ref")
	linked := t.TempDir()
	must(t, os.WriteFile(filepath.Join(linked, ".git"), []byte("gitdir: "+r), 0o644))
	_, err = local(t, linked).Commit(t.Context(), "")
	fixture.WantErr(t, err, ocm.ErrInvalid, "submodules")
}

// FuzzLocalPack: a pack and an index that fit nothing.
func FuzzLocalPack(f *testing.F) {
	dir := f.TempDir()
	_, commit := repository(f, dir)
	r := filepath.Join(dir, "r")
	run(f, r, "repack", "-adfq", "--depth=50")
	files, err := filepath.Glob(filepath.Join(r, ".git/objects/pack/*.idx"))
	must(f, err)
	index, err := os.ReadFile(files[0])
	must(f, err)
	data, err := os.ReadFile(strings.TrimSuffix(files[0], "idx") + "pack")
	must(f, err)
	f.Add(index, data, 40, byte(1))
	f.Add(index, data[:len(data)/2], 0, byte(0))
	f.Fuzz(func(t *testing.T, index, data []byte, at int, flip byte) {
		if at >= 0 && at < len(data) {
			data = bytes.Clone(data)
			data[at] ^= flip
		}
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, "objects/pack"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "objects/pack/p.idx"), index, 0o644))
		must(t, os.WriteFile(filepath.Join(dir, "objects/pack/p.pack"), data, 0o644))
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		s, err := newStore(&ocm.Env{Temp: dir}, false)
		must(t, err)
		defer s.Close()
		s.max = 1 << 20
		reader := newReader(root, s)
		defer reader.close()
		name, err := parseID(commit)
		must(t, err)
		if i, err := reader.get(name); err == nil && s.objects[i].name != name {
			t.Error("found another object")
		}
	})
}
