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

// Registry maps type names to implementations. Aliases are just more names. The zero
// value is empty; fill it before it is used concurrently.
type Registry[T any] struct {
	what  string
	byKey map[string]*T
	types []Type
}

// NewRegistry returns an empty registry; what names the kind of thing in messages.
func NewRegistry[T any](what string) *Registry[T] {
	return &Registry[T]{what: what, byKey: map[string]*T{}}
}

// Add registers v under each of the names, exactly as they are written in a "type" member.
func (r *Registry[T]) Add(v T, names ...string) {
	for _, n := range names {
		r.byKey[n] = &v
	}
}

// Register adds v under the names of a type, and keeps its description.
func (r *Registry[T]) Register(v T, t Type) {
	r.Add(v, t.Names...)
	r.types = append(r.types, t)
}

// Types are the descriptions of what was registered, in that order.
func (r *Registry[T]) Types() []Type { return slices.Clone(r.types) }

// Same reports whether two names mean the same thing.
func (r *Registry[T]) Same(a, b string) bool {
	v, ok := r.byKey[a]
	return a == b || ok && v == r.byKey[b]
}

// For finds the implementation of a type name; [ErrUnknownType] lists the known ones.
func (r *Registry[T]) For(typ string) (T, error) {
	if v, ok := r.byKey[typ]; ok {
		return *v, nil
	}
	var zero T
	return zero, fmt.Errorf("%s type %q: %w (known: %s)", r.what, typ, ErrUnknownType, strings.Join(r.Names(), ", "))
}

// Names lists the registered names, sorted.
func (r *Registry[T]) Names() []string {
	names := make([]string, 0, len(r.byKey))
	for n := range r.byKey {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Kit is everything a program was built with, by kind.
type Kit struct {
	Repositories *Registry[RepositoryOpener]
	Access       *Registry[Opener]
	Inputs       *Registry[Opener]
	Signers      *Registry[Signer]   // by signature algorithm and by signer configuration type
	Verifiers    *Registry[Verifier] // by signature algorithm
}
