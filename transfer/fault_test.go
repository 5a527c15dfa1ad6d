// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// corrupt is a store in which one blob has other bytes than its digest says.
type corrupt struct {
	oci.Store
	bad map[digest.Digest]string
}

func (c corrupt) Repo(name string) oci.Repo { return corruptRepo{c.Store.Repo(name), c.bad} }

type corruptRepo struct {
	oci.Repo
	bad map[digest.Digest]string
}

func (r corruptRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if s, ok := r.bad[d.Digest]; ok {
		return io.NopCloser(strings.NewReader(s)), nil
	}
	return r.Repo.Fetch(ctx, d)
}

func TestCorruptSource(t *testing.T) {
	t.Parallel()
	for what, bad := range map[string]ociv1.Descriptor{
		"resource readme": text("hello").Root, "source code": text("source code").Root,
		"resource image": {Digest: digest.FromString("layer")},
	} {
		for _, wrong := range []string{"jello", "", "layer and more"} {
			t.Run(what+" "+wrong, func(t *testing.T) {
				store := corrupt{memory.New(), map[digest.Digest]string{}}
				src := repository(store)
				v := product(t, src)
				store.bad[bad.Digest] = wrong
				for name, place := range fixture.Places() {
					dst := repository(place(t))
					_, _, err := move(t.Context(), src, dst, v, transfer.Options{})
					fixture.WantErr(t, err, ocm.ErrDigest, "acme.org/app:1.0.0+build.1", what)
					if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0+build.1"); !errors.Is(err, ocm.ErrNotFound) {
						t.Errorf("%s: the version is visible: %v", name, err)
					}
				}
			})
		}
	}
}

// What the descriptor records must be what is stored, by whatever it is addressed.
func TestDigestInTheDescriptor(t *testing.T) {
	t.Parallel()
	const body = "some content"
	sha512 := digest.SHA512.FromString(body)
	at512 := ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Digest: sha512, Size: int64(len(body))}, From: fixture.Heap{sha512: []byte(body)}}
	generic := func(hash, value string) ocm.Digest {
		return ocm.Digest{HashAlgorithm: hash, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: value}
	}
	sha256 := digest.FromString(body)
	for _, c := range []struct {
		name    string
		content ocm.Content
		digest  ocm.Digest
		want    error
	}{
		{"right", text(body), generic(ocm.SHA256, sha256.Encoded()), nil},
		{"old name of the hash", text(body), generic("sha256", sha256.Encoded()), nil},
		{"wrong", text(body), generic(ocm.SHA256, digest.FromString("x").Encoded()), ocm.ErrDigest},
		{"empty value", text(body), generic(ocm.SHA256, ""), ocm.ErrDigest},
		{"sha512", text(body), generic(ocm.SHA512, sha512.Encoded()), nil},
		{"wrong sha512", text(body), generic(ocm.SHA512, digest.SHA512.FromString("x").Encoded()), ocm.ErrDigest},
		{"addressed by sha512", at512, generic(ocm.SHA512, sha512.Encoded()), nil},
		{"addressed by sha512, wrong", at512, generic(ocm.SHA512, digest.SHA512.FromString("x").Encoded()), ocm.ErrDigest},
		{"addressed by sha512, recorded as SHA-256", at512, generic(ocm.SHA256, sha256.Encoded()), nil},
		{"addressed by sha512, recorded as SHA-256, wrong", at512, generic(ocm.SHA256, digest.FromString("x").Encoded()), ocm.ErrDigest},
		{"unknown hash", text(body), generic("MD5", "00"), ocm.ErrUnknownType},
		{"unknown kind", text(body), ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "other/v1", Value: sha256.Encoded()}, ocm.ErrUnknownType},
		{"an artifact's digest on a file", text(body), ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: sha256.Encoded()}, ocm.ErrDigest},
		{"half an exclusion excludes nothing", text(body), ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: "x"}, ocm.ErrUnknownType},
		{"excluded", text(body), ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}, nil},
		{"image", fixture.Image("i"), ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Image("i").Root.Digest.Encoded()}, nil},
		{"wrong image", fixture.Image("i"), ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Image("j").Root.Digest.Encoded()}, ocm.ErrDigest},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, target := repository(memory.New()), &faulty{Store: memory.New()}
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			s := fixture.Must[ocm.Stored](t)(a.draft.Add(t.Context(), c.content, ""))
			a.access("it", s.Access).Digest = &c.digest
			v, dst := a.commit(), repository(target)
			_, _, err := move(t.Context(), src, dst, v, transfer.Options{})
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				complete(t, dst, reopen(t, dst, v))
				return
			}
			fixture.WantErr(t, err, c.want, "acme.org/app:1.0.0", "resource it")
			if len(target.writes) != 0 {
				t.Errorf("written: %q", target.writes)
			}
		})
	}
}

