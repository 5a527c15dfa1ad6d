// SPDX-License-Identifier: Apache-2.0

// Package git reads the files of one commit from a git server, and nothing else of git: no history, no work
// tree, no git command. It speaks the protocol that git calls upload-pack, in version 2 and, for older
// servers, 0 and 1, over HTTP, SSH and git's own port.
//
// Version 2 is why this package exists beside the libraries that there are: with it a server lists only the
// references that are asked for, and sends any commit that it has, not only those that a branch points at
// today. An access that is pinned to a commit needs that.
//
// A server is not trusted. Every object is known by the hash of the bytes that were received, so that a
// commit leads to its own tree or to an error; sizes, counts and depths are bounded; names that would
// mean something else to a file system are refused. In memory is a line per object. The objects
// themselves are in a temporary file, because they refer to each other in any order.
package git

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"ocm"
)

// Limits of what a server says.
const (
	maxLines = 1_000_000 // references or capabilities in one answer
	maxRef   = 1024      // bytes of a reference's name
)

// Consumer is the type of consumers of credentials for repositories.
const Consumer = "Git"

// Remote is a repository on a server. It may be used concurrently.
type Remote struct {
	env *ocm.Env
	at  Address
}

// NewRemote connects to nothing yet.
func NewRemote(env *ocm.Env, at Address) *Remote { return &Remote{env, at} }

// service is a connection to git-upload-pack.
type service interface {
	// hello is what the server says first.
	hello(ctx context.Context) (*bufio.Reader, error)
	// ask sends a request; the answer is valid until the next one.
	ask(ctx context.Context, request []byte) (*bufio.Reader, error)
	io.Closer
}

// session is a service that has said who it is.
type session struct {
	service
	v2   bool
	caps map[string]string
	refs map[string]string // of older versions, which say them without being asked; "^{}" is behind what a tag leads to
}

// Commit finds the commit that a reference points at: "HEAD" (also for the empty name), a full name such as
// refs/heads/main, or the name of a branch or tag. It asks for these references only.
// [ocm.ErrNotFound], or [ocm.ErrInvalid] if branch and tag of this name differ.
func (r *Remote) Commit(ctx context.Context, ref string) (string, error) {
	names, err := candidates(ref)
	if err != nil {
		return "", err
	}
	s, err := r.open(ctx)
	if err != nil {
		return "", r.failed(err)
	}
	defer s.Close()
	if s.v2 {
		if err := s.list(ctx, names); err != nil {
			return "", r.failed(err)
		}
	}
	for name, id := range s.refs {
		if tag, ok := strings.CutSuffix(name, "^{}"); ok { // what an annotated tag is about
			s.refs[tag] = id
		}
	}
	return choose(r.at.String(), ref, names, s.refs)
}

// choose takes the commit of the one of the names that is there.
func choose(where, ref string, names []string, refs map[string]string) (string, error) {
	found, as := "", ""
	for _, name := range names {
		id := refs[name]
		if found != "" && id != "" && id != found {
			return "", fmt.Errorf("git repository %s: ref %.200q is both %s and %s, which differ; write one of these: %w", where, ref, as, name, ocm.ErrInvalid)
		}
		if found == "" && id != "" {
			found, as = id, name
		}
	}
	if found == "" {
		return "", fmt.Errorf("git repository %s: ref %.200q: %w", where, names[0], ocm.ErrNotFound)
	}
	return found, nil
}

func (r *Remote) failed(err error) error { return fmt.Errorf("git repository %s: %w", r.at, err) }

// candidates are the full names that a name may stand for.
func candidates(ref string) ([]string, error) {
	if err := CheckRef(ref); err != nil {
		return nil, err
	}
	switch {
	case ref == "" || ref == "HEAD":
		return []string{"HEAD"}, nil
	case strings.HasPrefix(ref, "refs/"):
		return []string{ref}, nil
	}
	return []string{"refs/heads/" + ref, "refs/tags/" + ref}, nil
}

