// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
)

// fleeting is a store from which things go the moment before they are fetched, when everything else was found out about them.
type fleeting struct {
	oci.Store
	before func(oci.Deleter)
}

func (f fleeting) Repo(name string) oci.Repo { return fleetingRepo{f.Store.Repo(name), f.before} }

type fleetingRepo struct {
	oci.Repo
	before func(oci.Deleter)
}

func (r fleetingRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	r.before(r.Repo.(oci.Deleter))
	return r.Repo.Fetch(ctx, d)
}

// What is deleted while somebody asks for it is not there: that is no fault of the registry.
func TestRead_deletedMeanwhile(t *testing.T) {
	t.Parallel()
	store := folder(t)
	repo := store.Repo("r")
	for _, what := range []string{"manifests/tag", "manifests/digest", "blobs/layer"} {
		img := tagImage(t, repo, "tag", "layer of "+what, "")
		layer := digest.FromString("layer of " + what)
		srv, _ := start(t, fleeting{store, func(del oci.Deleter) {
			if err := del.DeleteManifest(t.Context(), img.Digest); err != nil {
				t.Error(err)
			}
			for _, d := range []digest.Digest{img.Digest, layer} {
				if err := del.DeleteBlob(t.Context(), d); err != nil {
					t.Error(err)
				}
			}
		}}, Options{})
		at := map[string]string{"manifests/tag": "manifests/tag", "manifests/digest": "manifests/" + string(img.Digest), "blobs/layer": "blobs/" + string(layer)}[what]
		if a := ask(t, "GET", srv.URL+"/v2/r/"+at, ""); a.status != 404 {
			t.Errorf("%s: expected 404, found %v", what, a)
		}
	}
}

// cleaned is a store that somebody cleans up the moment before a manifest gets into the index, whatever is young.
type cleaned struct {
	*ctf.Store
	before func()
}

func (c cleaned) Repo(name string) oci.Repo {
	return cleanedRepo{c.Store.Repo(name).(keeping), c.before}
}

type keeping interface {
	oci.Repo
	oci.Keeper
	oci.Holder
}

type cleanedRepo struct {
	keeping
	before func()
}

func (r cleanedRepo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	r.before()
	return r.keeping.PutManifest(ctx, d, raw, tag, was)
}

// What was found when a manifest came is there when it is listed.
func TestPush_cleanedMeanwhile(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	store, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	repo := store.Standing().Repo("r")
	tagImage(t, repo, "before", "before", "")
	clean := func() error {
		other, err := ctf.Open(path)
		if err != nil {
			return err
		}
		defer other.Close()
		_, err = other.Clean(t.Context(), ctf.CleanOptions{OlderThan: time.Nanosecond})
		return err
	}
	srv, _ := start(t, cleaned{store, func() {
		if err := clean(); !errors.Is(err, ocm.ErrConflict) {
			t.Error("a manifest is being stored, but", err)
		}
	}}, Options{Writable: true})
	_, raw := image(t, repo, "layer", "")
	if a := ask(t, "PUT", srv.URL+"/v2/r/manifests/tag", raw, "Content-Type: "+ociv1.MediaTypeImageManifest); a.status != 201 {
		t.Error(a)
	}
	if err := clean(); err != nil {
		t.Error("nobody is storing anything any more:", err)
	}
	if a := ask(t, "GET", srv.URL+"/v2/r/blobs/"+string(digest.FromString("layer")), ""); a.status != 200 {
		t.Error(a)
	}
}
