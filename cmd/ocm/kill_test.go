// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/remote"
)

// long says that everything is tried, not only some. It is asked while tests run, so that their
// cached results depend on it.
func long() bool { return os.Getenv("CI") == "true" }

// killedVersions is the number of versions that are moved: one that references all others.
const killedVersions = 10

// The program is killed at moments that nobody chose. Whenever that is: the source stays as it is,
// what the target shows is whole, and the same command finishes the work.
func TestKilled(t *testing.T) {
	t.Parallel()
	kills := 2
	if long() {
		kills = 17 // for each of six ways
	}
	source := filepath.Join(t.TempDir(), "source")
	fillSource(t, source)
	before := folderState(t, source)
	for _, target := range []string{"folder", "registry", "archive.tar"} {
		for _, parallel := range []string{"4", "16"} {
			t.Run(target+" "+parallel, func(t *testing.T) {
				t.Parallel()
				k := &killing{t: t, source: source, before: before, parallel: parallel, seed: rand.Uint64()}
				t.Logf("seed %d", k.seed)
				k.random = rand.New(rand.NewPCG(k.seed, 0))
				k.fresh = freshTarget(t, target)
				k.try(kills)
			})
		}
	}
}

// killing is a series of runs of the same transfer.
type killing struct {
	t        *testing.T
	source   string
	before   string
	parallel string
	fresh    func() string // an empty target
	seed     uint64
	random   *rand.Rand
	home     string
}

// try kills that many runs. A target gets a few of them and then one that ends.
func (k *killing) try(kills int) {
	k.home = k.t.TempDir()
	target := k.fresh()
	began := time.Now()
	k.finish(target)
	whole := time.Since(began)
	done := 0
	for done < kills {
		target = k.fresh()
		for range min(1+k.random.IntN(5), kills-done) {
			k.kill(target, time.Duration(k.random.Int64N(int64(whole))))
			done++
			k.look(target)
		}
		k.finish(target)
		if k.t.Failed() {
			k.t.Fatalf("seed %d, after %d kills", k.seed, done)
		}
	}
}

func (k *killing) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(k.t.Context(), "ocm", args...)
	cmd.Env = append(os.Environ(), "HOME="+k.home, "XDG_CACHE_HOME="+k.home, "XDG_CONFIG_HOME="+k.home, "DOCKER_CONFIG=", "OCM_CONFIG=")
	return cmd
}

func (k *killing) transfer(target string) *exec.Cmd {
	return k.command("transfer", "cv", "-r", k.source+"//acme.org/app:1.0.0", target, "--parallel", k.parallel)
}

// kill starts a run and ends it after a while; it may have ended before.
func (k *killing) kill(target string, after time.Duration) {
	k.t.Helper()
	cmd := k.transfer(target)
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		k.t.Fatal(err)
	}
	_ = cmd.Wait() // killed, or done
}

// finish runs to the end.
func (k *killing) finish(target string) {
	k.t.Helper()
	if out, err := k.transfer(target).CombinedOutput(); err != nil {
		k.t.Fatalf("seed %d: %v\n%s", k.seed, err, out)
	}
	if n := k.look(target); n != killedVersions {
		k.t.Errorf("expected %d versions, found %d", killedVersions, n)
	}
	parts, _ := filepath.Glob(filepath.Join(target, "blobs", "*.part"))
	if len(parts) > 0 {
		k.t.Errorf("left behind: %q", parts)
	}
}

// look counts the versions in the target, each of which must be whole.
func (k *killing) look(target string) int {
	k.t.Helper()
	if now := folderState(k.t, k.source); now != k.before {
		k.t.Errorf("the source was\n%s\nand is\n%s", k.before, now)
	}
	out, err := k.command("get", "cv", target+"//acme.org/app:1.0.0").CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		k.t.Errorf("the target cannot be read: %v\n%s", err, out)
	}
	env := &ocm.Env{Job: ocm.NewJob(4)}
	store, openErr := openStore(env, target)
	if errors.Is(openErr, ocm.ErrNotFound) {
		return 0
	}
	if openErr != nil {
		k.t.Fatal(openErr)
	}
	repo := oci.NewRepository(store, env)
	defer repo.Close()
	n := 0
	for i := range killedVersions {
		v, openErr := repo.Open(k.t.Context(), componentName(i), "1.0.0")
		if openErr == nil {
			n++
			wantWhole(k.t, env, repo, v)
		} else if !errors.Is(openErr, ocm.ErrNotFound) {
			k.t.Errorf("%s is neither there nor absent: %v", componentName(i), openErr)
		}
		if i == 0 && (openErr == nil) != (err == nil) {
			k.t.Errorf("the command says %v, the library %v", err, openErr)
		}
	}
	return n
}

