// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/builtin"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// helmSources makes, with helm itself, a chart with a dependency, its archive and a repository of both charts.
func helmSources(t *testing.T, helm string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, helm, "create", filepath.Join(dir, "web"))
	run(t, helm, "create", filepath.Join(dir, "dep"))
	repo := filepath.Join(dir, "repo")
	run(t, helm, "package", filepath.Join(dir, "dep"), "--destination", repo)
	f, err := os.OpenFile(filepath.Join(dir, "web", "Chart.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("dependencies:\n- {name: dep, version: 0.1.x, repository: 'file://../dep'}\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, helm, "dependency", "update", filepath.Join(dir, "web"))
	run(t, helm, "package", filepath.Join(dir, "web"), "--destination", repo)
	run(t, helm, "repo", "index", repo)
	return dir
}

func openInput(t *testing.T, env *ocm.Env, members map[string]string) ocm.Content {
	t.Helper()
	s, err := ocm.NewSpec(members)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := builtin.Kit().Inputs.For(s.Type)
	if err != nil {
		t.Fatal(err)
	}
	return fixture.Must[ocm.Content](t)(opener.Open(context.Background(), env, s))
}

// What is packed of a folder, of an archive and of a repository can be pulled, linted and rendered by helm, and renders
// to the same as the chart itself.
func TestHelmUsesPackedCharts(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	dir := helmSources(t, helm)
	url, stop, err := fixture.ChartRepo(filepath.Join(dir, "repo"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	want := run(t, helm, "template", "demo", filepath.Join(dir, "web"))
	env := &ocm.Env{Dir: dir}
	registry := fixture.Registry(t)
	publisher := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(env, registry, "", remote.Options{})), env)
	for name, members := range map[string]map[string]string{
		"folder": {"path": "web"}, "archive": {"path": "repo/web-0.1.0.tgz"}, "address": {"helmRepository": url + "/web-0.1.0.tgz"}, "repository": {"helmRepository": url, "path": "web"},
	} {
		members["type"] = "helm"
		c := openInput(t, env, members)
		if _, err := publisher.Publish(t.Context(), c, name+"/web:0.1.0", false); err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		run(t, helm, "pull", "--plain-http", "oci://"+strings.TrimPrefix(registry, "http://")+"/"+name+"/web", "--version", "0.1.0", "--destination", out)
		pulled := filepath.Join(out, "web-0.1.0.tgz")
		run(t, helm, "lint", pulled)
		if got := run(t, helm, "template", "demo", pulled); got != want {
			t.Errorf("%s: the chart renders to something else", name)
		}
		if name == "folder" {
			continue
		}
		if got, of := read(t, pulled), read(t, filepath.Join(dir, "repo", "web-0.1.0.tgz")); !bytes.Equal(got, of) {
			t.Errorf("%s: the archive is not the one of the repository", name)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	return fixture.Must[[]byte](t)(os.ReadFile(path))
}

// The config and layers of an artifact that is packed of an archive are those that helm push writes.
func TestHelmPushesTheSameLayers(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	dir := helmSources(t, helm)
	registry := strings.TrimPrefix(fixture.Registry(t), "http://")
	archive := filepath.Join(dir, "repo", "web-0.1.0.tgz")
	run(t, helm, "push", "--plain-http", archive, "oci://"+registry+"/team")
	s, err := ocm.NewSpec(map[string]string{"type": "helm", "helmRepository": "oci://" + registry + "/team", "helmChart": "web"})
	if err != nil {
		t.Fatal(err)
	}
	opener, err := builtin.Kit().Access.For(s.Type)
	if err != nil {
		t.Fatal(err)
	}
	pushed := fixture.Must[ocm.Content](t)(opener.Open(t.Context(), &ocm.Env{}, s))
	packed := openInput(t, &ocm.Env{Dir: dir}, map[string]string{"type": "helm", "path": "repo/web-0.1.0.tgz"})
	if got, want := digests(t, packed), digests(t, pushed); got != want {
		t.Errorf("expected %s, found %s", want, got)
	}
	found, err := chart.Find(t.Context(), pushed)
	if err != nil || found.Archive.Root.Digest != digest.FromBytes(read(t, archive)) {
		t.Errorf("%+v %v", found, err)
	}
}

// digests are those of what a manifest refers to.
func digests(t *testing.T, c ocm.Content) string {
	t.Helper()
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest))
	children, err := blob.Children(c.Root, raw)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range children {
		all = append(all, d.Digest.String())
	}
	return strings.Join(all, " ")
}
