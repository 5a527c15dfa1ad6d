// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// uploads are those that are not finished.
type uploads struct {
	idle  time.Duration
	slots chan struct{} // one for each upload, also for those that come with one request

	mu     sync.Mutex
	byID   map[string]*upload
	closed bool
}

// upload is one of them. What comes in pieces flows into one Push of the store, which ends when the digest is known.
type upload struct {
	id, name string
	repo     oci.Repo
	timer    *time.Timer // gives it up when nothing comes

	busy sync.Mutex // one request at a time; it guards what follows
	gone bool
	used time.Time // the last time that a request ended

	in     *io.PipeWriter // nil before the first byte
	sum    hash.Hash
	has    int64
	done   chan struct{} // closed when Push has returned
	err    error         // of Push
	cancel context.CancelFunc
}

var (
	errGivenUp  = errors.New("the upload was given up")
	errMismatch = fmt.Errorf("not the digest that the client expects: %w", ocm.ErrDigest)
)

func newUploads(n int, idle time.Duration) uploads {
	return uploads{idle: idle, slots: make(chan struct{}, n), byID: map[string]*upload{}}
}

// enter takes a slot.
func (us *uploads) enter() error {
	select {
	case us.slots <- struct{}{}:
		return nil
	default:
	}
	f := refuse(http.StatusTooManyRequests, codeTooManyRequests, "%d uploads are not finished yet: try again later", cap(us.slots))
	f.header = http.Header{"Retry-After": {"5"}}
	return f
}

func (us *uploads) leave() { <-us.slots }

// begin is a new upload.
func (us *uploads) begin(name string, repo oci.Repo) (*upload, error) {
	if err := us.enter(); err != nil {
		return nil, err
	}
	u := &upload{id: newID(), name: name, repo: repo, used: time.Now()}
	u.busy.Lock()
	defer u.busy.Unlock()
	us.mu.Lock()
	defer us.mu.Unlock()
	if us.closed {
		us.leave()
		return nil, errGivenUp
	}
	us.byID[u.id] = u
	u.timer = time.AfterFunc(us.idle, func() {
		u.busy.Lock()
		defer u.busy.Unlock()
		if time.Since(u.used) >= us.idle { // else a request came while the timer waited for its end
			us.drop(u)
		}
	})
	return u, nil
}

// newID is a UUID of random bits, as the specification wants it.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// take finds an upload for one request; back must be called after it.
func (us *uploads) take(id, name string) (u *upload, back func(), err error) {
	us.mu.Lock()
	u = us.byID[id]
	us.mu.Unlock()
	unknown := refuse(http.StatusNotFound, codeUploadUnknown, "there is no such upload, or it was given up")
	if u == nil || u.name != name {
		return nil, nil, unknown
	}
	if !u.busy.TryLock() {
		return nil, nil, refuse(http.StatusConflict, codeUploadInvalid, "another request to this upload is not finished yet")
	}
	if u.gone {
		u.busy.Unlock()
		return nil, nil, unknown
	}
	u.timer.Stop()
	return u, func() {
		if !u.gone {
			u.used = time.Now()
			u.timer.Reset(us.idle)
		}
		u.busy.Unlock()
	}, nil
}

// drop ends an upload; nothing is left of it that did not get into the store. The caller holds busy.
func (us *uploads) drop(u *upload) {
	if u.gone {
		return
	}
	u.gone = true
	u.timer.Stop()
	if u.in != nil {
		u.in.CloseWithError(errGivenUp) // no effect after the end
		u.cancel()
		<-u.done
	}
	us.mu.Lock()
	delete(us.byID, u.id)
	us.mu.Unlock()
	us.leave()
}

func (us *uploads) close() {
	us.mu.Lock()
	us.closed = true
	all := make([]*upload, 0, len(us.byID))
	for _, u := range us.byID {
		all = append(all, u)
	}
	us.mu.Unlock()
	for _, u := range all {
		u.busy.Lock()
		us.drop(u)
		u.busy.Unlock()
	}
	for range cap(us.slots) { // those that come with one request end with it
		us.slots <- struct{}{}
	}
	for range cap(us.slots) {
		us.leave()
	}
}

// start opens the way into the store.
func (u *upload) start(ctx context.Context) {
	ctx, u.cancel = context.WithTimeout(context.WithoutCancel(ctx), MaxUploadTime)
	var out *io.PipeReader
	out, u.in = io.Pipe()
	u.sum, u.done = sha256.New(), make(chan struct{})
	context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(u.done)
		_, u.err = u.repo.Push(ctx, ociv1.Descriptor{Size: -1}, out)
		out.CloseWithError(u.err)
	}()
}

// add takes bytes from a request. What came before it broke counts.
func (u *upload) add(ctx context.Context, from io.Reader, buf []byte) (n int64, err error) {
	if u.in == nil {
		u.start(ctx)
	}
	n, err = io.CopyBuffer(io.MultiWriter(u.in, u.sum), onlyReader{from}, buf)
	u.has += n
	return n, err
}

type onlyReader struct{ io.Reader }

// finish lets the store have the blob if it has the digest.
func (u *upload) finish(ctx context.Context, want digest.Digest) error {
	got := digest.NewDigest(digest.SHA256, u.sum)
	if want.Algorithm() == digest.SHA256 && got != want {
		u.in.CloseWithError(errMismatch)
	} else {
		u.in.Close()
	}
	<-u.done
	u.cancel()
	if u.err != nil || got == want {
		return u.err
	}
	// Which other algorithm would be asked for was not known when the bytes came.
	rc, err := u.repo.Fetch(ctx, ociv1.Descriptor{Digest: got, Size: u.has})
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = u.repo.Push(ctx, ociv1.Descriptor{Digest: want, Size: -1}, rc)
	return err
}
