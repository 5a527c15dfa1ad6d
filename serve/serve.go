// SPDX-License-Identifier: Apache-2.0

// Package serve offers any [oci.Store] as a registry, by the OCI distribution specification 1.1: an archive in its folder or
// file becomes a place to pull from, without unpacking it.
//
// Manifests are compared with their digests before they are sent. Blobs are sent as they lie there, straight from the file
// where that is possible: comparing them is up to the client, as always. Blobs belong to the store, and not to one of its
// repositories: whoever may read one repository may read them all, because there is one list of users for all of them.
//
// What is sent from a local file costs no memory; manifests are held in memory while they are sent or received, in all
// not more than [MaxHeld]. An upload goes to the store while it comes: nothing is written twice, and nothing is visible before its
// digest is right.
package serve

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"ocm/blob"
	"ocm/oci"
)

// Limits of what clients may cost.
const (
	MaxBlob       = blob.MaxArchive     // bytes of a blob that is pushed: 413
	MaxHeld       = 32 * manifestMemory // bytes of manifests in memory, half of them for pushes; who comes later waits
	MaxPage       = 1000                // entries of one answer of a list; a link leads to the next ones
	MaxUploads    = 128                 // uploads at the same time: 429
	MaxUploadIdle = 10 * time.Minute    // after which an upload that nothing came for is given up
	MaxUploadTime = 24 * time.Hour      // after which it is given up whatever came

	PieceSize = 1 << 20     // bytes of a body that must move …
	PieceTime = time.Minute // … in this time, in either direction; else the connection is closed
)

const manifestMemory = blob.MaxManifest

// Options say what a registry allows.
type Options struct {
	Writable bool         // pushes and deletions; the store must allow them
	Log      *slog.Logger // each request at debug level, failures of the store at error level; nil: silent
	Users    Users        // who may come in; nil: everybody
}

// Users judges names and passwords of basic authentication, without telling by the time it takes what was wrong.
type Users interface {
	Allowed(ctx context.Context, name, password string) bool
}

// Registry answers the requests of the distribution specification. It is an [http.Handler] for the root of a server.
type Registry struct {
	store   oci.Store
	options Options
	sent    *semaphore.Weighted // bytes of manifests on their way out
	pushed  *semaphore.Weighted // bytes of those on their way in: who pushes slowly does not keep others from reading
	uploads uploads
	emptied emptied
	buffers sync.Pool     // of *[copySize]byte
	pace    time.Duration // PieceTime
}

const copySize = 256 << 10

// Handler is the registry. Its Close gives up unfinished uploads; the store stays open.
func Handler(store oci.Store, o Options) *Registry {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Registry{
		store: store, options: o, sent: semaphore.NewWeighted(MaxHeld / 2), pushed: semaphore.NewWeighted(MaxHeld / 2),
		uploads: newUploads(MaxUploads, MaxUploadIdle),
		buffers: sync.Pool{New: func() any { return new([copySize]byte) }},
		pace:    PieceTime,
	}
}

// Close gives up the unfinished uploads and waits until nothing is left of them. No request may come after it.
func (g *Registry) Close() error {
	g.uploads.close()
	return nil
}

// exchange is one request with its answer.
type exchange struct {
	w     *recorder
	r     *http.Request
	ctl   *http.ResponseController
	pace  time.Duration
	route route
	repo  oci.Repo // nil if the route has none
}

// ServeHTTP implements [http.Handler].
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	x := &exchange{w: &recorder{ResponseWriter: w}, r: r, ctl: http.NewResponseController(w), pace: g.pace}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		_ = x.ctl.SetReadDeadline(time.Time{}) // nothing is to come; a limit for the body would end the answer
	}
	h := w.Header()
	h.Set("Docker-Distribution-API-Version", "registry/2.0")
	h.Set("X-Content-Type-Options", "nosniff") // what is served is never a page, whatever it says of itself
	cut := false
	if err := g.handle(x); err != nil {
		x.hurry(0)
		cut = g.fail(x, err)
	}
	x.hurry(0) // what is left of the answer is sent after this; somebody who takes none would keep the connection for ever
	g.options.Log.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", x.w.status, "bytes", x.w.bytes,
		"took", time.Since(begin).Round(time.Microsecond), "from", r.RemoteAddr, "user", x.w.user)
	if cut {
		panic(http.ErrAbortHandler) // closes the connection: an answer that is cut short must not look like a whole one
	}
}

func (g *Registry) handle(x *exchange) error {
	if err := g.authenticate(x); err != nil {
		return err
	}
	var err error
	if x.route, err = parseRoute(x.r.URL.EscapedPath()); err != nil {
		return err
	}
	do, err := g.method(x.route.kind, x.r.Method)
	if err != nil {
		return err
	}
	if x.route.kind != kindBase && x.route.kind != kindCatalog {
		if err := checkName(x.route.name); err != nil {
			return err
		}
		x.repo = g.store.Repo(x.route.name)
	}
	return do(x)
}

// authenticate lets everybody in if there are no users.
func (g *Registry) authenticate(x *exchange) error {
	if g.options.Users == nil {
		return nil
	}
	name, password, given := x.r.BasicAuth()
	if given && g.options.Users.Allowed(x.r.Context(), name, password) {
		x.w.user = name
		return nil
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="ocm", charset="UTF-8"`)
	if !given {
		return refuse(http.StatusUnauthorized, codeUnauthorized, "a name and a password are needed")
	}
	return refuse(http.StatusUnauthorized, codeUnauthorized, "the name or the password is wrong")
}

type action func(*exchange) error

// method finds what a request asks for.
func (g *Registry) method(k kind, method string) (action, error) {
	all := g.actions(k)
	do := all[method]
	if method == http.MethodHead {
		do = all[http.MethodGet]
	}
	writes := method != http.MethodGet && method != http.MethodHead
	switch {
	case do == nil:
		f := refuse(http.StatusMethodNotAllowed, codeUnsupported, "%.20q is not for this address", method)
		f.header = http.Header{"Allow": allowed(all)}
		return nil, f
	case writes && !g.options.Writable:
		f := refuse(http.StatusMethodNotAllowed, codeUnsupported, "this registry is read-only")
		f.header = http.Header{"Allow": {"GET, HEAD"}}
		return nil, f
	}
	return do, nil
}

func (g *Registry) actions(k kind) map[string]action {
	switch k {
	case kindBase:
		return map[string]action{http.MethodGet: g.getBase}
	case kindCatalog:
		return map[string]action{http.MethodGet: g.getCatalog}
	case kindTags:
		return map[string]action{http.MethodGet: g.getTags}
	case kindReferrers:
		return map[string]action{http.MethodGet: g.getReferrers}
	case kindManifest:
		return map[string]action{http.MethodGet: g.getManifest, http.MethodPut: g.putManifest, http.MethodDelete: g.deleteManifest}
	case kindBlob:
		return map[string]action{http.MethodGet: g.getBlob, http.MethodDelete: g.deleteBlob}
	case kindUploads:
		return map[string]action{http.MethodPost: g.postUpload}
	case kindUpload:
		return map[string]action{http.MethodGet: g.getUpload, http.MethodPatch: g.patchUpload, http.MethodPut: g.putUpload, http.MethodDelete: g.deleteUpload}
	}
	return nil
}

// getBase tells that this is a registry.
func (g *Registry) getBase(x *exchange) error { return x.json("application/json", struct{}{}) }
