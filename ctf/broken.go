// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"ocm"
)

// ErrBroken is the error of what begins as an archive and does not go on as one: it was cut off or changed on
// its way, or is still being copied. It is an [ocm.ErrInvalid].
var ErrBroken = fmt.Errorf("the archive is cut off or damaged: %w", ocm.ErrInvalid)

// broken says so of an error of reading an archive, unless it says already what is wrong, or the disk does.
func broken(err error) error {
	var disk *fs.PathError
	if errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) || errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %w", err, ErrBroken)
}

// ErrNoIndex is the error of an archive that may be whole, but is no CTF.
var ErrNoIndex = fmt.Errorf("%s is missing: not a CTF: %w", indexName, ocm.ErrInvalid)

// errNoArchive is what a file is called that does not even begin as an archive.
var errNoArchive = fmt.Errorf("neither a folder nor a tar archive: %w", ocm.ErrInvalid)

// sniffed is how much of a file tells what it is, in bytes; maxQuoted how much of that is repeated.
const (
	sniffed   = 512
	maxQuoted = 16
)

// noArchive tells what a file is that is no archive: people name the wrong one, and browsers save the page
// that asks for a password in place of what was to be downloaded.
func noArchive(name string, f *os.File) error {
	head := make([]byte, sniffed)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", name, err)
	}
	head = head[:n]
	found := fmt.Sprintf("a file that begins with %q", head[:min(n, maxQuoted)])
	kind := http.DetectContentType(head)
	switch {
	case n == 0:
		found = "an empty file"
	case sniffForm(head).unpack != nil:
		found = "a compressed file in which there is none, or only its beginning"
	case !strings.HasPrefix(kind, octetStream) && !strings.HasPrefix(kind, "text/plain"):
		found = "a file of the kind " + kind
	}
	return fmt.Errorf("%s: found %s: %w", name, found, errNoArchive)
}

// noFile tells what is in the place of an archive that is neither a folder nor a file.
func noFile(fi fs.FileInfo) error {
	hint := ""
	if fi.Mode()&fs.ModeNamedPipe != 0 {
		hint = " (an archive that comes through a pipe is ctf::-, from standard input)"
	}
	return fmt.Errorf("expected a folder or a tar archive, found %s: %w%s", kindOf(fi), ocm.ErrInvalid, hint)
}

// kindOf says what something in a folder is, if it is no regular file.
func kindOf(fi fs.FileInfo) string {
	switch mode := fi.Mode(); {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// maxStrangers is how many of the entries that are none of a CTF are remembered for [scan.noIndex].
const maxStrangers = 3

// strange notes an entry that no CTF has.
func (s *scan) strange(name string) {
	if len(s.strangers) < maxStrangers {
		s.strangers = append(s.strangers, name)
	}
	if format := formatWith(name); format != "" {
		s.other = format
	}
}

// formatWith is the format that has a file of this name; empty for names that many have.
func formatWith(name string) string {
	switch {
	case name == "oci-layout":
		return "an OCI image layout, which holds images and no component versions"
	case name == "manifest.json":
		return "an image as \"docker save\" writes it, and no component version"
	case path.Base(name) == "Chart.yaml" && strings.Count(name, "/") <= 1:
		return "a Helm chart, and no component version"
	}
	return ""
}

// noIndex tells what is in an archive that is no CTF.
func (s *scan) noIndex() error {
	switch {
	case s.other != "":
		return fmt.Errorf("it is %s: %w", s.other, ErrNoIndex)
	case s.count == 0:
		return fmt.Errorf("it is empty: %w", ErrNoIndex)
	case len(s.strangers) == 0:
		return ErrNoIndex
	}
	return fmt.Errorf("found %.200q: %w", slices.Clip(s.strangers), ErrNoIndex)
}

// NotCTF tells what a folder without an index looks like, given the names in it; empty if it has one.
func NotCTF(names []string) string {
	if slices.Contains(names, indexName) {
		return ""
	}
	for _, name := range names {
		if format := formatWith(name); format != "" {
			return fmt.Sprintf("it has no %s; it looks like %s", indexName, format)
		}
	}
	return fmt.Sprintf("it has no %s, so that it is no CTF", indexName)
}
