// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/oci"
)

// What is attached to images goes to a plugin that asks for it: nothing else shows that it takes it. What it did not ask for has stayed
// where it is, and is named.

// answers are what a plugin was told of attachments, by their subject.
type answers struct {
	env *ocm.Env // for these questions alone: who holds a slot of the job may be waiting for an answer

	mu    sync.Mutex
	said  map[digest.Digest][]oci.Attached
	count int // attachments in them
}

func newAnswers(env *ocm.Env) *answers {
	out := &ocm.Env{Log: env.Logger()}
	if env != nil {
		out.Job = ocm.NewJob(env.Job.Parallel())
	}
	return &answers{env: out, said: map[digest.Digest][]oci.Attached{}}
}

// of returns what was answered about a manifest.
func (a *answers) of(subject digest.Digest) ([]oci.Attached, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, asked := a.said[subject]
	return list, asked
}

// attached tells the plugin what is attached to a manifest.
func (w *watched) attached(ctx context.Context, subject digest.Digest) ([]oci.Attached, error) {
	list, err := oci.Attachments(ctx, w.asked.env, w.c, subject)
	if err != nil {
		return nil, err
	}
	return list, w.asked.keep(subject, list)
}

// keep remembers an answer. There are no more than an image may have.
func (a *answers) keep(subject digest.Digest, list []oci.Attached) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	count := a.count + len(list) - len(a.said[subject])
	switch {
	case count > oci.MaxAttached:
		return fmt.Errorf("attached to one image: more than %d manifests: %w", oci.MaxAttached, ocm.ErrLimit)
	case len(a.said) == oci.MaxSubjects:
		return fmt.Errorf("it asks what is attached to more than %d manifests: %w", oci.MaxSubjects, ocm.ErrLimit)
	}
	a.count, a.said[subject] = count, list
	return nil
}

// tellLeftBehind warns of what is attached to the content, and was not asked for by who stored it at a place. Not to be able to tell is
// no error.
func (w *watched) tellLeftBehind(ctx context.Context, place string) {
	log := w.env.Logger().With("place", place, "image", w.c.Root.Digest)
	list, err := oci.LeftBehind(ctx, w.asked.env, w.c, w.asked.of)
	if len(list) > 0 {
		log.Warn("left behind, because the plugin does not take what is attached to an image", "attached", oci.NamesOf(list))
	}
	if err != nil {
		log.Warn("it is not known what else is attached to an image, and was left behind", "error", err)
	}
}

// untold answers for a plugin that does not know the question what is attached to an image: that nothing comes along is said to who wants
// it.
func (r *remote) untold(image digest.Digest) func(context.Context, digest.Digest) ([]oci.Attached, error) {
	tell := sync.OnceFunc(func() {
		r.env.Logger().Warn("left behind, if there is something: the plugin does not say what is attached to its images", "plugin", nameOf(r.plugin), "image", image)
	})
	return func(context.Context, digest.Digest) ([]oci.Attached, error) {
		tell()
		return nil, nil
	}
}
