// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Opener makes content of a typed specification: an access method or an input.
type Opener interface {
	// Open checks the specification and prepares the content; it reads no more than
	// it needs to describe the root. [ErrInvalid] names the wrong field.
	Open(ctx context.Context, env *Env, s Spec) (Content, error)
}

// OpenerFunc is an [Opener] made of a function.
type OpenerFunc func(ctx context.Context, env *Env, s Spec) (Content, error)

// Open calls f.
func (f OpenerFunc) Open(ctx context.Context, env *Env, s Spec) (Content, error) {
	return f(ctx, env, s)
}

// RepositoryOpener opens a repository by specification. A CTF that does not exist is
// opened and is created by its first commit.
type RepositoryOpener func(ctx context.Context, env *Env, s Spec) (Repository, error)

// Uploader stores content in a place that is no OCM repository.
type Uploader interface {
	// Upload stores the whole content where the specification says, and returns the access that leads to it there. hint is the name
	// that the content had in a registry, may be empty. Content that is there already is not read. It takes slots of env.Job itself.
	// Whoever calls it compares what the access leads to with what was given.
	Upload(ctx context.Context, env *Env, c Content, s Spec, hint string) (Stored, error)
}

// Transformer makes other content of content, such as a chart of an OCI artifact.
type Transformer interface {
	// Transform checks the specification and prepares the new content; c is read when that is. [ErrInvalid] names the wrong field.
	Transform(ctx context.Context, env *Env, c Content, s Spec) (Content, error)
}

// CredentialSource looks secrets up in places of one kind.
type CredentialSource interface {
	// Find returns the secret that the place described by s has for a consumer; [ErrNotFound] if it has none. What the place itself is
	// opened with it finds in env.Credentials.
	Find(ctx context.Context, env *Env, s Spec, id Identity) (Secret, error)
}

// Signer makes signatures of one family of algorithms.
type Signer interface {
	// Sign signs the digest. name is the signature's name: keys are looked up by it in
	// env.Credentials. The spec holds the algorithm's settings and may be the zero Spec.
	Sign(ctx context.Context, env *Env, name string, d Digest, s Spec) (SignatureValue, error)
}

// Verifier judges signatures of one family of algorithms.
type Verifier interface {
	// Verify returns without an error only if sig is a good signature over sig.Digest by somebody whom
	// env.Credentials or the spec say to trust. [ErrSignature] otherwise; what cannot be judged is an error
	// too, and a [CheckError] says which check it was. Whether sig.Digest is the right digest is the caller's
	// business.
	//
	// The findings are what was established, in the order of the checks, also before an error. A good
	// signature has at least the finding [FoundSigner].
	Verify(ctx context.Context, env *Env, sig Signature, s Spec) ([]Finding, error)
}

// Finding is one fact that a [Verifier] has established about a signature.
type Finding struct {
	Check  string // one of the constants below, or a check of the algorithm's own
	Detail string // for people: the key, the chain, the time, …
	// Time is set with [FoundTime]: the moment at which a trusted party has seen what was signed. What
	// only the signer says is no such moment.
	Time time.Time
}

// Checks that [Verifier]s have in common.
const (
	FoundValue    = "signature value"   // the signature fits the key
	FoundChain    = "certificate chain" // the signer's certificate leads to a trust anchor
	FoundTime     = "signing time"      // when it was signed, by whose word; what is dated is judged at that time
	FoundIdentity = "identity"          // the signer is whom the verifier expects
	FoundLog      = "transparency log"  // the signature was published
	FoundSigner   = "signer"            // who signed: key, certificate or identity
)

// CheckError is a failure of a named check.
type CheckError struct {
	Check string // as in [Finding]
	Err   error
}

func (e *CheckError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *CheckError) Unwrap() error { return e.Err }

// Credentials finds secrets.
type Credentials interface {
	// Resolve returns the secret for a consumer; [ErrNotFound] if there is none, in
	// which case callers go on anonymously where that makes sense.
	Resolve(ctx context.Context, id Identity) (Secret, error)
}

// Secret is a set of named properties, such as username and password.
type Secret map[string]string

// Env is what implementations need from their surroundings, given once. The zero value
// works: no credentials, default transport, default places, no log.
type Env struct {
	Credentials Credentials       // nil: none
	HTTP        http.RoundTripper // nil: http.DefaultTransport
	Dir         string            // base of relative input paths; empty: current directory
	Temp        string            // folder for temporary files; empty: os.TempDir()
	Cache       string            // folder for what may help the next run, such as unfinished uploads; empty: none is kept
	Timeout     time.Duration     // longest time without progress of a connection; 0: the default of its kind
	Durable     bool              // what is written to an archive waits for the disk
	Confined    bool              // what belongs to the user of this process is not used: files of the home folder, agents, variables
	Now         func() time.Time  // nil: time.Now
	Log         *slog.Logger      // nil: discarded
	Job         *Job              // nil: no bound, nothing shared
	Report      func(Event)       // nil: nobody listens; may be called concurrently
}

