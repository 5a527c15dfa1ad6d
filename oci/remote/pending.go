// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/web"
)

// How a blob is cut into parts. A part that is complete is not sent again, whatever happens; each
// costs a round trip.
const (
	wholeSize = 16 << 20         // smaller blobs go in one part
	wholeTime = 10 * time.Second // so do those that need less time than this; the parts of others need half of it
	firstPart = 16 << 20         // of the first blob, when it is not known how fast the registry is
	leastPart = 8 << 20
	mostPart  = 1 << 30
)

const (
	maxPendingAge  = 24 * time.Hour // registries drop uploads at last after days
	maxPendingFile = 16 << 10       // bytes of a remembered upload
	maxPendingList = 1000           // files that are looked at when old ones are removed
)

// rate is how fast the registry takes one upload.
type rate struct {
	mu        sync.Mutex
	perSecond float64 // bytes; 0: not known
	whole     bool    // the registry takes no parts
}

// part is the size of the next part of an upload that lacks rest bytes: rest if it is the last.
// A blob goes in one if it needs less time than whole, else in parts that need half of that.
func (r *rate) part(rest, least int64, whole time.Duration) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := int64(firstPart)
	switch {
	case rest < wholeSize || r.whole:
		return rest
	case r.perSecond > 0 && float64(rest)/r.perSecond < whole.Seconds():
		return rest
	case r.perSecond > 0:
		n = min(max(int64(r.perSecond*whole.Seconds()/2), leastPart), mostPart)
	}
	return min(max(n, least), rest)
}

// add takes a measurement in, if it is large enough to tell something.
func (r *rate) add(n int64, took time.Duration) {
	if n < 1<<20 || took <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := float64(n) / took.Seconds()
	if r.perSecond > 0 {
		now = (now + r.perSecond) / 2
	}
	r.perSecond = now
}

// onlyWhole notes that the registry takes blobs in one part only.
func (r *rate) onlyWhole() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = true
}

// pending remembers uploads that are not complete, for the next run. It is a help: what cannot be
// written or read is as if it were not there.
type pending struct {
	folder string // the user's cache; empty: nothing is remembered
	sweep  sync.Once
}

// pendingKey names an upload.
type pendingKey struct {
	Registry   string        `json:"registry"`
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Size       int64         `json:"size"`
}

// pendingUpload is the form on disk. A location is no secret: it is of use only to whoever may write to
// the repository.
type pendingUpload struct {
	Of       pendingKey `json:"of"`
	Location string     `json:"location"`
	Time     time.Time  `json:"time"`
}

func (r *repo) key(d ociv1.Descriptor) pendingKey {
	return pendingKey{Registry: r.session.origin.String(), Repository: r.name, Digest: d.Digest, Size: d.Size}
}

func (p *pending) path(k pendingKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", k.Registry, k.Repository, k.Digest))
	return filepath.Join(p.folder, "uploads", hex.EncodeToString(sum[:])+".json")
}

func (p *pending) has(k pendingKey) bool {
	if p.folder == "" || k.Digest == "" {
		return false
	}
	_, err := os.Lstat(p.path(k))
	return err == nil
}

func (p *pending) forget(k pendingKey) {
	if p.folder != "" && k.Digest != "" && k.Size >= wholeSize {
		os.Remove(p.path(k)) //nolint:errcheck // it is old then, and tried once more
	}
}

// save writes in one step, so that there is never half of it.
func (p *pending) save(k pendingKey, u *upload) {
	if p.folder == "" {
		return
	}
	folder := filepath.Dir(p.path(k))
	raw, err := jsonv2.Marshal(pendingUpload{k, u.at.String(), time.Now().UTC()})
	if err != nil || len(raw) > maxPendingFile || os.MkdirAll(folder, 0o700) != nil {
		return
	}
	p.sweep.Do(func() { removeOld(folder) })
	f, err := os.CreateTemp(folder, ".new-*") // readable by the user alone
	if err != nil {
		return
	}
	_, err = f.Write(raw)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), p.path(k))
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // removed with the old ones at last
	}
}

