// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/net/webdav"

	"ocm"
	"ocm/blob"
	"ocm/credentials"
	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/repotest"
	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/web"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"webdav": kit, "mortal": mortal})
}

// mortal is the plugin with an access method that kills it, once, as nothing can prevent.
func mortal() *ocm.Kit {
	k := kit()
	k.Access.Register(ocm.OpenerFunc(func(_ context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var die struct {
			Mark string `json:"mark"`
		}
		if err := s.Decode(&die); err != nil {
			return ocm.Content{}, err
		}
		if err := os.Mkdir(die.Mark, 0o700); err != nil {
			return ocm.Content{}, err // it was done, and this is the next process
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return ocm.Content{}, err
		}
		return ocm.Content{}, self.Kill()
	}), ocm.Type{Names: []string{"die"}, About: "Kills the plugin."})
	return k
}

// files is a WebDAV server that wants a password. uploads, if not nil, is told of each upload when some of it has come.
type files struct {
	url, dir string
	uploads  chan struct{}
}

func serve(t testing.TB) *files {
	t.Helper()
	f := &files{dir: t.TempDir(), uploads: make(chan struct{}, 1000)}
	dav := &webdav.Handler{Prefix: "/dav", FileSystem: webdav.Dir(f.dir), LockSystem: webdav.NewMemLS()}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "u" || password != "p" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPut {
			r.Body = &told{r.Body, f.uploads}
		}
		dav.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	f.url = srv.URL + "/dav"
	return f
}

type told struct {
	io.ReadCloser
	uploads chan struct{}
}

func (u *told) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	select {
	case u.uploads <- struct{}{}:
	default:
	}
	return n, err
}

// env has the password of the server.
func (f *files) env(t testing.TB) *ocm.Env {
	t.Helper()
	at := fixture.Must[*url.URL](t)(url.Parse(f.url))
	entry := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]any{"type": "credentials.config.ocm.software", "consumers": []any{map[string]any{
		"identity":    map[string]string{"type": "WebDAV", "hostname": at.Hostname(), "port": at.Port()},
		"credentials": []any{map[string]any{"type": "Credentials/v1", "properties": map[string]string{"username": "u", "password": "p"}}},
	}}}))
	secrets, err := credentials.New([]ocm.Spec{entry}, credentials.Options{NoDocker: true})
	if err != nil {
		t.Fatal(err)
	}
	return &ocm.Env{Credentials: secrets, Job: ocm.NewJob(8)}
}

// in opens a folder of the server.
func (f *files) in(t testing.TB, kit *ocm.Kit, folder string) ocm.Repository {
	t.Helper()
	spec := fixture.Must[ocm.Spec](t)(ocm.RepositorySpec("WebDAV", f.url+"/"+folder))
	opener := fixture.Must[ocm.RepositoryOpener](t)(kit.Repositories.For(spec.Type))
	r := fixture.Must[ocm.Repository](t)(opener(t.Context(), f.env(t), spec))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestStore(t *testing.T) {
	t.Parallel()
	f := serve(t)
	storetest.Run(t, func(t *testing.T) oci.Store {
		at := fixture.Must[*url.URL](t)(url.Parse(f.url + "/a/" + filepath.Base(t.Name()) + "/"))
		client := fixture.Must[*web.Client](t)(web.For(t.Context(), f.env(t), at, "WebDAV"))
		return &store{&server{client: client, env: f.env(t), base: at, made: map[string]bool{}}}
	})
}

// The repository keeps its contract, in this process and as a plugin.
func TestRepository(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*ocm.Kit{"inside": kit(), "plugin": plugintest.Kit(t, "webdav")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t)
			n := 0
			repotest.Run(t, func(t *testing.T) ocm.Repository {
				n++
				return f.in(t, k, fmt.Sprintf("team/%d", n))
			})
		})
	}
}

// What is attached to an image goes from a registry into the plugin, from there into an archive, and the other way.
func TestAttached(t *testing.T) {
	t.Parallel()
	f, k := serve(t), plugintest.Kit(t, "webdav")
	images := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, fixture.Registry(t), "", remote.Options{})).Repo("library/app")
	signed := fixture.NewSignedImage(t, images)
	archive := func() *ctf.Store { return fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(t.TempDir(), "a"))) }
	there, back := archive(), archive()
	c := ocm.Content{Root: signed.Root, From: images, Origin: images.Origin()}
	for i, to := range []ocm.Repository{f.in(t, k, "team"), oci.NewRepository(there, f.env(t)), f.in(t, k, "other"), oci.NewRepository(back, f.env(t))} {
		if err := commit(t.Context(), to, "p", c); err != nil {
			t.Fatal(i, err)
		}
		v := fixture.Must[ocm.Version](t)(to.Open(t.Context(), "acme.org/app", "1.0.0"))
		c = fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
	}
	signed.WantAt(t, there.Repo(oci.RepoName("acme.org/app")))
	signed.WantAt(t, back.Repo(oci.RepoName("acme.org/app")))
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	f := serve(t)
	spec := fixture.Must[ocm.Spec](t)(ocm.RepositorySpec("WebDAV", f.url))
	r := fixture.Must[ocm.Repository](t)(open(t.Context(), &ocm.Env{}, spec))
	_, err := r.Open(t.Context(), "acme.org/app", "1.0.0")
	fixture.WantErr(t, err, ocm.ErrDenied, "ocm auth explain", "--as WebDAV")
}

