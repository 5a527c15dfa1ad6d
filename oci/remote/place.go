// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
	"ocm/oci"
	"ocm/web"
)

// mounts is what was learned about a registry's way with mounts.
//
// A mount of a blob from the very repository that it is for asks whether it is there (201) and
// begins its upload if not (202), all in one request. But a registry that knows no mounts answers
// 202 too, and would get again what it has. So 202 counts as "not there" only after the
// registry was seen to answer 201 for a blob that had just been stored; until then it is asked
// by HEAD.
//
// A registry that says 201 for a blob that nobody has is not asked for mounts any more: before the first 201
// is believed, it is asked for such a one.
type mounts struct {
	once sync.Once
	liar bool // set by once

	mu     sync.Mutex
	self   answerKind
	unable map[string]bool // origins that it does not mount from, "" for all
}

type answerKind int

const (
	unasked answerKind = iota
	asking
	works
	fails
)

func (m *mounts) selfWorks() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self == works
}

// claim lets one caller find out whether self-mounts work.
func (m *mounts) claim() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.self != unasked || m.unable[""] {
		return false
	}
	m.self = asking
	return true
}

func (m *mounts) learn(self answerKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self = self
}

func (m *mounts) refuse(origin string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unable == nil {
		m.unable = map[string]bool{}
	}
	m.unable[origin] = true
}

func (m *mounts) refused(origin string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unable[origin] || m.unable[""]
}

// Place implements [oci.Placer]. What is there costs one request, what is not costs the two of
// its upload; a store's first blob costs two more, see [mounts].
func (r *repo) Place(ctx context.Context, d ociv1.Descriptor, origins []string, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	if err := r.check(d); err != nil {
		return oci.Found, err
	}
	u, err := r.restore(ctx, d)
	if err != nil {
		return oci.Found, err
	}
	if u == nil {
		var how oci.How
		if how, u, err = r.find(ctx, d, origins); err != nil || how != oci.Moved {
			r.abandon(ctx, u)
			return how, err
		}
	}
	src := &source{open: open}
	defer src.close()
	if _, err := r.push(ctx, d, src, u); err != nil {
		return oci.Moved, err
	}
	r.proveMount(ctx, d)
	return oci.Moved, nil
}

// find looks for a blob in its place and in its origins. [oci.Moved] says that its bytes have to
// be sent, to the upload if there is one.
func (r *repo) find(ctx context.Context, d ociv1.Descriptor, origins []string) (oci.How, *upload, error) {
	selfWorks := r.session.mounts.selfWorks()
	if !selfWorks {
		if ok, err := r.Exists(ctx, d); ok || err != nil {
			return oci.Found, nil, err
		}
	}
	for _, o := range origins {
		from := r.origin(o)
		if from == "" || r.session.mounts.refused(from) {
			continue
		}
		ok, u, err := r.mount(ctx, d, from)
		switch {
		case ok && err == nil && r.lies(ctx):
			continue
		case ok || err != nil:
			return oci.Mounted, nil, err
		case u == nil:
			continue
		case selfWorks: // the origin has it not, or we may not read there: that says nothing about the place itself
			if ok, err := r.Exists(ctx, d); ok || err != nil {
				return oci.Found, u, err
			}
		}
		return oci.Moved, u, nil
	}
	if !selfWorks {
		return oci.Moved, nil, nil
	}
	ok, u, err := r.mount(ctx, d, r.name)
	if !ok && err == nil && u == nil { // it works no more
		ok, err = r.Exists(ctx, d)
	}
	if ok || err != nil {
		return oci.Found, nil, err
	}
	return oci.Moved, u, nil
}

// origin is the repository of this registry that an origin names, empty if it is none or this one.
func (r *repo) origin(origin string) string {
	from, ok := strings.CutPrefix(origin, r.session.name+"/")
	if !ok || from == r.name || checkRepository(from) != nil {
		return "" // a strange origin is no fault, there is just nothing to mount
	}
	return from
}

