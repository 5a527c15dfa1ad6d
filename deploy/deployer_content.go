// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// content is what was read of a resource. It is not changed.
type content struct {
	mediaType string
	data      []byte
}

// locate finds a resource below a component version.
func locate(ctx context.Context, a *resolve.Answer, ref v1alpha1.ResourceReference) (*resolve.Resource, error) {
	path := make([]ocm.Identity, len(ref.ReferencePath))
	for i, id := range ref.ReferencePath {
		path[i] = ocm.Identity(id)
	}
	return a.Resource(ctx, path, ocm.Identity(ref.Resource))
}

// load reads the content of a resource.
func load(ctx context.Context, res *resolve.Resource, limit int64) (*content, error) {
	rc, mediaType, err := res.Open(ctx, limit)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(rc)
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, err
	}
	return &content{mediaType: mediaType, data: data}, nil
}

// found are the resources that a Deployer names.
type found struct {
	resource *resolve.Resource
	images   []*resolve.Resource // in the order of the localization
}

// foundKey and contentKey have the place, in which is the digest of the configuration: nobody is given what only somebody else's credentials open.
type foundKey struct {
	place, question, names string
	vouched                bool
}

type contentKey struct {
	place, digest string
	limit         int64
}

// located finds the resource, and the images that are put in.
func (r *deployers) located(d *v1alpha1.Deployer, w *wanted) error {
	info := w.root.Status.Component
	q := resolve.Question{Component: info.Component, Version: info.Version}
	if info.Digest != nil {
		q.Digest = &ocm.Digest{HashAlgorithm: info.Digest.HashAlgorithm, NormalisationAlgorithm: info.Digest.NormalisationAlgorithm, Value: info.Digest.Value}
	}
	version := work.Task[*resolve.Answer]{Key: versionKey{w.place.Key(), q.Key()}, Lane: w.place.Lane(), Kind: work.Kind{Component: q.Component, Version: q.Version},
		Run: func(ctx context.Context) (*resolve.Answer, int64, error) {
			a, err := r.version(ctx, w.place, q)
			if err != nil {
				return nil, 0, err
			}
			return a, a.Size(), nil
		}}
	answer, err := work.Ask(r.pool, version, askerFor(d))
	if err != nil {
		return asked(err, contentFailed(v1alpha1.ReasonGetComponentVersionFailed))
	}
	names, err := json.Marshal([]any{w.deployed.Spec.Resource, d.Spec.Localization})
	if err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	search := work.Task[*found]{Key: foundKey{w.place.Key(), q.Key(), digestOf(names), w.vouched()}, Lane: w.place.Lane(),
		Run: func(ctx context.Context) (*found, int64, error) { return r.search(ctx, d, w, answer) }}
	all, err := work.Ask(r.acts, search, askerFor(d))
	if err != nil {
		return asked(err, contentFailed(v1alpha1.ReasonGetOCMResourceFailed))
	}
	return w.take(d, all)
}

// resourceBytes is about what a resource takes in memory.
const resourceBytes = 4 << 10

func (r *deployers) search(ctx context.Context, d *v1alpha1.Deployer, w *wanted, a *resolve.Answer) (*found, int64, error) {
	res, err := r.locate(ctx, a, w.deployed.Spec.Resource.ByReference)
	if err != nil {
		return nil, 0, fmt.Errorf("Resource %s/%s: %w", w.deployed.Namespace, w.deployed.Name, err)
	}
	all := &found{resource: res}
	for i, l := range d.Spec.Localization {
		res, err := r.locate(ctx, a, l.Resource)
		if err != nil {
			return nil, 0, fmt.Errorf("spec.localization[%d].resource: %w", i, err)
		}
		// Where an image is, is not signed: its digest is.
		if sum := res.Resource.Digest; w.vouched() || !sum.Empty() && !sum.Excluded() {
			if err := r.check(ctx, res); err != nil {
				return nil, 0, fmt.Errorf("spec.localization[%d].resource: %w", i, err)
			}
		}
		all.images = append(all.images, res)
	}
	return all, resourceBytes * int64(1+len(all.images)), nil
}

// take compares what was found with what the Resource says, and makes images of it.
func (w *wanted) take(d *v1alpha1.Deployer, all *found) error {
	w.resource = all.resource
	if seen := w.deployed.Status.Resource.Digest; seen != nil && (all.resource.Resource.Digest == nil || all.resource.Resource.Digest.Value != seen.Value) {
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.resourceRef: Resource %s/%s has not followed its Component to version %s yet",
			w.deployed.Namespace, w.deployed.Name, w.root.Status.Component.Version))
	}
	w.images = map[string]render.Image{}
	for i, res := range all.images {
		name := d.Spec.Localization[i].Name
		image, err := imageOf(res)
		if err != nil {
			return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.localization[%d]: %s: %w", i, name, err))
		}
		w.images[name] = image
		w.pulled = append(w.pulled, v1alpha1.DeployedImage{Name: name, Image: image.Part(v1alpha1.PartImage),
			Component: res.Component, Version: res.Version, Resource: res.Name})
	}
	return nil
}

// errTooLarge says that a resource will never be deployed as it is.
var errTooLarge = errors.New("too large")

// unknownAge is how long content is kept for which there is no digest.
const unknownAge = time.Minute

// download reads the content that is deployed.
func (r *deployers) download(d *v1alpha1.Deployer, w *wanted) (*content, error) {
	limit := r.options.MaxResourceSize
	task := work.Task[*content]{Key: contentKey{place: w.place.Key(), limit: limit}, Lane: w.place.Lane(),
		Run: func(ctx context.Context) (*content, int64, error) {
			c, err := r.load(ctx, w.resource, limit)
			if errors.Is(err, ocm.ErrLimit) {
				err = fmt.Errorf("%w: %w; at most %d bytes are deployed: --deployer-download-max-resource-size", errTooLarge, err, limit)
			}
			if err != nil {
				return nil, 0, fmt.Errorf("content of resource %s of %s:%s: %w", w.resource.Name, w.resource.Component, w.resource.Version, err)
			}
			return c, int64(len(c.data)), nil
		}}
	key := contentKey{place: w.place.Key(), limit: limit, digest: w.input} // without a digest it is that of nobody else
	if sum := w.resource.Resource.Digest; !sum.Empty() && sum.HashAlgorithm != ocm.NoDigest {
		key.digest = keyOf(sum)
	} else {
		task.MaxAge = unknownAge
	}
	task.Key = key
	c, err := work.Ask(r.acts, task, askerFor(d))
	return c, asked(err, contentFailed(v1alpha1.ReasonGetResourceFailed))
}
