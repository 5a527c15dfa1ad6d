// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"

	"ocm"
	"ocm/descriptor"
	"ocm/oci"
	"ocm/plugin/wire"
)

// places are the repositories that the host has opened, and what it has open in them.
type places struct {
	repositories wire.Table[ocm.Repository]
	versions     wire.Table[ocm.Version]
	drafts       wire.Table[ocm.Draft]
}

func (s *server) handleRepositories(mux *http.ServeMux) {
	s.places.versions.Limit = wire.MaxVersions
	mux.Handle(wire.RepositoryPath, answer(s.openRepository))
	mux.Handle(wire.VersionPath, answer(s.openVersion))
	mux.Handle(wire.VersionsPath, answer(s.listVersions))
	mux.Handle(wire.ComponentsPath, answer(s.listComponents))
	mux.Handle(wire.BlobPath, answer(s.openBlob))
	mux.Handle(wire.DraftPath, answer(s.begin))
	mux.Handle(wire.AddPath, answer(s.add))
	mux.Handle(wire.CommitPath, answer(s.commit))
	mux.Handle(wire.FinishPath, answer(s.finish))
	mux.Handle(wire.ReferencePath, answer(s.reference))
	mux.Handle(wire.PublishPath, answer(s.publish))
}

// openRepository opens a repository. Its environment is that of this question for as long as it is open.
func (s *server) openRepository(ctx context.Context, q wire.OpenRepository) (wire.OpenedRepository, error) {
	open, err := s.kit.Repositories.For(q.Spec.Type)
	if err != nil {
		return wire.OpenedRepository{}, err
	}
	r, err := open(ctx, s.env(q.Env), q.Spec)
	if err != nil {
		return wire.OpenedRepository{}, err
	}
	out := wire.OpenedRepository{Name: r.String()}
	if _, ok := r.(ocm.Lister); ok {
		out.Can = append(out.Can, wire.CanList)
	}
	if _, ok := r.(ocm.Finisher); ok {
		out.Can = append(out.Can, wire.CanFinish)
	}
	if _, ok := r.(ocm.Publisher); ok {
		out.Can = append(out.Can, wire.CanPublish)
	}
	out.Handle = s.places.repositories.Put(r)
	return out, nil
}

func (s *server) openVersion(ctx context.Context, q wire.OpenVersion) (wire.Version, error) {
	r, err := s.places.repositories.Get(q.Repository)
	if err != nil {
		return wire.Version{}, err
	}
	v, err := r.Open(ctx, q.Name, q.Ref)
	if err != nil {
		return wire.Version{}, err
	}
	return s.keep(v)
}

// keep keeps a version for the host.
func (s *server) keep(v ocm.Version) (wire.Version, error) {
	doc, err := descriptor.Encode(v.Descriptor())
	if err != nil {
		return wire.Version{}, err
	}
	can := []string{}
	if _, ok := v.(oci.Attacher); ok {
		can = append(can, wire.CanAttached)
	}
	return wire.Version{
		Handle: s.places.versions.Put(v), Manifest: v.Manifest(), Descriptor: wire.Document{MediaType: doc.MediaType, Bytes: doc.Bytes}, Can: can,
	}, nil
}

func (s *server) listVersions(ctx context.Context, q wire.List) (wire.Listed, error) {
	r, err := s.places.repositories.Get(q.Repository)
	if err != nil {
		return wire.Listed{}, err
	}
	return listed(r.Versions(ctx, q.Name))
}

func (s *server) listComponents(ctx context.Context, q wire.List) (wire.Listed, error) {
	r, err := able[ocm.Lister](s, q.Repository)
	if err != nil {
		return wire.Listed{}, err
	}
	return listed(r.Components(ctx))
}

