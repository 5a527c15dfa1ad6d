// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/transfer"
)

// The tests of this file let every step of a small transfer fail in every way, one after the
// other, and look at what is left. Registries are asked without sockets, and the clock is that of
// testing/synctest: waiting for a registry costs nothing, and a test whose transfer leaves a
// goroutine behind does not end well.

// every says that all steps are tried, not only some. It is asked while tests run, so that their
// cached results depend on it.
func every() bool { return os.Getenv("CI") == "true" }

// side is one end of a transfer.
type side struct {
	store  func(env *ocm.Env) (oci.Store, error) // opened anew for each run
	state  func(t *testing.T) string             // everything that is visible in it
	litter func(t *testing.T, finished bool)     // fails if there are files that must not be there
}

// sides makes one end of each kind, empty; host is the name of a registry.
var sides = map[string]func(t *testing.T, hosts fault.Hosts, host string) side{
	"registry": registrySide,
	"ctf":      func(t *testing.T, _ fault.Hosts, host string) side { return ctfSide(t, host) },
	"tar":      func(t *testing.T, _ fault.Hosts, host string) side { return ctfSide(t, host+".tar") },
}

func registrySide(t *testing.T, hosts fault.Hosts, host string) side {
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem, GC: config.ConfigGC{Frequency: -1}}})
	t.Cleanup(func() {
		synctest.Wait() // for requests that nobody waits for any more
		h.Close()
	})
	hosts[host] = h
	store := func(env *ocm.Env) (oci.Store, error) {
		return remote.Open(env, "http://"+host, "some/path", remote.Options{})
	}
	return side{
		store:  store,
		litter: func(*testing.T, bool) {},
		state: func(t *testing.T) string {
			s := fixture.Must[oci.Store](t)(store(&ocm.Env{HTTP: hosts}))
			var b strings.Builder
			for _, name := range []string{"acme.org/lib", "acme.org/app"} {
				repo := s.Repo(oci.RepoName(name))
				for tag, err := range repo.Tags(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintln(&b, name, tag, fixture.Must[ociv1.Descriptor](t)(repo.Resolve(t.Context(), tag)).Digest)
				}
			}
			return b.String()
		},
	}
}

func ctfSide(t *testing.T, name string) side { return sideIn(tempDir(t), name) }