// proveMount finds out once whether this registry can be asked by a mount, with a blob that is
// certainly there and one that certainly is nowhere. It fails nothing.
func (r *repo) proveMount(ctx context.Context, d ociv1.Descriptor) {
	m := &r.session.mounts
	if !m.claim() {
		return
	}
	ok, u, err := r.mount(ctx, d, r.name)
	switch {
	case ok && r.lies(ctx):
		m.learn(fails)
	case ok:
		m.learn(works)
	case ctx.Err() != nil:
		m.learn(unasked)
	default:
		m.learn(fails)
		if err != nil {
			r.session.env.Logger().Debug("registry cannot mount", "registry", r.session.name, "error", err)
		}
	}
	r.abandon(ctx, u)
}

// lies reports whether the registry claims to have mounted what nobody has: its word is worth
// nothing then, and a version could become visible without its content.
func (r *repo) lies(ctx context.Context) bool {
	m := &r.session.mounts
	m.once.Do(func() {
		var nonce [32]byte
		rand.Read(nonce[:]) // never fails
		nowhere := ociv1.Descriptor{Digest: digest.NewDigestFromBytes(digest.SHA256, nonce[:]), Size: 1}
		var u *upload
		if m.liar, u, _ = r.mount(ctx, nowhere, r.name); m.liar {
			m.refuse("")
			r.session.env.Logger().Warn("the registry claims to have mounted what nobody has; it is not asked again", "registry", r.session.name)
		}
		r.abandon(ctx, u)
	})
	return m.liar
}

// mount takes a blob over from another repository of the registry, or from this one. Where it
// does not, it returns the upload that the registry began instead; nil if it began none.
func (r *repo) mount(ctx context.Context, d ociv1.Descriptor, from string) (bool, *upload, error) {
	if err := r.check(d); err != nil {
		return false, nil, err
	}
	source := r.oras.Reference
	if source.Repository = from; from != r.name {
		ctx = auth.AppendRepositoryScope(ctx, source, auth.ActionPull)
	}
	req, err := r.ask(ctx, http.MethodPost, "blobs/uploads/?mount="+url.QueryEscape(d.Digest.String())+"&from="+url.QueryEscape(from), auth.ActionPull, auth.ActionPush)
	if err != nil {
		return false, nil, err
	}
	resp, err := r.session.Do(req) //nolint:bodyclose // web.Drop does it
	var f *failure
	if errors.As(err, &f) && f.code >= 400 && f.code < 500 && f.code != http.StatusTooManyRequests {
		r.declined(f.code, from)
		return false, nil, nil // if it is about rights, the push will tell
	}
	if err != nil {
		return false, nil, err
	}
	defer web.Drop(resp)
	switch resp.StatusCode {
	case http.StatusCreated:
		return true, nil, r.checkMounted(d, resp)
	case http.StatusAccepted:
		if u, err := r.next(req, resp, nil); err == nil {
			return false, u, nil
		}
	}
	r.declined(resp.StatusCode, from)
	return false, nil, nil
}

// declined remembers who does not mount. A refusal of rights is about one origin.
func (r *repo) declined(code int, from string) {
	switch {
	case from == r.name:
		r.session.mounts.learn(fails)
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusNotFound:
		r.session.mounts.refuse(from)
	default:
		r.session.mounts.refuse("")
	}
}

// checkMounted refuses a registry that says that it has mounted something else.
func (r *repo) checkMounted(d ociv1.Descriptor, resp *http.Response) error {
	said := []string{resp.Header.Get("Docker-Content-Digest")}
	if at, err := resp.Location(); err == nil {
		said = append(said, path.Base(at.Path))
	}
	for _, one := range said {
		found := digest.Digest(one)
		if blob.CheckDigest(found) == nil && found.Algorithm() == d.Digest.Algorithm() && found != d.Digest {
			return fmt.Errorf("%s: mount: expected %s, the registry says %s: %w", r, d.Digest, found, ocm.ErrDigest)
		}
	}
	return nil
}
