// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/web"
)

const (
	maxListing  = 64 << 20              // bytes of the answer to a PROPFIND
	maxLocked   = 50                    // attempts at what somebody else has locked
	lockedPause = 20 * time.Millisecond // between two of them
	cleanUpTime = 10 * time.Second      // for removing what was not finished
	maxDocument = 64 << 10              // bytes of the small documents of this store
	uploads     = "uploads"             // folder of what is not finished
	xmlType     = "application/xml; charset=utf-8"
	onlyTypes   = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>`
)

// server is a folder on a WebDAV server. Paths are below it, with slashes; what becomes part of one was checked before.
type server struct {
	client *web.Client
	env    *ocm.Env
	base   *url.URL // ends with a slash

	mu   sync.Mutex
	made map[string]bool // folders that are there, by the path of their URL
}

func (s *server) at(path string) *url.URL { return s.base.JoinPath(path) }

func (s *server) do(ctx context.Context, r web.Request) error {
	resp, err := s.client.Do(ctx, r) //nolint:bodyclose // Drop closes it
	if err == nil {
		web.Drop(resp)
	}
	return err
}

// unlocked is do for what somebody else may hold for a moment, as servers do with what they work on.
func (s *server) unlocked(ctx context.Context, r web.Request) error {
	for attempt := 1; ; attempt++ {
		err := s.do(ctx, r)
		if web.Status(err) != http.StatusLocked || attempt == maxLocked {
			return err
		}
		if err := web.Pause(ctx, lockedPause); err != nil {
			return err
		}
	}
}

// read returns a small document.
func (s *server) read(ctx context.Context, path string) ([]byte, error) {
	return s.client.Read(ctx, web.Request{URL: s.at(path)}, maxDocument)
}

// size tells how long a file is; [ocm.ErrNotFound] if there is none.
func (s *server) size(ctx context.Context, path string) (int64, error) {
	resp, err := s.client.Do(ctx, web.Request{Method: http.MethodHead, URL: s.at(path)}) //nolint:bodyclose // Drop closes it
	if err != nil {
		return 0, err
	}
	web.Drop(resp)
	return resp.ContentLength, nil
}

// fetch opens a file, and goes on where the connection breaks.
func (s *server) fetch(ctx context.Context, path string, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.Size > web.SmallDownload { // which is asked for when it is read, and by then it should be known to be there
		if _, err := s.size(ctx, path); err != nil {
			return nil, err
		}
	}
	return s.client.Content(web.Request{URL: s.at(path)}, d).From.Fetch(ctx, d)
}

// write stores a file under its name as a whole: it is uploaded under another one, and then moved. It reports false where that name
// is taken.
func (s *server) write(ctx context.Context, name string, r io.Reader, size int64) (written bool, err error) {
	temp := path.Join(uploads, rand.Text())
	defer func() {
		if !written {
			s.drop(ctx, temp)
		}
	}()
	if err := s.put(ctx, temp, r, size); err != nil {
		return false, err
	}
	return s.move(ctx, temp, name)
}

// put uploads a file, and reads r to its end.
func (s *server) put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := s.folder(ctx, path.Dir(s.at(name).Path)); err != nil {
		return err
	}
	b := &body{r: r}
	err := s.do(ctx, web.Request{Method: http.MethodPut, URL: s.at(name), Stream: b, Size: size, NoRedirect: true,
		Header: http.Header{"Content-Type": {"application/octet-stream"}}})
	if wrong := b.finish(); wrong != nil {
		return wrong // it may be why the request failed
	}
	return err
}

// body is what a request sends. The transport may go on reading after the answer has come; then nobody else may.
type body struct {
	mu     sync.Mutex
	r      io.Reader
	closed bool
	err    error
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errors.New("the request is over")
	}
	n, err := b.r.Read(p)
	if err != nil {
		b.err = err
	}
	return n, err
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// finish ends reading. What comes at the end may say that all of it was wrong, and may not have been read.
func (b *body) finish() error {
	b.Close()
	if b.err == nil {
		var n int64
		if n, b.err = io.Copy(io.Discard, io.LimitReader(b.r, 1)); b.err == nil && n > 0 {
			return nil // the request failed in the middle
		}
	}
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// move gives a file its name; false if that is taken.
func (s *server) move(ctx context.Context, from, to string) (bool, error) {
	if err := s.folder(ctx, path.Dir(s.at(to).Path)); err != nil {
		return false, err
	}
	header := http.Header{"Destination": {s.at(to).String()}, "Overwrite": {"F"}}
	err := s.unlocked(ctx, web.Request{Method: "MOVE", URL: s.at(from), Header: header, NoRedirect: true})
	if web.Status(err) == http.StatusPreconditionFailed {
		return false, nil
	}
	return err == nil, err
}

// drop removes what was not finished, if it can.
func (s *server) drop(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if err := s.unlocked(ctx, web.Request{Method: http.MethodDelete, URL: s.at(name)}); err != nil && !errors.Is(err, ocm.ErrNotFound) {
		s.env.Logger().Warn("an unfinished upload was left behind", "error", err)
	}
}

// folder makes a folder, with those above it; at is the path of its URL.
func (s *server) folder(ctx context.Context, at string) error {
	s.mu.Lock()
	made := s.made[at]
	s.mu.Unlock()
	if made {
		return nil
	}
	u := *s.base
	u.Path, u.RawPath = strings.TrimRight(at, "/")+"/", ""
	mkcol := web.Request{Method: "MKCOL", URL: &u, NoRedirect: true}
	err := s.unlocked(ctx, mkcol)
	if web.Status(err) == http.StatusConflict && at != "/" { // the one above is missing
		if err := s.folder(ctx, path.Dir(at)); err != nil {
			return err
		}
		err = s.unlocked(ctx, mkcol)
	}
	if err != nil && web.Status(err) != http.StatusMethodNotAllowed { // which says that it is there
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[at] = true
	return nil
}

// list names what is in a folder; nothing if there is none.
func (s *server) list(ctx context.Context, name string) ([]string, error) {
	at := s.at(name + "/")
	raw, err := s.client.Read(ctx, web.Request{Method: "PROPFIND", URL: at, Body: []byte(onlyTypes),
		Header: http.Header{"Depth": {"1"}, "Content-Type": {xmlType}}}, maxListing)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := namesIn(raw, at)
	if err != nil {
		return nil, fmt.Errorf("PROPFIND %s: %w", web.Place(at), err)
	}
	return names, nil
}

// namesIn reads the names from a list of what is in a folder. What is said of anything else is passed over.
func namesIn(raw []byte, folder *url.URL) ([]string, error) {
	var names []string
	dec := xml.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the answer is no list: %v: %w", err, ocm.ErrInvalid)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name != (xml.Name{Space: "DAV:", Local: "href"}) {
			continue
		}
		var href string
		if err := dec.DecodeElement(&href, &start); err != nil {
			return nil, fmt.Errorf("the answer is no list: %v: %w", err, ocm.ErrInvalid)
		}
		u, err := folder.Parse(strings.TrimSpace(href))
		if err != nil {
			return nil, fmt.Errorf("the list has an address that is none: %w", ocm.ErrInvalid)
		}
		if name, ok := strings.CutPrefix(strings.TrimRight(u.Path, "/"), folder.Path); ok && name != "" && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
}
