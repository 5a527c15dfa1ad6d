// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/credentials"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/sign/rsa"
)

// Registry is a registry in this process, with signed component versions.
type Registry struct {
	URL       string // http://host:port
	PublicKey []byte // PEM, of who signed
	close     func()
}

// subPath is where in the registry component versions are.
const subPath = "bench"

// NewRegistry starts a registry and publishes as many component versions as the plan says.
func NewRegistry(ctx context.Context, p Plan) (*Registry, error) {
	handler := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	srv := httptest.NewServer(handler)
	r := &Registry{URL: srv.URL, close: func() { srv.Close(); handler.Close() }}
	if err := r.publish(ctx, p); err != nil {
		r.close()
		return nil, fmt.Errorf("publish component versions: %w", err)
	}
	return r, nil
}

// Close ends it.
func (r *Registry) Close() { r.close() }

func (r *Registry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *Registry) publish(ctx context.Context, p Plan) error {
	private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		return err
	}
	r.PublicKey = public
	kit := builtin.Kit()
	env := &ocm.Env{Job: ocm.NewJob(4), Credentials: credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": rsa.IdentityType, "signature": signature, "algorithm": rsa.PSS},
		Secret:   ocm.Secret{"privateKeyPEM": string(private)}})}
	spec, err := ocm.Coordinates{Type: "OCIRepository/v1", Repository: r.URL + "/" + subPath}.Spec()
	if err != nil {
		return err
	}
	repo, err := builtin.OpenRepository(ctx, kit, env, spec)
	if err != nil {
		return err
	}
	defer repo.Close()
	for i := range p.Versions {
		if err := r.publishOne(ctx, kit, env, repo, i); err != nil {
			return err
		}
	}
	return nil
}

// publishOne packs and signs one version: a third of its resources are images, the others blobs of about two KiB.
func (r *Registry) publishOne(ctx context.Context, kit *ocm.Kit, env *ocm.Env, repo ocm.Repository, i int) error {
	var text strings.Builder
	fmt.Fprintf(&text, "name: %s\nversion: %s\nprovider: {name: bench.example}\nresources:\n", componentName(i), version)
	for k := range PerVersion {
		if k%3 == 0 {
			at := fmt.Sprintf("images/part-%02d-%02d", i, k)
			if err := r.pushImage(ctx, at, fmt.Sprintf("layer %d of %d", k, i)); err != nil {
				return err
			}
			fmt.Fprintf(&text, "- {name: %s, version: %s, type: ociImage, access: {type: ociArtifact, imageReference: '%s/%s:%s'}}\n",
				resourceName(k), version, r.host(), at, version)
			continue
		}
		fmt.Fprintf(&text, "- {name: %s, type: blob, input: {type: utf8, text: '%s'}}\n", resourceName(k), strings.Repeat(fmt.Sprintf("blob %d of %d. ", k, i), 150))
	}
	f, err := construct.Parse([]byte(text.String()), nil, "")
	if err != nil {
		return err
	}
	made, err := construct.Run(ctx, kit, env, repo, f, construct.Options{})
	if err != nil {
		return err
	}
	locate := func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		v, err := repo.Open(ctx, name, version)
		return repo, v, err
	}
	_, err = graph.SignVersion(ctx, kit, env, locate, repo, made[0], graph.SignOptions{Name: signature, Settle: 1})
	return err
}

// pushImage puts an image with one layer into the registry.
func (r *Registry) pushImage(ctx context.Context, at, layer string) error {
	store, err := remote.Open(&ocm.Env{}, r.URL, "", remote.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	repo, image := store.Repo(at), fixture.Image(layer)
	heap := image.From.(fixture.Heap)
	for d, b := range heap {
		if d == image.Root.Digest {
			continue
		}
		if _, err := repo.Push(ctx, ociv1.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return repo.PutManifest(ctx, image.Root, heap[image.Root.Digest], version, oci.Any())
}