// A tag that has moved on since the digest was recorded is not followed.
func TestMovedTag(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	ref := publish(t, url, "x", "v1", fixture.Image("before"))
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`)).Digest = &ocm.Digest{
		HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Image("before").Root.Digest.Encoded()}
	v := a.commit()
	publish(t, url, "x", "v1", fixture.Image("after"))
	_, _, err := move(t.Context(), src, dst, v, transfer.Options{CopyResources: true})
	fixture.WantErr(t, err, ocm.ErrDigest, "resource image", fixture.Image("after").Root.Digest.Encoded())
}

// endless is a source whose blobs never end: a stream that waits for the end of the context, or
// one that does not know about contexts, as files do not.
type endless struct {
	oci.Store
	wait  bool
	began chan struct{}
}

func (e *endless) Repo(name string) oci.Repo { return endlessRepo{e.Store.Repo(name), e} }

type endlessRepo struct {
	oci.Repo
	e *endless
}

func (r endlessRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.MediaType != "text/plain" {
		return r.Repo.Fetch(ctx, d)
	}
	return io.NopCloser(&endlessReader{ctx, r.e}), nil
}

type endlessReader struct {
	ctx context.Context
	e   *endless
}

func (r *endlessReader) Read(p []byte) (int, error) {
	select {
	case r.e.began <- struct{}{}:
	default:
	}
	if r.e.wait {
		<-r.ctx.Done()
		return 0, r.ctx.Err()
	}
	time.Sleep(time.Millisecond)
	return 1, nil
}

func TestCancel(t *testing.T) {
	for name, place := range fixture.Places() {
		for _, wait := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " wait ", wait), func(t *testing.T) {
				e := &endless{Store: memory.New(), wait: wait, began: make(chan struct{}, 1)}
				src, dst := repository(e), repository(place(t))
				a := write(t, src, "acme.org/app", "1.0.0", nil)
				a.resource("big", blob.Bytes("text/plain", make([]byte, 1<<20)))
				v := a.commit()
				p, err := plan(t.Context(), src, dst, v, transfer.Options{})
				if err != nil {
					t.Fatal(err)
				}
				before := runtime.NumGoroutine()
				ctx, cancel := context.WithCancel(t.Context())
				stopped := make(chan error, 1)
				go func() {
					_, err := p.Run(ctx)
					stopped <- err
				}()
				<-e.began
				cancel()
				select {
				case err := <-stopped:
					if !errors.Is(err, context.Canceled) {
						t.Errorf("expected context.Canceled, found %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the transfer goes on after its context ended")
				}
				if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("the version is visible: %v", err)
				}
				// connections to the registry of the test are kept for a moment
				for i := 0; runtime.NumGoroutine() > before+4; i++ {
					if time.Sleep(10 * time.Millisecond); i == 500 {
						t.Fatalf("%d goroutines, before it were %d", runtime.NumGoroutine(), before)
					}
				}
			})
		}
	}
}

// fickle is content without known digest that is other bytes each time it is read.
type fickle struct {
	mu     sync.Mutex
	bodies []string
}

func (f *fickle) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := f.bodies[0]
	if len(f.bodies) > 1 {
		f.bodies = f.bodies[1:]
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

// Content that an access method delivers without saying its digest is compared all the same, and
// what is stored is what was compared, even if the server changes its mind in between.
func TestContentOfUnknownDigest(t *testing.T) {
	t.Parallel()
	generic := func(hash, value string) *ocm.Digest {
		return &ocm.Digest{HashAlgorithm: hash, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: value}
	}
	good256, good512 := generic(ocm.SHA256, digest.FromString("good").Encoded()), generic(ocm.SHA512, digest.SHA512.FromString("good").Encoded())
	for _, c := range []struct {
		name   string
		digest *ocm.Digest
		bodies []string
		want   error
	}{
		{"good", good256, []string{"good"}, nil},
		{"bad", good256, []string{"evil"}, ocm.ErrDigest},
		{"good, sha512", good512, []string{"good"}, nil},
		{"bad, sha512", good512, []string{"evil"}, ocm.ErrDigest},
		{"bad at second sight", good512, []string{"good", "evil"}, ocm.ErrDigest},
		{"bad at third sight", good512, []string{"good", "good", "evil"}, ocm.ErrDigest},
		{"no digest", nil, []string{"anything"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := repository(memory.New()), repository(memory.New())
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			a.access("far", spec(t, `{"type":"stream/v1"}`)).Digest = c.digest
			v, kit, env := a.commit(), builtin.Kit(), newEnv()
			from := &fickle{bodies: c.bodies}
			kit.Access.Add(ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) {
				return ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: from}, nil
			}), "stream/v1")
			g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{}))
			p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), kit, env, g, dst, transfer.Options{CopyResources: true}))
			_, err := p.Run(t.Context())
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				complete(t, dst, reopen(t, dst, v))
				return
			}
			fixture.WantErr(t, err, c.want, "resource far")
			if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("the version is visible: %v", err)
			}
		})
	}
}