// removeOld removes what nobody will continue.
func removeOld(folder string) {
	dir, err := os.Open(folder)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(maxPendingList)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > maxPendingAge {
			os.Remove(filepath.Join(folder, e.Name())) //nolint:errcheck // next time
		}
	}
}

// load returns the location of an upload, nil if none is known that could be continued.
func (p *pending) load(k pendingKey, origin *url.URL) *url.URL {
	if !p.has(k) {
		return nil
	}
	f, err := os.Open(p.path(k))
	if err != nil {
		return nil
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPendingFile+1))
	if err != nil {
		return nil
	}
	at, err := parsePending(raw, k, origin, time.Now())
	if err != nil {
		p.forget(k)
		return nil
	}
	return at
}

// parsePending reads a remembered upload. It has to be that of the key, young, and at the registry.
func parsePending(raw []byte, k pendingKey, origin *url.URL, now time.Time) (*url.URL, error) {
	var u pendingUpload
	if len(raw) > maxPendingFile {
		return nil, fmt.Errorf("remembered upload: more than %d bytes: %w", maxPendingFile, ocm.ErrLimit)
	}
	if err := jsonv2.Unmarshal(raw, &u); err != nil {
		return nil, fmt.Errorf("remembered upload: %v: %w", err, ocm.ErrInvalid)
	}
	at, err := url.Parse(u.Location)
	age := now.Sub(u.Time)
	if err != nil || u.Of != k || age < -time.Hour || age > maxPendingAge || at.User != nil || !web.SameOrigin(at, origin) {
		return nil, fmt.Errorf("remembered upload: it is old, or of something else: %w", ocm.ErrInvalid)
	}
	return at, nil
}

// restore finds an upload of an earlier run that can be continued, unless the blob is there by now.
//
// What registries keep differs. Distribution's own (2.8, 3.0) goes on only from the location that its last
// answer named, with exactly the bytes that it had then: a part that was cut on its way to
// it makes the whole upload unusable. It is continued if the cut was between two parts, or if a proxy
// in front takes a part whole before it passes it on, as nginx does by default. Others (olareg, zot)
// keep what has arrived of a cut part.
func (r *repo) restore(ctx context.Context, d ociv1.Descriptor) (*upload, error) {
	if d.Size < wholeSize || !r.session.pending.has(r.key(d)) {
		return nil, nil
	}
	if ok, err := r.Exists(ctx, d); ok || err != nil {
		return nil, err
	}
	return r.resume(ctx, d), nil
}

// resume asks for the state of a remembered upload; nil if there is none to go on with.
func (r *repo) resume(ctx context.Context, d ociv1.Descriptor) *upload {
	if d.Size < wholeSize {
		return nil
	}
	at := r.session.pending.load(r.key(d), r.session.origin)
	if at == nil {
		return nil
	}
	u, err := r.status(ctx, at, d.Size)
	if err != nil || u == nil {
		if ctx.Err() == nil && !passing(err) {
			r.session.pending.forget(r.key(d))
		}
		return nil
	}
	r.session.env.Job.Counters().Retries.Add(1)
	r.session.env.Logger().Info("continuing an upload", "repository", r.String(), "digest", d.Digest.String(), "from", u.has, "of", d.Size)
	return u
}

// status asks a registry how much it has of an upload. nil if that is nothing, or it does not know it.
func (r *repo) status(ctx context.Context, at *url.URL, size int64) (*upload, error) {
	req, err := http.NewRequestWithContext(r.scope(ctx, auth.ActionPull, auth.ActionPush), http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.session.Do(req) //nolint:bodyclose // web.Drop does it
	if err != nil {
		return nil, err
	}
	defer web.Drop(resp)
	has, ok := parseUploadRange(resp.Header.Get("Range"))
	if resp.StatusCode != http.StatusNoContent || !ok || has == 0 || has > size {
		return nil, nil
	}
	if to, err := resp.Location(); err == nil && to.User == nil {
		at = to
	}
	return &upload{at: at, has: has, restored: true}, nil
}