func listed(all iter.Seq2[string, error]) (wire.Listed, error) {
	out := wire.Listed{Names: []string{}}
	for name, err := range all {
		if err == nil && len(out.Names) == wire.MaxListed {
			err = fmt.Errorf("more than %d names: %w", wire.MaxListed, ocm.ErrLimit)
		}
		if err != nil {
			return wire.Listed{}, err
		}
		out.Names = append(out.Names, name)
	}
	return out, nil
}

// able is a repository that can do more than each.
func able[T any](s *server, handle string) (able T, err error) {
	r, err := s.places.repositories.Get(handle)
	if err != nil {
		return able, err
	}
	able, ok := r.(T)
	if !ok {
		return able, fmt.Errorf("%s cannot do that: %w", r, errors.ErrUnsupported)
	}
	return able, nil
}

func (s *server) openBlob(ctx context.Context, q wire.Blob) (wire.Content, error) {
	v, err := s.places.versions.Get(q.Version)
	if err != nil {
		return wire.Content{}, err
	}
	c, err := v.Blob(ctx, q.Access)
	if err != nil {
		return wire.Content{}, err
	}
	return s.offer(c), nil
}

func (s *server) begin(ctx context.Context, q wire.Begin) (wire.Draft, error) {
	r, err := s.places.repositories.Get(q.Repository)
	if err != nil {
		return wire.Draft{}, err
	}
	var base ocm.Version
	if q.Base != "" {
		if base, err = s.places.versions.Get(q.Base); err != nil {
			return wire.Draft{}, err
		}
	}
	d, err := r.Draft(ctx, q.Name, q.Version, base)
	if err != nil {
		return wire.Draft{}, err
	}
	return wire.Draft{Handle: s.places.drafts.Put(d)}, nil
}

func (s *server) add(ctx context.Context, q wire.Add) (wire.Stored, error) {
	d, err := s.places.drafts.Get(q.Draft)
	if err != nil {
		return wire.Stored{}, err
	}
	c, err := s.content(ctx, q.Content)
	if err != nil {
		return wire.Stored{}, err
	}
	stored, err := d.Add(ctx, c, q.Hint)
	return wire.Stored{Root: stored.Root, Access: stored.Access}, err
}

func (s *server) commit(ctx context.Context, q wire.Commit) (wire.Version, error) {
	d, err := s.places.drafts.Get(q.Draft)
	if err != nil {
		return wire.Version{}, err
	}
	desc, err := descriptor.Decode(q.Descriptor.MediaType, q.Descriptor.Bytes)
	if err != nil {
		return wire.Version{}, err
	}
	v, err := d.Commit(ctx, desc)
	if err != nil {
		return wire.Version{}, err
	}
	return s.keep(v)
}

func (s *server) finish(ctx context.Context, q wire.Finish) (wire.Empty, error) {
	r, err := able[ocm.Finisher](s, q.Repository)
	if err != nil {
		return wire.Empty{}, err
	}
	return wire.Empty{}, r.Finish(ctx)
}

func (s *server) reference(_ context.Context, q wire.Publish) (wire.Reference, error) {
	r, err := able[ocm.Publisher](s, q.Repository)
	if err != nil {
		return wire.Reference{}, err
	}
	ref, err := r.Reference(q.Name)
	return wire.Reference{Reference: ref}, err
}

func (s *server) publish(ctx context.Context, q wire.Publish) (wire.Stored, error) {
	r, err := able[ocm.Publisher](s, q.Repository)
	if err != nil {
		return wire.Stored{}, err
	}
	c, err := s.content(ctx, q.Content)
	if err != nil {
		return wire.Stored{}, err
	}
	stored, err := r.Publish(ctx, c, q.Name, q.Overwrite)
	return wire.Stored{Root: stored.Root, Access: stored.Access}, err
}

// close closes what has this handle, if anything.
func (p *places) close(handle string) error {
	if r, err := p.repositories.Take(handle); err == nil {
		return r.Close()
	}
	if d, err := p.drafts.Take(handle); err == nil {
		return d.Close()
	}
	_, _ = p.versions.Take(handle) // not known: nothing to do
	return nil
}