func openStore(env *ocm.Env, target string) (oci.Store, error) {
	if strings.HasPrefix(target, "http://") {
		return remote.Open(env, target, "", remote.Options{})
	}
	return ctf.Open(target)
}

// wantWhole fails unless everything that a version has or references is there, as its digests say.
func wantWhole(t *testing.T, env *ocm.Env, repo ocm.Repository, v ocm.Version) {
	t.Helper()
	c := &v.Descriptor().Component
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		return repo.Open(ctx, name, version)
	}
	if _, err := graph.Walk(t.Context(), env.Job, find, []ocm.Version{v}, graph.Options{Recursive: true}); err != nil {
		t.Errorf("%s: %v", c.Name, err)
	}
	for i := range c.Resources {
		content, err := graph.Content(t.Context(), builtin.Kit(), env, v, c.Resources[i].Access)
		if err == nil {
			err = graph.Check(t.Context(), content, *c.Resources[i].Digest)
		}
		if err != nil {
			t.Errorf("%s: resource %s: %v", c.Name, c.Resources[i].Name, err)
		}
	}
}

// componentName is the name of a version of the test; the first one references the others.
func componentName(i int) string {
	if i == 0 {
		return "acme.org/app"
	}
	return fmt.Sprint("acme.org/part", i)
}

// fillSource makes the archive that is moved: some megabytes of blobs, one of them in every
// version, and an image in some.
func fillSource(t *testing.T, path string) {
	t.Helper()
	repo := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(path)), nil)
	defer repo.Close()
	var parts []ocm.Reference
	for i := killedVersions - 1; i >= 0; i-- {
		contents := []ocm.Content{generated(100, 1<<20), generated(byte(i), 4000<<i)}
		if i%3 == 1 {
			contents = append(contents, fixture.Index(fmt.Sprint("layer ", i)))
		}
		references := parts[:min(1, len(parts))] // all need the one that was written first
		if i == 0 {
			references = parts
		}
		d := writeVersion(t, repo, componentName(i), contents, references)
		dg := fixture.Must[ocm.Digest](t)(normalise.Digest(d, ocm.SHA256, normalise.V3))
		parts = append(parts, ocm.Reference{Element: ocm.Element{Name: fmt.Sprint("part", i), Version: "1.0.0"}, ComponentName: d.Component.Name, Digest: &dg})
	}
}

// generated is content that is made as it is read.
func generated(seed byte, n int64) ocm.Content {
	b := fault.Bytes{Seed: seed, N: n}
	return ocm.Content{Root: b.Root(), From: b}
}

// writeVersion commits one version.
func writeVersion(t *testing.T, repo ocm.Repository, name string, contents []ocm.Content, references []ocm.Reference) *ocm.Descriptor {
	t.Helper()
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), name, "1.0.0", nil))
	defer draft.Close()
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "acme.org", References: references}}
	for i, c := range contents {
		s := fixture.Must[ocm.Stored](t)(draft.Add(t.Context(), c, ""))
		kind := ocm.GenericBlobDigest
		if blob.IsManifest(s.Root.MediaType) {
			kind = ocm.OCIArtifactDigest
		}
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprint("resource", i), Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access,
			Digest: &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: kind, Value: s.Root.Digest.Encoded()},
		})
	}
	return fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), d)).Descriptor()
}

// freshTarget returns a function that makes empty targets of a kind.
func freshTarget(t *testing.T, kind string) func() string {
	n := 0
	if kind == "registry" {
		url := startRegistry(t)
		return func() string { n++; return fmt.Sprintf("%s/target%d", url, n) }
	}
	dir := t.TempDir()
	if kind != "folder" {
		s, err := ctf.Open(filepath.Join(dir, kind))
		if err != nil {
			t.Fatal("archives in one file cannot be written:", err)
		}
		s.Close()
	}
	return func() string { n++; return filepath.Join(dir, fmt.Sprint(n, kind)) }
}

// startRegistry starts the registry of the distribution project if it is installed, else one in
// this process.
func startRegistry(t *testing.T) (url string) {
	t.Helper()
	if _, err := exec.LookPath("docker-registry"); err != nil {
		return fixture.Registry(t)
	}
	return fixture.DockerRegistry(t)
}

// folderState lists the files below a folder with their digests.
func folderState(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(root, path)
		fmt.Fprintf(&b, "%x %s\n", sha256.Sum256(raw), path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
