// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"ocm"
	"ocm/blob"
)

// Limits of a repository on this machine.
const (
	maxRefFile    = 4096     // bytes of a reference
	maxPackedRefs = 64 << 20 // bytes of the list of references
	maxPacks      = 10_000
	maxChain      = 4096 // changes of changes; git makes no longer ones
)

// Local is a repository on this machine. Only what is committed counts; no git command is run, and nothing
// outside of its folder is read.
type Local struct {
	env  *ocm.Env
	name string
	open func() (*os.Root, error)
}

// NewLocal is the repository in a folder, bare or with its work tree. open opens the folder each time that something is
// read; name is for messages.
func NewLocal(env *ocm.Env, name string, open func() (*os.Root, error)) *Local {
	return &Local{env, name, open}
}

// gitDir opens the folder that has the objects.
func (l *Local) gitDir() (*os.Root, error) {
	root, err := l.open()
	if err != nil {
		return nil, l.failed(err)
	}
	info, err := root.Lstat(".git")
	if err == nil {
		defer root.Close()
		if !info.IsDir() {
			return nil, l.failed(fmt.Errorf(".git is not a folder, but leads elsewhere, as in submodules and work trees; name the repository itself: %w", ocm.ErrInvalid))
		}
		root, err = root.OpenRoot(".git")
		return root, err
	}
	if _, err := root.Stat("objects"); err != nil {
		root.Close()
		return nil, l.failed(fmt.Errorf("no git repository is there: %w", ocm.ErrNotFound))
	}
	return root, nil
}

func (l *Local) failed(err error) error { return fmt.Errorf("git repository %s: %w", l.name, err) }

// Commit is [Remote.Commit].
func (l *Local) Commit(_ context.Context, ref string) (string, error) {
	names, err := candidates(ref)
	if err != nil {
		return "", err
	}
	root, err := l.gitDir()
	if err != nil {
		return "", err
	}
	defer root.Close()
	refs := map[string]string{}
	for _, name := range names {
		target, err := readRef(root, name, 0)
		if err == nil && target != "" {
			refs[name], err = l.peel(root, target)
		}
		if err != nil {
			return "", l.failed(err)
		}
	}
	return choose(l.name, ref, names, refs)
}

// readRef follows a reference to what it points at; empty if it is not there.
func readRef(root *os.Root, name string, depth int) (string, error) {
	if depth > 5 || CheckRef(name) != nil {
		return "", fmt.Errorf("ref %.200q: %w", name, ocm.ErrInvalid)
	}
	text, err := readSmall(root, name, maxRefFile)
	if errors.Is(err, fs.ErrNotExist) {
		return packedRef(root, name)
	}
	if err != nil {
		return "", err
	}
	if to, ok := strings.CutPrefix(text, "ref: "); ok {
		return readRef(root, strings.TrimSpace(to), depth+1)
	}
	text = strings.TrimSpace(text)
	return text, CheckCommit(text)
}

func packedRef(root *os.Root, name string) (string, error) {
	text, err := readSmall(root, "packed-refs", maxPackedRefs)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for line := range strings.Lines(text) {
		if id, found, ok := strings.Cut(strings.TrimSpace(line), " "); ok && found == name {
			return id, CheckCommit(id)
		}
	}
	return "", err
}

func readSmall(root *os.Root, name string, limit int64) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fs.ErrNotExist)
	}
	raw, err := blob.ReadDocument(f, -1, limit)
	return string(raw), err
}

// peel follows tags to what they are about.
func (l *Local) peel(root *os.Root, target string) (string, error) {
	for range 10 {
		next, err := l.tagged(root, target)
		if err != nil || next == "" {
			return target, err
		}
		target = next
	}
	return "", fmt.Errorf("tag of tag of tag …: %w", ocm.ErrLimit)
}

// tagged is what a tag is about; empty if it is none.
func (l *Local) tagged(root *os.Root, target string) (string, error) {
	name, err := parseID(target)
	if err != nil {
		return "", err
	}
	s, err := newStore(l.env, len(target) == 64)
	if err != nil {
		return "", err
	}
	defer s.Close()
	r := newReader(root, s)
	defer r.close()
	i, err := r.get(name)
	if err != nil || s.objects[i].kind != tagObject {
		return "", err
	}
	head, err := io.ReadAll(io.LimitReader(s.section(s.objects[i]), maxHead))
	first, _, _ := strings.Cut(string(head), "\n")
	return strings.TrimPrefix(first, "object "), err
}

// Tree is [Remote.Tree].
func (l *Local) Tree(commit string) ocm.Content { return treeOf(l.env, l.name, commit, l.load) }

// load copies the objects of a commit into a store.
func (l *Local) load(ctx context.Context, s *store, commit string) error {
	root, err := l.gitDir()
	if err != nil {
		return err
	}
	defer root.Close()
	r := newReader(root, s)
	defer r.close()
	name, err := parseID(commit)
	if err != nil {
		return err
	}
	if _, err := r.get(name); err != nil {
		return err
	}
	tree, err := s.rootTree(commit)
	if err != nil {
		return err
	}
	return r.tree(ctx, tree, 0)
}