// sideIn is a CTF in a folder that is there.
func sideIn(top, name string) side {
	path := filepath.Join(top, name)
	return side{
		store: func(*ocm.Env) (oci.Store, error) { return ctf.Open(path) },
		state: func(t *testing.T) string { return tree(t, top) },
		litter: func(t *testing.T, finished bool) {
			err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
				// what was received of a large blob stays until it is whole
				unfinished := strings.HasSuffix(path, ".part") && !finished
				if strings.HasPrefix(filepath.Base(path), ".") && !unfinished {
					t.Errorf("left behind: %s", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		},
	}
}

// tempDir is a folder in memory where there is one: these tests are not about waiting for disks.
func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "ocm-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tree lists the files below a folder with their digests.
func tree(t *testing.T, dir string) string {
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

// twoVersions writes two versions, of which the second one references the first one: blobs, one of them
// in both and one of about that many bytes, and an image for two platforms.
func twoVersions(t *testing.T, repo ocm.Repository, large int) ocm.Version {
	shared := text("in both")
	lib := write(t, repo, "acme.org/lib", "1.0.0", nil)
	lib.resource("shared", shared)
	lib.resource("large", text(strings.Repeat("text that repeats ", large/18)))
	app := write(t, repo, "acme.org/app", "1.0.0", nil)
	app.reference(lib.commit())
	app.resource("shared", shared)
	app.resource("image", platforms("amd64", "arm64"))
	app.source("code", text("source code"))
	return app.commit()
}

// platforms is an image index with one image for each.
func platforms(names ...string) ocm.Content {
	heap, entries := fixture.Heap{}, []string{}
	for _, name := range names {
		image := fixture.Image("layer for " + name)
		for d, raw := range image.From.(fixture.Heap) {
			heap[d] = raw
		}
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":%q}}`,
			image.Root.MediaType, image.Root.Digest, image.Root.Size, name))
	}
	root := heap.Put(ociv1.MediaTypeImageIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`,
		ociv1.MediaTypeImageIndex, strings.Join(entries, ",")))
	return ocm.Content{Root: root, From: heap}
}

// scene is a source with two versions, and an empty target.
type scene struct {
	hosts    fault.Hosts
	cache    string
	timeout  time.Duration // of runs
	large    int           // bytes of the largest blob
	from, to side
	before   string // the source's state
}

func newScene(t *testing.T, from, to string) *scene {
	s := &scene{hosts: fault.Hosts{}, cache: tempDir(t), large: 100_000}
	if to == "ctf" {
		s.large = 1_200_000 // received in parts that stay
	}
	s.to = sides[to](t, s.hosts, "target.example")
	s.fill(t, from)
	return s
}

// fill makes the source.
func (s *scene) fill(t *testing.T, from string) {
	s.from = sides[from](t, s.hosts, "source.example")
	env := &ocm.Env{Job: ocm.NewJob(4), HTTP: s.hosts}
	repo := oci.NewRepository(fixture.Must[oci.Store](t)(s.from.store(env)), env)
	defer repo.Close()
	twoVersions(t, repo, s.large)
	if f, ok := any(repo).(ocm.Finisher); ok && f.Finish(t.Context()) != nil {
		t.Fatal("the source cannot be finished")
	}
	s.before = s.from.state(t)
}

// run is one run of the program: it opens both ends, plans, transfers, and closes them. wrap
// comes between.
func (s *scene) run(ctx context.Context, l *fault.Link, wrap func(oci.Store) oci.Store) (err error) {
	env := &ocm.Env{Job: ocm.NewJob(4), HTTP: s.hosts, Cache: s.cache, Timeout: s.timeout}
	if l != nil {
		l.Base, env.HTTP = s.hosts, l
	}
	open := func(of side) (ocm.Repository, error) {
		store, err := of.store(env)
		if err == nil && wrap != nil {
			store = wrap(store)
		}
		return oci.NewRepository(store, env), err
	}
	from, err := open(s.from)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := open(s.to)
	if err != nil {
		return err
	}
	defer to.Close()
	v, err := from.Open(ctx, "acme.org/app", "1.0.0")
	if err != nil {
		return err
	}
	if _, _, err = move(ctx, from, to, v, transfer.Options{}); err != nil {
		return err
	}
	if f, ok := to.(ocm.Finisher); ok {
		return f.Finish(ctx)
	}
	return nil
}

// visible lists the versions that the target shows, and fails unless each of them is whole.
func (s *scene) visible(t *testing.T) []string {
	t.Helper()
	env := &ocm.Env{HTTP: s.hosts}
	store, err := s.to.store(env)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil // an archive that is not there
	}
	if err != nil {
		t.Fatal(err)
	}
	repo := oci.NewRepository(store, env)
	defer repo.Close()
	var list []string
	for _, name := range []string{"acme.org/app", "acme.org/lib"} {
		for version, err := range repo.Versions(t.Context(), name) {
			if err != nil {
				t.Errorf("versions of %s: %v", name, err)
			} else {
				list = append(list, name+":"+version)
			}
		}
		v, err := repo.Open(t.Context(), name, "1.0.0")
		switch listed := slices.Contains(list, name+":1.0.0"); {
		case err == nil:
			complete(t, repo, v)
			if !listed {
				t.Errorf("%s is there and not listed", name)
			}
		case listed || !errors.Is(err, ocm.ErrNotFound):
			t.Errorf("%s is neither there nor absent: %v", name, err)
		}
	}
	return list
}

// check looks at what a run left that failed, or got over the fault, and at a second run.
func (s *scene) check(t *testing.T, err error) {
	t.Helper()
	list := s.visible(t)
	if err == nil && len(list) != 2 {
		t.Errorf("after a success the target shows %v", list)
	}
	s.to.litter(t, err == nil)
	if err := s.run(t.Context(), nil, nil); err != nil {
		t.Errorf("the second run: %v", err)
	}
	if list := s.visible(t); len(list) != 2 {
		t.Errorf("after the second run the target shows %v", list)
	}
	s.to.litter(t, true)
	if now := s.from.state(t); now != s.before {
		t.Errorf("the source was\n%s\nand is\n%s", s.before, now)
	}
	s.from.litter(t, true)
}

// attempt is one run in which a step fails.
type attempt struct {
	at   int
	down bool // the following ones fail as well
}

// outcome of an attempt.
type outcome struct {
	got   error
	steps int
}

// attempts lets every step fail, or some that depend on offset, until there are no more; each in a
// bubble of its own.
func attempts(t *testing.T, offset int, down bool, run func(t *testing.T, a attempt) outcome) {
	stride, tried, over := 9, 0, 0
	if every() {
		stride = 1
	}
	for a := (attempt{1 + offset%stride, down}); ; a.at += stride {
		var got outcome
		synctest.Test(t, func(t *testing.T) { got = run(t, a) })
		if a.at > got.steps {
			break
		}
		if tried++; got.got == nil {
			over++
		}
	}
	t.Logf("%d runs, down %v: %d got over it", tried, down, over)
}

// Whatever happens to one request, or to all from one on.
func TestFaultAtEveryRequest(t *testing.T) {
	t.Parallel()
	for _, way := range [][2]string{{"registry", "registry"}, {"registry", "ctf"}, {"ctf", "registry"}, {"registry", "tar"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			t.Parallel()
			needs(t, way[0], way[1])
			for i, kind := range fault.Kinds(time.Second) {
				t.Run(kind.Name, func(t *testing.T) {
					run := func(t *testing.T, a attempt) outcome {
						return faultAtRequest(t, newScene(t, way[0], way[1]), kind, a)
					}
					attempts(t, i, false, run)
					if i == 0 || kind.Name == "status 503" || kind.Name == "web page" {
						attempts(t, i+1, true, run)
					}
				})
			}
		})
	}
}

func faultAtRequest(t *testing.T, s *scene, kind fault.Kind, a attempt) outcome {
	l := &fault.Link{Steps: &fault.Steps{At: a.at, Down: a.down}, Kind: kind}
	began := time.Now()
	err := s.run(t.Context(), l, nil)
	names, hits := l.Steps.Names(), l.Steps.Hits()
	switch took := time.Since(began); {
	case took > 10*time.Minute:
		t.Errorf("it took %v", took)
	case err != nil && len(hits) == 0:
		t.Errorf("nothing went wrong: %v", err)
	case err != nil && kind.Passes && !a.down:
		t.Errorf("a fault that passes was not got over: %v", err)
	}
	for _, name := range names {
		if strings.Contains(name, " source.") && !strings.HasPrefix(name, "GET ") && !strings.HasPrefix(name, "HEAD ") {
			t.Errorf("the source is asked to %s", name)
		}
	}
	s.check(t, err)
	if t.Failed() {
		t.Fatalf("%s at step %d, and all that follow: %v; it happened to %q, and the run ended with %v", kind.Name, a.at, a.down, hits, err)
	}
	return outcome{err, len(names)}
}

// needs skips a test of a kind of archive that cannot be written.
func needs(t *testing.T, kinds ...string) {
	if !slices.Contains(kinds, "tar") {
		return
	}
	s, err := ctf.Open(filepath.Join(t.TempDir(), "new.tar"))
	if err != nil {
		t.Fatal("archives in one file cannot be written:", err)
	}
	s.Close()
}

// Whatever happens in one call of a store, at either end.
func TestFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, way := range [][2]string{{"ctf", "ctf"}, {"ctf", "registry"}, {"registry", "ctf"}, {"ctf", "tar"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			t.Parallel()
			needs(t, way[0], way[1])
			for i, act := range fault.Acts() {
				t.Run(act.String(), func(t *testing.T) {
					run := func(t *testing.T, a attempt) outcome {
						return faultAtCall(t, newScene(t, way[0], way[1]), act, a)
					}
					attempts(t, i, false, run)
					if act == fault.Refuse {
						attempts(t, i+1, true, run)
					}
				})
			}
		})
	}
}

func faultAtCall(t *testing.T, s *scene, act fault.Act, a attempt) outcome {
	steps := &fault.Steps{At: a.at, Down: a.down}
	err := s.run(t.Context(), nil, func(o oci.Store) oci.Store { return &fault.Store{Store: o, Steps: steps, Act: act} })
	names, hits := steps.Names(), steps.Hits()
	switch {
	case err != nil && len(hits) == 0:
		t.Errorf("nothing went wrong: %v", err)
	case err == nil && len(hits) > 0:
		t.Errorf("nobody has noticed")
	}
	s.check(t, err)
	if t.Failed() {
		t.Fatalf("%s at step %d, and all that follow: %v; it happened to %q, and the run ended with %v", act, a.at, a.down, hits, err)
	}
	return outcome{err, len(names)}
}

// A registry that sends, or takes, a byte every second is no registry for those who have set a
// shorter timeout; and the rest of the time it is one.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	for _, way := range [][2]string{{"registry", "ctf"}, {"ctf", "registry"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, way[0], way[1])
				s.timeout = 500 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := s.run(ctx, &fault.Link{Steps: &fault.Steps{At: 1, Down: true}, Kind: fault.Trickle(time.Second)}, nil)
				if ctx.Err() != nil {
					t.Fatal("the timeout of the environment is not heeded")
				}
				if err == nil {
					t.Error("expected an error")
				}
				s.check(t, err)
			})
		})
	}
}