// Event is progress of one item. Bytes never goes backwards for one Item.
//
// An Event without Item announces work: Total more bytes are going to be looked at. Each announced
// byte is accounted for by a last event of an item, moved or not.
type Event struct {
	Item    string // what is worked on, e.g. "acme.org/app:1.0.0 resource image"
	Bytes   int64  // done so far
	Total   int64  // -1: not known
	Done    bool   // last event of the item
	Skipped bool   // with Done: nothing had to move
}

// Resolve asks the environment's credentials; without any it answers [ErrNotFound].
func (e *Env) Resolve(ctx context.Context, id Identity) (Secret, error) {
	if e == nil || e.Credentials == nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, ErrNotFound)
	}
	return e.Credentials.Resolve(ctx, id)
}

// Transport is the HTTP transport to use.
func (e *Env) Transport() http.RoundTripper {
	if e == nil || e.HTTP == nil {
		return http.DefaultTransport
	}
	return e.HTTP
}

// Time is the current time by the environment's clock.
func (e *Env) Time() time.Time {
	if e == nil || e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// Logger never returns nil.
func (e *Env) Logger() *slog.Logger {
	if e == nil || e.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Log
}

// TempDir is the folder for temporary files.
func (e *Env) TempDir() string {
	if e == nil || e.Temp == "" {
		return os.TempDir()
	}
	return e.Temp
}

// Event reports progress if somebody listens.
func (e *Env) Event(ev Event) {
	if e != nil && e.Report != nil {
		e.Report(ev)
	}
}

// Registry maps type names to implementations. Aliases are just more names. It may be used concurrently.
type Registry[T any] struct {
	what string

	mu    sync.RWMutex
	byKey map[string]*T
	types []Type
	later func() error
}

// NewRegistry returns an empty registry; what names the kind of thing in messages.
func NewRegistry[T any](what string) *Registry[T] {
	return &Registry[T]{what: what, byKey: map[string]*T{}}
}

// Add registers v under each of the names, exactly as they are written in a "type" member.
func (r *Registry[T]) Add(v T, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range names {
		r.byKey[n] = &v
	}
}

// Register adds v under the names of a type, and keeps its description.
func (r *Registry[T]) Register(v T, t Type) {
	r.Add(v, t.Names...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.types = append(r.types, t)
}

// Later sets what is called when a type is asked for that is not known: it may register more. Its error explains why something is
// still not known; it is called each time, so it remembers what it has done.
func (r *Registry[T]) Later(more func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.later = more
}

// Types are the descriptions of what was registered, in that order.
func (r *Registry[T]) Types() []Type {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.types)
}

// Has reports whether a name is registered; nothing is loaded to find out.
func (r *Registry[T]) Has(name string) bool {
	_, ok := r.get(name)
	return ok
}

func (r *Registry[T]) get(name string) (*T, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok := r.byKey[name]
	return v, ok
}

// Same reports whether two names mean the same thing.
func (r *Registry[T]) Same(a, b string) bool {
	v, ok := r.get(a)
	w, _ := r.get(b)
	return a == b || ok && v == w
}

// For finds the implementation of a type name; [ErrUnknownType] lists the known ones.
func (r *Registry[T]) For(typ string) (T, error) {
	v, ok := r.get(typ)
	var loading error
	if !ok {
		loading = r.load()
		v, ok = r.get(typ) // one broken plugin does not hide the types of others
	}
	if ok {
		return *v, nil
	}
	var zero T
	err := fmt.Errorf("%s type %q: %w (known: %s)", r.what, typ, ErrUnknownType, strings.Join(r.Names(), ", "))
	if loading != nil {
		err = fmt.Errorf("%w; it may be that of a plugin that cannot be used: %w", err, loading)
	}
	return zero, err
}

// load asks for more than was registered.
func (r *Registry[T]) load() error {
	r.mu.RLock()
	later := r.later
	r.mu.RUnlock()
	if later == nil {
		return nil
	}
	return later()
}

// Names lists the registered names, sorted.
func (r *Registry[T]) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := make([]string, 0, len(r.byKey))
	for n := range r.byKey {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Kit is everything a program can work with, by kind.
type Kit struct {
	Repositories *Registry[RepositoryOpener]
	Access       *Registry[Opener]
	Inputs       *Registry[Opener]
	Uploaders    *Registry[Uploader]
	Transformers *Registry[Transformer]
	Signers      *Registry[Signer]   // by signature algorithm and by signer configuration type
	Verifiers    *Registry[Verifier] // by signature algorithm
	Secrets      *Registry[CredentialSource]
}

// NewKit returns a kit with nothing in it.
func NewKit() *Kit {
	return &Kit{
		Repositories: NewRegistry[RepositoryOpener]("repository"),
		Access:       NewRegistry[Opener]("access"),
		Inputs:       NewRegistry[Opener]("input"),
		Uploaders:    NewRegistry[Uploader]("uploader"),
		Transformers: NewRegistry[Transformer]("transformer"),
		Signers:      NewRegistry[Signer]("signer"),
		Verifiers:    NewRegistry[Verifier]("signature algorithm"),
		Secrets:      NewRegistry[CredentialSource]("credential source"),
	}
}