// CheckRef refuses what cannot be the name of a reference, by the rules of git-check-ref-format that matter
// on the wire.
func CheckRef(ref string) error {
	bad := strings.ContainsFunc(ref, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune("~^:?*[\\", c) })
	if bad || len(ref) > maxRef || strings.Contains(ref, "..") || strings.HasPrefix(ref, "/") || strings.HasSuffix(ref, "/") {
		return fmt.Errorf("ref %.200q: expected the name of a branch or tag: %w", ref, ocm.ErrInvalid)
	}
	return nil
}

// CheckCommit demands the full name of a commit: 40 hexadecimal digits, or 64 in repositories with SHA-256.
func CheckCommit(id string) error {
	if _, err := hex.DecodeString(id); err != nil || len(id) != 40 && len(id) != 64 || strings.ToLower(id) != id {
		return fmt.Errorf("commit %.200q: expected 40 or 64 lower-case hexadecimal digits: %w", id, ocm.ErrInvalid)
	}
	return nil
}

func (r *Remote) open(ctx context.Context) (*session, error) {
	var svc service
	var err error
	switch r.at.URL.Scheme {
	case "ssh":
		svc, err = dialSSH(ctx, r.env, r.at)
	case "git":
		svc, err = dialGit(ctx, r.env, r.at)
	default:
		svc, err = newHTTP(ctx, r.env, r.at)
	}
	if err != nil {
		return nil, err
	}
	s := &session{service: svc, caps: map[string]string{}, refs: map[string]string{}}
	br, err := svc.hello(ctx)
	if err == nil {
		err = s.greet(&packets{r: br})
	}
	if err != nil {
		svc.Close()
		return nil, err
	}
	return s, nil
}

// greet reads what the server says first: its capabilities, and of older versions the references.
func (s *session) greet(p *packets) error {
	for n := 0; ; n++ {
		text, k, err := p.line()
		switch {
		case err != nil:
			return err
		case n > maxLines:
			return fmt.Errorf("more than %d lines: %w", maxLines, ocm.ErrLimit)
		case k == flush:
			return nil
		case k != data:
			return fmt.Errorf("unexpected packet in a greeting: %w", ocm.ErrInvalid)
		case n == 0 && text == "version 2":
			s.v2 = true
		case n == 0 && text == "version 1":
		case s.v2:
			s.capability(text)
		default:
			line, caps, _ := strings.Cut(text, "\x00")
			for c := range strings.FieldsSeq(caps) {
				s.capability(c)
			}
			if strings.HasPrefix(line, "shallow ") {
				continue
			}
			if err := s.reference(line); err != nil {
				return err
			}
		}
	}
}

func (s *session) capability(text string) {
	name, value, _ := strings.Cut(text, "=")
	s.caps[name] = value
}

// reference keeps "<commit> <name>[ peeled:<commit>]".
func (s *session) reference(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 2 || CheckCommit(fields[0]) != nil || len(fields[1]) > maxRef {
		return fmt.Errorf("expected a reference, found %.100q: %w", line, ocm.ErrInvalid)
	}
	if strings.Trim(fields[0], "0") == "" { // stands for the capabilities of an empty repository
		return nil
	}
	s.refs[fields[1]] = fields[0]
	for _, attr := range fields[2:] {
		if id, ok := strings.CutPrefix(attr, "peeled:"); ok {
			if err := CheckCommit(id); err != nil {
				return err
			}
			s.refs[fields[1]+"^{}"] = id
		}
	}
	return nil
}

