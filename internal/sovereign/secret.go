// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

// keyStayed looks for the private keys of the build side on the target side: in what was carried, and in what the cluster and its registry
// have written. It finds what is there by mistake: a key as it is, in PEM or in base64, and in tar and gzip. It does not find what somebody hides, by
// encryption or in another packing, nor what is in memory only.
func keyStayed(l *lab, inTarget int, rec *record) error {
	start := time.Now()
	secrets, err := privateKeys(l.build)
	if err == nil && len(secrets) == 0 {
		err = errors.New("the build side has no private key: nothing was signed")
	}
	if err == nil {
		seen := func(dir string) string { return filepath.Join("/proc", strconv.Itoa(inTarget), "root", dir) } // with what is mounted there
		err = searchAll(secrets, seen(l.site), seen(l.home(target)), seen(l.cluster), seen(l.nodeDisk), seen("/run"))
	}
	return rec.add("no file of the target side holds a private key of the build side, as it is, in base64, or in tar and gzip", start, err)
}

// privateKeys finds the private keys in a folder, each in the forms in which it could be elsewhere.
func privateKeys(dir string) (secrets [][]byte, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err != nil || info.Size() > 64<<10 { // no key is as long
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
			return err
		}
		p, _ := pem.Decode(text)
		if p == nil || !strings.HasSuffix(p.Type, "PRIVATE KEY") {
			return nil
		}
		some, err := forms(p)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		secrets = append(secrets, some...)
		return nil
	})
	return secrets, err
}

// formBytes is how much of a secret is looked for: enough to be found only where the secret is.
const formBytes = 32

// forms are pieces of a private key that give it away: of the secret number itself, also in base64, of the line of PEM in the middle, and of
// that in base64 once more. Base64 is the one of each of the three places where it can begin. Where it comes in lines, one may end in
// a piece, but not in two that follow each other.
func forms(p *pem.Block) ([][]byte, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of the kind %T, which the search does not know", parsed)
	}
	lines := bytes.Split(pem.EncodeToMemory(p), []byte("\n"))
	line := lines[len(lines)/2]
	found := [][]byte{private.D.Bytes()[:formBytes], line[:formBytes], private.Primes[0].Bytes()[:formBytes]}
	const piece = formBytes / 4 * 3 // bytes that are so many letters, without a rest
	d := private.D.Bytes()
	for skip := range 3 {
		for _, secret := range [][]byte{line[skip:][:piece], d[skip:][:piece], d[skip+piece:][:piece]} {
			found = append(found, []byte(base64.StdEncoding.EncodeToString(secret)))
		}
	}
	return found, nil
}

// searchAll looks for secrets in all files of folders.
func searchAll(secrets [][]byte, dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // the cluster is at work
				return nil
			}
			if err != nil {
				return err
			}
			if e.IsDir() && isKernel(path) {
				return filepath.SkipDir
			}
			if !e.Type().IsRegular() || isKernel(path) {
				return nil
			}
			return search(secrets, path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isKernel reports whether a folder or a file is no content, but what the kernel says about itself.
func isKernel(path string) bool {
	const procfs, sysfs, cgroups, namespaces = 0x9fa0, 0x62656572, 0x27e0eb, 0x6e736673
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && (s.Type == procfs || s.Type == sysfs || s.Type == cgroups || s.Type == namespaces)
}

// Bounds of a search.
const (
	searchDepth = 6        // archives in archives: a chart in a layer in an archive has four
	searchMax   = 16 << 30 // bytes of one file, or of what is packed in it
)

// search looks for secrets in a file, and in what is packed in it.
func search(secrets [][]byte, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := look(secrets, f, searchDepth)
	switch {
	case found:
		return fmt.Errorf("%s holds a piece of a private key", path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

var errSearchMax = fmt.Errorf("more than %d bytes to search", int64(searchMax))

// look reads to the end, and looks into what is packed there.
func look(secrets [][]byte, r io.Reader, depth int) (found bool, err error) {
	f := &finder{secrets: secrets}
	b := bufio.NewReader(io.TeeReader(r, f))
	if found, err := unpack(secrets, b, depth); found || err != nil {
		return found, err
	}
	_, err = io.Copy(io.Discard, b)
	return f.found, err
}

// unpack looks into what is packed. What cannot be unpacked to its end is looked at up to there.
func unpack(secrets [][]byte, b *bufio.Reader, depth int) (found bool, err error) {
	const magicAt, magic = 257, "ustar"
	head, _ := b.Peek(magicAt + len(magic)) // who reads on sees the error too
	switch {
	case depth == 0:
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(b); err == nil {
			found, err = look(secrets, z, depth-1)
		}
	case bytes.HasSuffix(head, []byte(magic)) && len(head) == magicAt+len(magic):
		for in := tar.NewReader(b); err == nil && !found; {
			if _, err = in.Next(); err == nil { // its content, as it is, has been seen in the archive
				found, err = unpack(secrets, bufio.NewReader(in), depth-1)
			}
		}
	}
	if !errors.Is(err, errSearchMax) {
		err = nil
	}
	return found, err
}

// finder looks for secrets in what is written to it, also across the borders of the pieces.
type finder struct {
	secrets [][]byte
	kept    []byte // the end of what came before
	n       int64
	found   bool
}

func (f *finder) Write(b []byte) (int, error) {
	if f.n += int64(len(b)); f.n > searchMax {
		return 0, errSearchMax
	}
	border := slices.Concat(f.kept, b[:min(len(b), formBytes)])
	for _, s := range f.secrets {
		f.found = f.found || bytes.Contains(b, s) || bytes.Contains(border, s)
	}
	end := b
	if len(b) < formBytes {
		end = border
	}
	f.kept = append(f.kept[:0], end[max(0, len(end)-formBytes):]...)
	return len(b), nil
}
