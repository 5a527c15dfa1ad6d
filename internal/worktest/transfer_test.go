// SPDX-License-Identifier: Apache-2.0

package worktest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/config"
	"ocm/graph"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/worktest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/plugin/wire"
	"ocm/transfer"
)

// whole are kits with all that is built in, and the liars in the process and in a plugin.
func whole(t *testing.T) map[string]*ocm.Kit {
	t.Helper()
	near, far, plugins := builtin.Kit(), builtin.Kit(), plugintest.Kit(t, "liars")
	worktest.AddLiars(near)
	far.Access.Add(fixture.Must[ocm.Opener](t)(plugins.Access.For("folder")), "folder", "folder/v1")
	for _, name := range []string{"folder", "liar"} {
		far.Uploaders.Add(fixture.Must[ocm.Uploader](t)(plugins.Uploaders.For(name)), name)
	}
	for _, name := range []string{"gunzip", "liar"} {
		far.Transformers.Add(fixture.Must[ocm.Transformer](t)(plugins.Transformers.For(name)), name)
	}
	return map[string]*ocm.Kit{"in the process": near, "in a plugin": far}
}

// packed is a version with one resource.
func packed(t testing.TB, repo ocm.Repository, c ocm.Content, digested bool) ocm.Version {
	t.Helper()
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	s := fixture.Must[ocm.Stored](t)(draft.Add(t.Context(), c, ""))
	r := ocm.Resource{Element: ocm.Element{Name: "res", Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access}
	if digested {
		d := fixture.Must[ocm.Digest](t)(graph.NewDigest(t.Context(), ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
		r.Digest = &d
	}
	return fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), &ocm.Descriptor{
		Meta:      ocm.Meta{SchemaVersion: ocm.SchemaV2},
		Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org", Resources: []ocm.Resource{r}},
	}))
}

func repository() ocm.Repository {
	return oci.NewRepository(memory.New(), &ocm.Env{Job: ocm.NewJob(4)})
}

// move transfers a version by one rule.
func move(ctx context.Context, kit *ocm.Kit, to ocm.Repository, v ocm.Version, rule config.TransferRule) (*transfer.Plan, error) {
	return run(ctx, kit, to, v, 4, transfer.Options{Rules: []config.TransferRule{rule}})
}

// run transfers a version, and does so many things at once.
func run(ctx context.Context, kit *ocm.Kit, to ocm.Repository, v ocm.Version, parallel int, o transfer.Options) (*transfer.Plan, error) {
	env := &ocm.Env{Job: ocm.NewJob(parallel)}
	g, err := graph.Walk(ctx, env.Job, nil, []ocm.Version{v}, graph.Options{})
	if err != nil {
		return nil, err
	}
	p, err := transfer.NewPlan(ctx, kit, env, g, to, o)
	if err == nil {
		_, err = p.Run(ctx)
	}
	return p, err
}

// What is uploaded is proven before anybody sees that the version is there, and a second run does nothing.
func TestTransferUpload(t *testing.T) {
	t.Parallel()
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			for name, content := range map[string]ocm.Content{"blob": blob.Bytes("text/plain", []byte("content")), "image": fixture.Image("layer")} {
				for _, digested := range []bool{true, false} {
					upload := spec(t, map[string]string{"type": "folder", "path": t.TempDir()})
					v, target := packed(t, repository(), content, digested), repository()
					for _, state := range []string{transfer.Absent, transfer.Identical} {
						p, err := move(t.Context(), kit, target, v, config.TransferRule{Uploader: &upload})
						if err != nil || p.Versions[0].State != state {
							t.Fatalf("%s, digest %t: expected %s, found %v", name, digested, state, err)
						}
					}
					w := fixture.Must[ocm.Version](t)(target.Open(t.Context(), "acme.org/app", "1.0.0"))
					r := &w.Descriptor().Component.Resources[0]
					if r.Access.Type != "folder/v1" {
						t.Errorf("%s: it is at %s", name, r.Access.Raw)
					}
					c := fixture.Must[ocm.Content](t)(graph.Content(t.Context(), kit, &ocm.Env{}, w, r.Access))
					c.Root = content.Root
					if err := blob.Check(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// Of an image for several platforms an uploader gets those that are wanted, out of a registry and with a single slot for all work.
func TestTransferUploadOfPlatforms(t *testing.T) {
	t.Parallel()
	index := fixture.Must[ocm.Content](t)(platforms(t, "amd64", "arm64"))
	store := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{Job: ocm.NewJob(1)}, fixture.Registry(t), "", remote.Options{}))
	v := packed(t, oci.NewRepository(store, &ocm.Env{Job: ocm.NewJob(1)}), index, true)
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			dir, target := t.TempDir(), repository()
			upload := spec(t, map[string]string{"type": "folder", "path": dir})
			o := transfer.Options{Rules: []config.TransferRule{{Uploader: &upload}}, Platforms: []blob.Platform{{OS: "linux", Architecture: "amd64"}}}
			for _, state := range []string{transfer.Absent, transfer.Identical} {
				p, err := run(t.Context(), kit, target, v, 1, o)
				if err != nil || p.Versions[0].State != state {
					t.Fatalf("expected %s, found %v", state, err)
				}
			}
			if n := len(fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir))); n != 4 { // index, manifest, config, layer
				t.Errorf("%d files were stored", n)
			}
			r := &fixture.Must[ocm.Version](t)(target.Open(t.Context(), "acme.org/app", "1.0.0")).Descriptor().Component.Resources[0]
			if list := graph.Platforms(r.Labels); r.Access.Type != "folder/v1" || len(list) != 1 || list[0].Architecture != "amd64" {
				t.Errorf("%s %v", r.Access.Type, list)
			}
		})
	}
}

