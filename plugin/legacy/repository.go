// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"sync"

	json "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
	"ocm/oci"
)

// Limits of what is looked at in a repository.
const (
	MaxComponents = 1_000_000 // that are listed
	maxSearched   = 1000      // versions that are opened to find one by its digest
)

// repository is a component repository of a plugin. What is visible in it is a descriptor; there is no manifest, so that in its place
// stands the descriptor as the plugin writes it.
type repository struct {
	plugin *Plugin
	runs   *instance
	env    *ocm.Env
	spec   ocm.Spec
	auth   func(context.Context) (authorization, error)

	closed sync.Once

	mu    sync.Mutex
	known map[digest.Digest]string // versions by the digests they were found with, of all components: name + "\n" + version
}

// listing is a repository that can list its components.
type listing struct{ *repository }

var _ ocm.Lister = listing{}

// repositories makes the opener of a type of repositories.
func (p *Plugin) repositories(t specType) ocm.RepositoryOpener {
	return func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := t.check(s); err != nil {
			return nil, p.named(err)
		}
		key := s.Raw.Clone()
		if err := key.Canonicalize(); err != nil {
			return nil, p.named(fmt.Errorf("%w: %w", err, ocm.ErrInvalid))
		}
		runs, err := p.instance("repository "+string(key), p.greeting(s))
		if err != nil {
			return nil, err
		}
		r := &repository{plugin: p, runs: runs, env: env, spec: s, known: map[digest.Digest]string{}}
		r.auth = r.authorizer()
		if p.doc.lists(s.Type) {
			return listing{r}, nil
		}
		return r, nil
	}
}

// greeting tells a new process which repository it is for. Most plugins need not know, and some do not know the question.
func (p *Plugin) greeting(s ocm.Spec) func(context.Context, *process) {
	return func(ctx context.Context, r *process) {
		q := question{path: "/component-version/check-health", body: map[string]any{"repository": s}, auth: authorization{header: "{}"}}
		if err := r.ask(ctx, HealthTimeout, q, nil); err != nil {
			p.o.Log.Debug("the plugin was told which repository it is for", "plugin", p.name, "answer", err)
		}
	}
}

// authorizer finds the repository's credentials; none are an empty object, because such plugins refuse a question without the header.
func (r *repository) authorizer() func(context.Context) (authorization, error) {
	find := r.runs.authorizer(r.env, identityPath, typedBody{r.spec})
	return func(ctx context.Context) (authorization, error) {
		auth, err := find(ctx)
		if auth.header == "" {
			auth.header = "{}"
		}
		return auth, err
	}
}

// ask asks in the repository's name.
func (r *repository) ask(ctx context.Context, q question, answer any) (err error) {
	if q.auth, err = r.auth(ctx); err != nil {
		return err
	}
	return r.runs.ask(ctx, q, answer)
}

// String says which plugin, and which type of repository: its specification may hold secrets.
func (r *repository) String() string {
	var at struct {
		BaseURL string `json:"baseUrl"`
		URL     string `json:"url"`
		Path    string `json:"path"`
	}
	_ = r.spec.Decode(&at) // members of another kind mean something else
	for _, place := range []string{at.BaseURL, at.URL, at.Path} {
		if u, err := url.Parse(place); err == nil && place != "" {
			u.User, u.RawQuery, u.Fragment = nil, "", ""
			return fmt.Sprintf("%s %s (plugin %s)", shown(r.spec.Type), shown(u.String()), r.plugin.name)
		}
	}
	return fmt.Sprintf("%s (plugin %s)", shown(r.spec.Type), r.plugin.name)
}

// Close implements [ocm.Repository]. The process goes on, for whoever opens the repository again.
func (r *repository) Close() error {
	r.closed.Do(func() { r.plugin.release(r.runs) })
	return nil
}