// reader takes objects out of a repository's files and puts them into a store.
type reader struct {
	*store
	root   *os.Root
	packs  []*pack // nil: not looked for yet
	zr     io.ReadCloser
	walked map[id]bool // trees; one that is only named may be here because another is a change of it
}

func newReader(root *os.Root, s *store) *reader {
	return &reader{store: s, root: root, walked: map[id]bool{}}
}

func (r *reader) close() {
	for _, p := range r.packs {
		p.index.Close()
		p.data.Close()
	}
}

// tree gets everything below a tree, each tree once.
func (r *reader) tree(ctx context.Context, name id, depth int) error {
	if depth > blob.MaxDirDepth {
		return fmt.Errorf("more than %d folders in each other: %w", blob.MaxDirDepth, ocm.ErrLimit)
	}
	if _, err := r.get(name); err != nil {
		return err
	}
	section, err := r.find(name, treeObject)
	if err != nil {
		return err
	}
	raw, err := blob.ReadDocument(section, section.Size(), maxTree)
	if err != nil {
		return err
	}
	entries, err := parseTree(raw, r.newHash().Size())
	if err != nil {
		return err
	}
	r.walked[name] = true
	for _, e := range entries {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.walked[e.id], e.mode == modeSubmodule:
		case e.mode == modeDir:
			err = r.tree(ctx, e.id, depth+1)
		default:
			_, err = r.get(e.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// get puts an object into the store, unless it is there, and returns its place.
func (r *reader) get(name id) (int, error) {
	i, err := r.fetch(name, 0)
	if err != nil {
		return 0, err
	}
	if r.objects[i].name != name { // what its file says it is, it is not
		return 0, fmt.Errorf("object %s has the hash %s: %w", r.text(name), r.text(r.objects[i].name), ocm.ErrDigest)
	}
	return i, r.w.Flush()
}

func (r *reader) fetch(name id, depth int) (int, error) {
	if i, ok := r.named[name]; ok {
		return i, nil
	}
	if len(r.objects) > MaxObjects {
		return 0, fmt.Errorf("more than %d objects: %w", MaxObjects, ocm.ErrLimit)
	}
	hexName := r.text(name)
	f, err := r.root.Open("objects/" + hexName[:2] + "/" + hexName[2:])
	if err == nil {
		defer f.Close()
		return r.loose(f)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if r.packs == nil {
		if r.packs, err = openPacks(r.root); err != nil {
			return 0, err
		}
	}
	for _, p := range r.packs {
		off, ok, err := p.offset(name, r.newHash().Size())
		if err != nil {
			return 0, err
		}
		if ok {
			return r.packed(p, off, depth)
		}
	}
	return 0, fmt.Errorf("object %s: %w (what is not in the repository's own folder is not looked for)", hexName, ocm.ErrNotFound)
}

// loose reads an object that has a file of its own: type, space, size, zero, and the bytes, compressed.
func (r *reader) loose(f io.Reader) (int, error) {
	var err error
	if r.zr, err = unzip(&source{r: bufio.NewReaderSize(f, buffer)}, r.zr); err != nil {
		return 0, invalid(err)
	}
	br := bufio.NewReaderSize(r.zr, 4096)
	head, err := br.ReadSlice(0)
	if err != nil {
		return 0, invalid(err)
	}
	for kind, text := range typeNames {
		var size int64
		if n, err := fmt.Sscanf(string(head), text+" %d\x00", &size); err == nil && n == 1 {
			return r.copy(object{kind: kind, len: size}, br)
		}
	}
	return 0, fmt.Errorf("expected an object, found %.40q: %w", head, ocm.ErrInvalid)
}

// copy puts an object's bytes into the store.
func (r *reader) copy(o object, from io.Reader) (int, error) {
	if err := r.room(o.len); err != nil {
		return 0, err
	}
	o.off = r.n
	h := r.hash(o.kind, o.len)
	n, err := io.Copy(io.MultiWriter(r.w, h), io.LimitReader(from, o.len+1))
	if r.n += n; err != nil || n != o.len {
		return 0, fmt.Errorf("expected %d bytes, found %d: %w", o.len, n, invalid(err))
	}
	r.add(o, h)
	return len(r.objects) - 1, nil
}

// pack is a file with many objects, and the index of it.
type pack struct {
	index, data *os.File
	size        int64
	count       int
	seen        map[int64]int // objects of the store by their offset here
}

func openPacks(root *os.Root) ([]*pack, error) {
	dir, err := root.Open("objects/pack")
	if errors.Is(err, fs.ErrNotExist) {
		return []*pack{}, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	dir.Close()
	packs := []*pack{}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, ".idx")
		if !ok || err != nil {
			continue
		}
		if len(packs) >= maxPacks {
			return packs, fmt.Errorf("more than %d packs: %w", maxPacks, ocm.ErrLimit)
		}
		var p *pack
		if p, err = openPack(root, "objects/pack/"+base); err == nil {
			packs = append(packs, p)
		}
	}
	return packs, err
}

func openPack(root *os.Root, base string) (*pack, error) {
	index, err := root.Open(base + ".idx")
	if err != nil {
		return nil, err
	}
	data, err := root.Open(base + ".pack")
	if err != nil {
		index.Close()
		return nil, err
	}
	p := &pack{index: index, data: data, seen: map[int64]int{}}
	info, err := data.Stat()
	if err == nil {
		p.size = info.Size()
		head := make([]byte, 8)
		if _, err = index.ReadAt(head, 0); err == nil && !bytes.Equal(head, []byte("\xfftOc\x00\x00\x00\x02")) {
			err = fmt.Errorf("%s.idx: expected version 2 of the format: %w", base, ocm.ErrInvalid)
		}
	}
	if err == nil {
		p.count, err = p.fanout(255)
	}
	if err != nil {
		index.Close()
		data.Close()
		return nil, err
	}
	return p, nil
}

// fanout is how many objects have a name whose first byte is at most b.
func (p *pack) fanout(b int) (int, error) {
	var raw [4]byte
	_, err := p.index.ReadAt(raw[:], int64(8+4*b))
	return int(binary.BigEndian.Uint32(raw[:])), cut(err)
}

// offset finds an object by gitformat-pack: after the table of first bytes are the names in order, a checksum of
// each, and the offsets, of which those with the highest bit lead to a table of long ones.
func (p *pack) offset(name id, size int) (int64, bool, error) {
	low, err := 0, error(nil)
	if name[0] > 0 {
		if low, err = p.fanout(int(name[0]) - 1); err != nil {
			return 0, false, err
		}
	}
	high, err := p.fanout(int(name[0]))
	if err != nil {
		return 0, false, err
	}
	const names = 8 + 4*256
	found := make([]byte, size)
	for low < high {
		mid := low + (high-low)/2
		if _, err := p.index.ReadAt(found, int64(names+mid*size)); err != nil {
			return 0, false, cut(err)
		}
		switch c := bytes.Compare(name[:size], found); {
		case c < 0:
			high = mid
		case c > 0:
			low = mid + 1
		default:
			off, err := p.offsetAt(int64(names+p.count*(size+4)), mid)
			return off, true, err
		}
	}
	return 0, false, nil
}

func (p *pack) offsetAt(table int64, i int) (int64, error) {
	var raw [8]byte
	if _, err := p.index.ReadAt(raw[:4], table+4*int64(i)); err != nil {
		return 0, cut(err)
	}
	off := int64(binary.BigEndian.Uint32(raw[:4]))
	if off>>31 == 0 {
		return off, nil
	}
	_, err := p.index.ReadAt(raw[:], table+4*int64(p.count)+8*(off&(1<<31-1)))
	return int64(binary.BigEndian.Uint64(raw[:]) &^ (1 << 63)), cut(err)
}

// packed reads the object at an offset of a pack, and first what it is a change of.
func (r *reader) packed(p *pack, off int64, depth int) (int, error) {
	if i, ok := p.seen[off]; ok {
		return i, nil
	}
	if depth > maxChain || off < 12 || off >= p.size {
		return 0, fmt.Errorf("offset %d of a pack: %w", off, ocm.ErrInvalid)
	}
	src := &source{r: bufio.NewReaderSize(io.NewSectionReader(p.data, off, p.size-off), 4096)}
	kind, size, err := readHeader(src)
	if err != nil {
		return 0, cut(err)
	}
	base, err := r.base(p, src, kind, off, depth)
	if err != nil {
		return 0, cut(err)
	}
	if r.zr, err = unzip(src, r.zr); err != nil {
		return 0, invalid(err)
	}
	i, err := r.copy(object{kind: kind, len: size}, r.zr)
	if err == nil && base >= 0 {
		if err = r.w.Flush(); err == nil {
			err = r.apply(i, base)
			i = len(r.objects) - 1
		}
	}
	if err != nil {
		return 0, invalid(err)
	}
	p.seen[off] = i
	return i, nil
}

// base is what the object at an offset is a change of; -1 if it is whole.
func (r *reader) base(p *pack, src *source, kind byte, off int64, depth int) (int, error) {
	switch kind {
	case ofsDelta:
		back, err := readBack(src, off)
		if err != nil {
			return 0, err
		}
		return r.packed(p, off-back, depth+1)
	case refDelta:
		var name id
		if _, err := io.ReadFull(src, name[:r.newHash().Size()]); err != nil {
			return 0, err
		}
		return r.fetch(name, depth+1)
	case commitObject, treeObject, blobObject, tagObject:
		return -1, nil
	}
	return 0, fmt.Errorf("type %d: %w", kind, ocm.ErrInvalid)
}