func commit(ctx context.Context, r ocm.Repository, provider string, c ocm.Content) error {
	d, err := r.Draft(ctx, "acme.org/app", "1.0.0", nil)
	if err != nil {
		return err
	}
	defer d.Close()
	stored, err := d.Add(ctx, c, "")
	if err != nil {
		return err
	}
	_, err = d.Commit(ctx, &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: ocm.Provider(provider),
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "text", Version: "1.0.0"}, Type: "blob", Relation: "local", Access: stored.Access}}}})
	return err
}

func versions(t *testing.T, r ocm.Repository) (all []string) {
	t.Helper()
	for v, err := range r.Versions(t.Context(), "acme.org/app") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// endless is content that never ends; slow enough, nobody sees its end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// A plugin that is killed during an upload leaves nothing behind that is visible, and the next one finishes the work.
func TestKill(t *testing.T) {
	t.Parallel()
	f := serve(t)
	k := plugintest.Kit(t, "mortal")
	r := f.in(t, k, "team")
	done := make(chan error, 1)
	go func() {
		c := blob.Bytes("text/plain", nil)
		c.Root.Digest, c.Root.Size = "", -1
		c.From = fetcher(func() io.ReadCloser { return io.NopCloser(endless{}) })
		done <- commit(t.Context(), r, "first", c)
	}()
	for range 3 { // it is under way
		<-f.uploads
	}
	die := fixture.Must[ocm.Opener](t)(k.Access.For("die"))
	mark := filepath.Join(t.TempDir(), "mark")
	spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "die", "mark": mark}))
	if _, err := die.Open(t.Context(), nil, spec); err == nil {
		t.Error("it lives")
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "plugin mortal") {
		t.Errorf("expected an error that names the plugin, found %v", err)
	}
	if all := versions(t, r); len(all) > 0 {
		t.Errorf("visible: %q", all)
	}
	if left := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(f.dir, "team", blobs, "*"))); len(left) > 0 {
		t.Errorf("blobs: %q", left)
	}
	if err := commit(t.Context(), r, "second", blob.Bytes("text/plain", []byte("hello"))); err != nil {
		t.Error(err)
	}
	if all := versions(t, r); !slices.Equal(all, []string{"1.0.0"}) {
		t.Errorf("versions: %q", all)
	}
}

type fetcher func() io.ReadCloser

func (f fetcher) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) { return f(), nil }

// Of two plugins that write a version at once one wins.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	f := serve(t)
	for round := range 5 {
		const writers = 2
		errs := make(chan error, writers)
		repos := make([]ocm.Repository, writers)
		for i := range writers {
			repos[i] = f.in(t, plugintest.Kit(t, "webdav"), fmt.Sprint("round", round))
		}
		for i, r := range repos {
			go func() { errs <- commit(t.Context(), r, fmt.Sprint(i), blob.Bytes("text/plain", []byte("hello"))) }()
		}
		won := 0
		for range writers {
			if err := <-errs; err == nil {
				won++
			} else if !errors.Is(err, ocm.ErrExists) && !errors.Is(err, ocm.ErrConflict) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d have won", won)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	folder := fixture.Must[*url.URL](t)(url.Parse("https://host/dav/a%20b/"))
	list := func(hrefs ...string) string {
		text := `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">`
		for _, h := range hrefs {
			text += "<D:response><D:href>" + h + "</D:href><D:propstat/></D:response>"
		}
		return text + "</D:multistatus>"
	}
	got, err := namesIn([]byte(list("/dav/a%20b/", "/dav/a%20b/x%40y", "\n https://host/dav/a%20b/folder/ ", "/dav/a%20b/x/y", "/etc/passwd", "../z", "w")), folder)
	if err != nil || !slices.Equal(got, []string{"x@y", "folder", "w"}) {
		t.Errorf("%q %v", got, err)
	}
	for _, bad := range []string{"<", list("%zz"), list("<a>"), "<a></b>"} {
		if _, err := namesIn([]byte(bad), folder); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add(`<D:multistatus xmlns:D="DAV:"><D:response><D:href>/dav/x</D:href></D:response></D:multistatus>`)
	f.Add(`<multistatus xmlns="DAV:"><href>%2e%2e</href><href>a/../b</href>`)
	folder := &url.URL{Scheme: "https", Host: "host", Path: "/dav/"}
	f.Fuzz(func(t *testing.T, text string) {
		names, err := namesIn([]byte(text), folder)
		if err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Fatal(err)
		}
		for _, name := range names {
			if name == "" || strings.Contains(name, "/") {
				t.Fatalf("%q", name)
			}
		}
	})
}