// Open implements [ocm.Repository]. By digest only what is there now is found.
func (r *repository) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := descriptor.CheckName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	want := digest.Digest(ref)
	if blob.CheckDigest(want) == nil {
		return r.byDigest(ctx, name, want)
	}
	v, err := r.open(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// open downloads a descriptor.
func (r *repository) open(ctx context.Context, name, ver string) (*version, error) {
	raw, err := r.download(ctx, name, ver)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ocm.ErrDenied) {
		raw, err = r.again(ctx, name, ver, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", r, name, ver, err)
	}
	d, err := descriptor.Decode("", raw)
	if err == nil && (d.Component.Name != name || d.Component.Version != ver) {
		err = fmt.Errorf("it answers with %s:%s: %w", shown(d.Component.Name), shown(d.Component.Version), ocm.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", r, name, ver, r.plugin.named(err))
	}
	v := &version{repository: r, desc: d, manifest: ociv1.Descriptor{
		MediaType: d.Origin().MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
	}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[v.manifest.Digest] = name + "\n" + ver
	return v, nil
}

func (r *repository) download(ctx context.Context, name, ver string) (raw []byte, err error) {
	err = r.ask(ctx, question{path: "/component-version/download", query: url.Values{"name": {name}, "version": {ver}}, again: true}, &raw)
	return raw, err
}

// again looks for a version that could not be opened. Existing plugins answer every failure with the same status; so what is not found is a
// version that is not in the list, whatever was answered. One that is there is tried once more: it may have come in the meantime.
func (r *repository) again(ctx context.Context, name, ver string, err error) ([]byte, error) {
	there, failed := r.has(ctx, name, ver)
	switch {
	case failed != nil || !there && errors.Is(err, ocm.ErrNotFound):
		return nil, err
	case !there:
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrNotFound)
	}
	raw, err := r.download(ctx, name, ver)
	if errors.Is(err, ocm.ErrNotFound) { // not the version
		err = fmt.Errorf("it is in the list of versions, and cannot be read: %v", err) //nolint:errorlint // not what the plugin takes it for
	}
	return raw, err
}

func (r *repository) has(ctx context.Context, name, ver string) (bool, error) {
	for v, err := range r.Versions(ctx, name) {
		if err != nil {
			return false, err
		}
		if v == ver {
			return true, nil
		}
	}
	return false, nil
}

func (r *repository) byDigest(ctx context.Context, name string, want digest.Digest) (ocm.Version, error) {
	r.mu.Lock()
	known := r.known[want]
	r.mu.Unlock()
	looked := 0
	for ver, err := range r.Versions(ctx, name) {
		if err != nil {
			return nil, err
		}
		if known != "" && known != name+"\n"+ver {
			continue
		}
		if looked++; looked > maxSearched {
			return nil, fmt.Errorf("%s: %s: more than %d versions to look at for %s: %w", r, name, maxSearched, want, ocm.ErrLimit)
		}
		v, err := r.open(ctx, name, ver)
		if err != nil {
			return nil, err
		}
		if v.manifest.Digest == want {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%s: %s@%s: %w (states that were replaced are not kept)", r, name, want, ocm.ErrNotFound)
}

// Versions implements [ocm.Repository]. What is no version is passed over.
func (r *repository) Versions(ctx context.Context, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if ctx.Err() != nil {
			yield("", context.Cause(ctx))
			return
		}
		var list []string
		err := r.ask(ctx, question{path: "/component-versions", query: url.Values{"name": {name}}, again: true}, &list)
		if errors.Is(err, ocm.ErrNotFound) {
			return
		}
		if err != nil {
			yield("", fmt.Errorf("%s: versions of %s: %w", r, name, err))
			return
		}
		seen := map[string]bool{}
		for _, v := range list {
			if seen[v] || descriptor.CheckVersion(v) != nil {
				continue
			}
			if seen[v] = true; !yield(v, nil) {
				return
			}
		}
	}
}

// Components implements [ocm.Lister].
func (l listing) Components(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen, last := map[string]bool{}, ""
		for {
			names, next, err := l.page(ctx, last)
			if err != nil {
				yield("", fmt.Errorf("%s: components: %w", l.repository, err))
				return
			}
			for _, name := range names {
				if seen[name] || descriptor.CheckName(name) != nil {
					continue
				}
				if seen[name] = true; !yield(name, nil) {
					return
				}
			}
			if len(names) == 0 || next == "" || next == last || len(seen) > MaxComponents {
				return
			}
			last = next
		}
	}
}

// page asks for the components behind the last one that is known.
func (r *repository) page(ctx context.Context, last string) (names []string, next string, err error) {
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	var answer struct {
		List   []string `json:"list"`
		Header *struct {
			Last string `json:"last"`
		} `json:"header"`
	}
	err = r.ask(ctx, question{path: "/components/list", body: map[string]any{"repository": r.spec, "last": last}, again: true}, &answer)
	if answer.Header != nil {
		next = answer.Header.Last
	}
	return answer.List, next, err
}

// version is one state of a component version.
type version struct {
	repository *repository
	desc       *ocm.Descriptor
	manifest   ociv1.Descriptor
}

func (v *version) Manifest() ociv1.Descriptor  { return v.manifest }
func (v *version) Descriptor() *ocm.Descriptor { return v.desc }

// Blob implements [ocm.Version]. Such plugins are asked by the identity of the element that has the access.
func (v *version) Blob(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	if !oci.IsLocal(access.Type) {
		return ocm.Content{}, fmt.Errorf("access type %q is not local: %w", access.Type, errors.ErrUnsupported)
	}
	l, err := oci.ParseLocal(access)
	if err != nil {
		return ocm.Content{}, err
	}
	kind, id := v.element(l.LocalReference)
	if id == nil {
		return ocm.Content{}, fmt.Errorf("local blob %s: no element of the version has it: %w", shown(l.LocalReference), ocm.ErrNotFound)
	}
	raw, err := json.Marshal(id, json.Deterministic(true))
	if err != nil {
		return ocm.Content{}, fmt.Errorf("identity: %w: %w", err, ocm.ErrInvalid)
	}
	r, c := v.repository, &v.desc.Component
	q := question{path: "/local-" + kind + "/download", query: url.Values{
		"name": {c.Name}, "version": {c.Version}, "identity": {base64.StdEncoding.EncodeToString(raw)},
	}}
	promised := digest.Digest(l.LocalReference)
	if blob.CheckDigest(promised) != nil {
		promised = ""
	}
	out, err := r.plugin.contentOf(ctx, r.runs.asking(q, "", r.auth), l.MediaType, promised)
	if err != nil {
		return out, fmt.Errorf("%s: %s:%s: local blob %s: %w", r, c.Name, c.Version, shown(l.LocalReference), err)
	}
	return out, nil
}

// element finds the first element with a local reference, by its identity.
func (v *version) element(reference string) (kind string, id ocm.Identity) {
	for _, r := range v.desc.Component.Resources {
		if localReference(r.Access) == reference {
			return "resource", r.Identity()
		}
	}
	for _, s := range v.desc.Component.Sources {
		if localReference(s.Access) == reference {
			return "source", s.Identity()
		}
	}
	return "", nil
}

// localReference is that of a local access; empty for any other.
func localReference(access ocm.Spec) string {
	if !oci.IsLocal(access.Type) {
		return ""
	}
	l, err := oci.ParseLocal(access)
	if err != nil {
		return ""
	}
	return l.LocalReference
}