// platforms is an image for Linux on several processors.
func platforms(t testing.TB, architectures ...string) (ocm.Content, error) {
	t.Helper()
	h := fixture.Heap{}
	index := ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex}
	for _, arch := range architectures {
		raw, err := json.Marshal(ociv1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
			Config: h.Put(ociv1.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"`+arch+`"}`)),
			Layers: []ociv1.Descriptor{h.Put(ociv1.MediaTypeImageLayer, []byte("layer for "+arch))},
		})
		if err != nil {
			return ocm.Content{}, err
		}
		d := h.Put(ociv1.MediaTypeImageManifest, raw)
		d.Platform = &ociv1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
	}
	raw, err := json.Marshal(index)
	return ocm.Content{Root: h.Put(index.MediaType, raw), From: h}, err
}

// Whatever an uploader says that is not so: nothing becomes visible.
func TestTransferLies(t *testing.T) {
	t.Parallel()
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			for _, c := range []struct {
				how  string
				want error
			}{
				{"reads nothing", ocm.ErrNotFound},
				{"stores something else", ocm.ErrDigest},
				{"leads to something else", ocm.ErrDigest},
				{"says another digest", ocm.ErrDigest},
				{"reads half", ocm.ErrDigest},
				{"leads to nothing at all", ocm.ErrInvalid},
				{"leads into the repository", ocm.ErrInvalid},
				{"has no access", ocm.ErrInvalid},
				{"has an access of an unknown type", ocm.ErrUnknownType},
				{"dies", nil},
			} {
				if c.how == "dies" && where == "in the process" {
					continue
				}
				if c.how == "stores something else" && where == "in a plugin" {
					c.want = wire.ErrBroken // there are fewer bytes than the plugin has announced
				}
				for _, digested := range []bool{true, false} {
					upload := spec(t, map[string]string{"type": "liar", "how": c.how, "path": t.TempDir()})
					v, target := packed(t, repository(), blob.Bytes("text/plain", bytes.Repeat([]byte("content "), 1000)), digested), repository()
					_, err := move(t.Context(), kit, target, v, config.TransferRule{Uploader: &upload})
					if err == nil || c.want != nil && !errors.Is(err, c.want) {
						t.Errorf("%s: expected %v, found %v", c.how, c.want, err)
					}
					if _, err := target.Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
						t.Errorf("%s: the version is visible: %v", c.how, err)
					}
				}
			}
		})
	}
}

// Whatever a transformer makes that is none: a transfer stores nothing of it, and a download writes nothing.
func TestTransformLies(t *testing.T) {
	t.Parallel()
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			for _, c := range []struct {
				how  string
				want error
			}{
				{"says another digest", ocm.ErrDigest},
				{"says another size", ocm.ErrDigest},
				{"makes a manifest without digest", ocm.ErrInvalid},
				{"makes garbage of a manifest", ocm.ErrInvalid},
				{"makes a manifest that is an index, too", ocm.ErrInvalid}, // CVE-2021-41190
				{"has no media type", ocm.ErrInvalid},
				{"has no end, and a digest", ocm.ErrDigest},
				{"dies", nil},
			} {
				if c.how == "dies" && where == "in the process" {
					continue
				}
				if where == "in a plugin" && (c.how == "says another size" || c.how == "has no end, and a digest") {
					c.want = wire.ErrBroken // there are more bytes than the plugin has announced
				}
				how := spec(t, map[string]string{"type": "liar", "how": c.how})
				v, target := packed(t, repository(), blob.Bytes("text/plain", []byte("content")), false), repository()
				_, err := move(t.Context(), kit, target, v, config.TransferRule{Transformer: &how})
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: transfer: expected %v, found %v", c.how, c.want, err)
				}
				if _, err := target.Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("%s: the version is visible: %v", c.how, err)
				}
				dir := t.TempDir()
				_, err = download(t, kit, v, dir+"/out", how)
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: download: expected %v, found %v", c.how, c.want, err)
				}
				empty(t, dir)
			}
		})
	}
}

// A transformer that reads nothing of a damaged source makes nothing of it.
func TestTransformedSourceIsCompared(t *testing.T) {
	t.Parallel()
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			store := memory.New()
			v := packed(t, oci.NewRepository(store, &ocm.Env{}), blob.Bytes("text/plain", []byte("content")), true)
			v.Descriptor().Component.Resources[0].Digest.Value = strings.Repeat("0", 64)
			how := spec(t, map[string]string{"type": "liar", "how": "reads nothing"})
			dir := t.TempDir()
			_, err := download(t, kit, v, dir+"/out", how)
			fixture.WantErr(t, err, ocm.ErrDigest)
			empty(t, dir)
			_, err = move(t.Context(), kit, repository(), v, config.TransferRule{Transformer: &how})
			if fixture.WantErr(t, err, ocm.ErrDigest, "source: "); strings.Contains(err.Error(), "makes other content") {
				t.Errorf("it is not the transformer: %v", err)
			}
		})
	}
}

// What a transformer makes is what a download writes, and what a transfer of a resource without a digest stores.
func TestTransform(t *testing.T) {
	t.Parallel()
	zipped := fixture.Must[[]byte](t)(worktest.All(t.Context(), blob.Gzip(blob.Bytes("text/plain", []byte("some text")), "application/x-thing")))
	how := spec(t, map[string]string{"type": "gunzip", "mediaType": "text/plain"})
	for where, kit := range whole(t) {
		t.Run(where, func(t *testing.T) {
			v := packed(t, repository(), blob.Bytes("application/x-thing", zipped), true)
			if got, err := download(t, kit, v, t.TempDir()+"/out", how); err != nil || got != "some text" {
				t.Errorf("%q %v", got, err)
			}
			_, err := move(t.Context(), kit, repository(), v, config.TransferRule{Transformer: &how})
			fixture.WantErr(t, err, ocm.ErrDigest, "which signatures cover")

			target := repository()
			v = packed(t, repository(), blob.Bytes("application/x-thing", zipped), false)
			for _, state := range []string{transfer.Absent, transfer.Identical} {
				p, err := move(t.Context(), kit, target, v, config.TransferRule{Transformer: &how})
				if err != nil || p.Versions[0].State != state {
					t.Fatalf("expected %s, found %v", state, err)
				}
			}
			w := fixture.Must[ocm.Version](t)(target.Open(t.Context(), "acme.org/app", "1.0.0"))
			if got, err := download(t, kit, w, t.TempDir()+"/out", ocm.Spec{}); err != nil || got != "some text" {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

// download writes the resource of a version to path, and returns what is there then.
func download(t testing.TB, kit *ocm.Kit, v ocm.Version, path string, how ocm.Spec) (string, error) {
	t.Helper()
	o := inspect.DownloadOptions{Form: inspect.FormBlob}
	if how.Type != "" {
		o.Transformer = &how
	}
	if _, err := inspect.Download(t.Context(), kit, &ocm.Env{}, v, &v.Descriptor().Component.Resources[0], path, o); err != nil {
		return "", err
	}
	return string(fixture.Must[[]byte](t)(os.ReadFile(path))), nil
}

// empty fails if something was left in a folder.
func empty(t testing.TB, dir string) {
	t.Helper()
	for _, e := range fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		t.Errorf("left: %s", e.Name())
	}
}