// list asks for the references whose names begin with one of the prefixes.
func (s *session) list(ctx context.Context, prefixes []string) error {
	req := s.command("ls-refs")
	req = appendLine(req, "peel")
	for _, p := range prefixes {
		req = appendLine(req, "ref-prefix %s", p)
	}
	br, err := s.ask(ctx, append(req, "0000"...))
	if err != nil {
		return err
	}
	p := &packets{r: br}
	for n := 0; ; n++ {
		text, k, err := p.line()
		switch {
		case err != nil:
			return err
		case n > maxLines:
			return fmt.Errorf("more than %d references: %w", maxLines, ocm.ErrLimit)
		case k != data:
			return nil
		case strings.HasPrefix(text, "unborn "):
			continue
		}
		if err := s.reference(text); err != nil {
			return err
		}
	}
}

// command begins a request of version 2.
func (s *session) command(name string) []byte {
	req := appendLine(nil, "command=%s", name)
	if f := s.caps["object-format"]; f != "" {
		req = appendLine(req, "object-format=%s", f)
	}
	return append(req, "0001"...)
}

// pack asks for a commit with its files, without its history where the server can leave that out. The bundle of
// objects may be read until the session is closed.
func (s *session) pack(ctx context.Context, commit string) (io.Reader, error) {
	want := "sha1"
	if len(commit) == 64 {
		want = "sha256"
	}
	if have := s.caps["object-format"]; have != want && (have != "" || want != "sha1") {
		return nil, fmt.Errorf("commit %s has %d digits, but the repository has the format %.20q: %w", commit, len(commit), have, ocm.ErrInvalid)
	}
	if !s.v2 {
		return s.packOld(ctx, commit)
	}
	req := s.command("fetch")
	req = appendLine(appendLine(appendLine(req, "no-progress"), "ofs-delta"), "want %s", commit)
	if strings.Contains(" "+s.caps["fetch"]+" ", " shallow ") {
		req = appendLine(req, "deepen 1")
	}
	br, err := s.ask(ctx, append(appendLine(req, "done"), "0000"...))
	if err != nil {
		return nil, err
	}
	p := &packets{r: br}
	for n := 0; n < maxLines; n++ {
		text, k, err := p.line()
		switch {
		case err != nil:
			return nil, err
		case k == data && text == "packfile":
			return &sideband{p: p}, nil
		case k == flush || k == end:
			return nil, fmt.Errorf("the server sends no objects: %w", ocm.ErrInvalid)
		}
	}
	return nil, fmt.Errorf("more than %d lines: %w", maxLines, ocm.ErrLimit)
}

// packOld is pack in the versions 0 and 1. There a server may refuse a commit that no reference points at.
func (s *session) packOld(ctx context.Context, commit string) (io.Reader, error) {
	line := "want " + commit
	for _, c := range []string{"side-band-64k", "ofs-delta", "no-progress", "shallow"} {
		if _, ok := s.caps[c]; ok {
			line += " " + c
		}
	}
	if f := s.caps["object-format"]; f != "" {
		line += " object-format=" + f
	}
	req := appendLine(nil, "%s", line)
	_, shallow := s.caps["shallow"]
	if shallow {
		req = appendLine(req, "deepen 1")
	}
	br, err := s.ask(ctx, appendLine(append(req, "0000"...), "done"))
	if err != nil {
		return nil, err
	}
	p := &packets{r: br}
	for n := 0; n < maxLines; n++ {
		text, k, err := p.line()
		switch {
		case errors.Is(err, ocm.ErrNotFound):
			return nil, fmt.Errorf("%w (a server of this age may send only what a reference points at)", err)
		case err != nil:
			return nil, err
		case k == data && text == "NAK":
			if _, ok := s.caps["side-band-64k"]; ok {
				return &sideband{p: p}, nil
			}
			return br, nil
		case k == flush && shallow, k == data && (strings.HasPrefix(text, "shallow ") || strings.HasPrefix(text, "unshallow ")):
		default:
			return nil, fmt.Errorf("unexpected answer %.100q: %w", text, ocm.ErrInvalid)
		}
	}
	return nil, fmt.Errorf("more than %d lines: %w", maxLines, ocm.ErrLimit)
}
