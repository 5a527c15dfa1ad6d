// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	orasoci "oras.land/oras-go/v2/content/oci"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/serve"
)

// Names in the archives of these tests.
const (
	servedImage = "acme/hello"
	servedChart = "charts/hello"
	servedTag   = "0.1.0" // of the chart, too
)

// goods is what an archive offers: an image for one platform behind an index, what is attached to it, and a chart.
type goods struct {
	image, chart *layout
	index, sbom  ociv1.Descriptor
	files        []byte // of the image's layer, not compressed
	archive      []byte // of the chart
}

// newGoods fills an archive.
func newGoods(t *testing.T, path string) *goods {
	t.Helper()
	g := &goods{files: tarOf(t, []string{"hello"}, map[string][]byte{"hello": []byte("hello from the archive\n")})}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(g.files))
	g.image = newLayout(t, ociv1.MediaTypeImageConfig, []byte(config), ociv1.MediaTypeImageLayerGzip, gzipped(t, g.files))
	g.archive = gzipped(t, tarOf(t, []string{"hello/Chart.yaml"}, map[string][]byte{"hello/Chart.yaml": []byte(chartYAML)}))
	g.chart = newLayout(t, "application/vnd.cncf.helm.config.v1+json", []byte(`{"apiVersion":"v2","name":"hello","version":"0.1.0"}`),
		"application/vnd.cncf.helm.chart.content.v1.tar+gzip", g.archive)

	s, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	image := s.Repo(servedImage)
	store(t, image, g.image, "")
	child := g.image.root
	child.Platform = &ociv1.Platform{OS: "linux", Architecture: "amd64"}
	g.index = putDocument(t, image, servedTag, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: []ociv1.Descriptor{child},
	})
	text := push(t, image, "application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`))
	empty := push(t, image, ociv1.MediaTypeEmptyJSON, []byte("{}"))
	g.sbom = putDocument(t, image, "", ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "application/spdx+json",
		Config: empty, Layers: []ociv1.Descriptor{text}, Subject: &g.index,
	})
	store(t, s.Repo(servedChart), g.chart, servedTag)
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func push(t *testing.T, r oci.Repo, mediaType string, b []byte) ociv1.Descriptor {
	t.Helper()
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if _, err := r.Push(t.Context(), d, strings.NewReader(string(b))); err != nil {
		t.Fatal(err)
	}
	return d
}

// store pushes all of a layout.
func store(t *testing.T, r oci.Repo, l *layout, tag string) {
	t.Helper()
	for d, b := range l.blobs {
		if d != l.root.Digest {
			push(t, r, "", b)
		}
	}
	if err := r.PutManifest(t.Context(), l.root, l.blobs[l.root.Digest], tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
}

func putDocument(t *testing.T, r oci.Repo, tag, mediaType string, doc any) ociv1.Descriptor {
	t.Helper()
	raw := fixture.Must[[]byte](t)(json.Marshal(doc))
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

// served is an archive that is offered, and what clients need to come in.
type served struct {
	t     *testing.T
	store *ctf.Store
	host  string
	plain bool
	env   []string
	dir   string // for what clients write
}

const (
	guest    = "alice"
	password = "correct horse"
	// users has the hash of the password.
	users = guest + ":$2a$05$X.SWQsym5FP14b24rQn.G.ywXG4RjBs2HzYds2.YJiN2ttspX6qYW\n"
)

// offer opens an archive and offers it: plain, or over TLS to those who have a password.
func offer(t *testing.T, path string, writable, guarded bool) *served {
	t.Helper()
	s := &served{t: t, store: fixture.Must[*ctf.Store](t)(ctf.Open(path)), plain: !guarded, dir: t.TempDir()}
	o := serve.Options{Writable: writable}
	if guarded {
		o.Users = fixture.Must[*serve.Htpasswd](t)(serve.ReadHtpasswd(strings.NewReader(users)))
	}
	g := serve.Handler(s.store, o)
	srv := httptest.NewUnstartedServer(g)
	if guarded {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() { srv.Close(); g.Close(); s.store.Close() })
	s.host = srv.Listener.Addr().String()
	s.env = append(os.Environ(), "HOME="+s.dir)
	if guarded {
		s.login(srv)
	}
	return s
}

// login writes what clients look for: the authority, and the password.
func (s *served) login(srv *httptest.Server) {
	s.t.Helper()
	auths := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.host, base64.StdEncoding.EncodeToString([]byte(guest+":"+password)))
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, text := range map[string][]byte{"config.json": []byte(auths), "ca.pem": authority} {
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	config := filepath.Join(s.dir, "config.json")
	s.env = append(s.env, "DOCKER_CONFIG="+s.dir, "REGISTRY_AUTH_FILE="+config, "HELM_REGISTRY_CONFIG="+config, "SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
}

func (s *served) run(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// if plain, flags are what a client needs to speak HTTP.
func (s *served) flags(plain ...string) []string {
	if s.plain {
		return plain
	}
	return nil
}

func with(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

// wantLayout looks for the blobs of the image in an OCI layout.
func (s *served) wantLayout(dir string, g *goods) {
	s.t.Helper()
	for d, want := range g.image.blobs {
		got, err := os.ReadFile(filepath.Join(s.dir, dir, "blobs", "sha256", d.Encoded()))
		if err != nil || string(got) != string(want) {
			s.t.Errorf("expected %s in what was pulled, found %d bytes, %v", d, len(got), err)
		}
	}
}

// Clients of other people pull what an archive has, from a folder and from a tar file as it is.
func TestServePull(t *testing.T) {
	t.Parallel()
	for name, pull := range map[string]func(*testing.T, *served, *goods){
		"skopeo": pullSkopeo, "crane": pullCrane, "regctl": pullRegctl, "helm": pullHelm, "oras-go": pullOras, "containerd": pullContainerd,
	} {
		for _, form := range []string{"archive", "archive.tar"} {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), form)
				g := newGoods(t, path)
				pull(t, offer(t, path, false, false), g)
			})
		}
	}
}

// The same over TLS, with a password. Containerd and oras-go take both as values, not from files.
func TestServePull_guarded(t *testing.T) {
	t.Parallel()
	for name, pull := range map[string]func(*testing.T, *served, *goods){
		"skopeo": pullSkopeo, "crane": pullCrane, "regctl": pullRegctl, "helm": pullHelm,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "archive.tar")
			g := newGoods(t, path)
			pull(t, offer(t, path, false, true), g)
		})
	}
}

func pullSkopeo(t *testing.T, s *served, g *goods) {
	skopeo := tool(t, "skopeo")
	args := with([]string{"copy", "--all"}, s.flags("--src-tls-verify=false")...)
	s.run(skopeo, with(args, "docker://"+s.host+"/"+servedImage+":"+servedTag, "oci:skopeo:x")...)
	s.wantLayout("skopeo", g)
	list := s.run(skopeo, with(with([]string{"list-tags"}, s.flags("--tls-verify=false")...), "docker://"+s.host+"/"+servedImage)...)
	if !strings.Contains(list, servedTag) {
		t.Errorf("expected the tag to be listed, found %s", list)
	}
}

func pullCrane(t *testing.T, s *served, g *goods) {
	crane := tool(t, "crane")
	image := s.host + "/" + servedImage
	s.run(crane, with(s.flags("--insecure"), "pull", "--format=oci", image+":"+servedTag, "crane")...)
	s.wantLayout("crane", g)
	s.run(crane, with(s.flags("--insecure"), "validate", "--remote", image+"@"+g.image.root.Digest.String())...)
	if list := s.run(crane, with(s.flags("--insecure"), "catalog", s.host)...); !strings.Contains(list, servedImage) || !strings.Contains(list, servedChart) {
		t.Errorf("expected both repositories to be listed, found %s", list)
	}
}

// regctlHost is how regctl is told to speak HTTP.
func (s *served) regctlHost() []string { return s.flags("--host", "reg="+s.host+",tls=disabled") }

func pullRegctl(t *testing.T, s *served, g *goods) {
	regctl := tool(t, "regctl")
	image := s.host + "/" + servedImage + ":" + servedTag
	s.run(regctl, with(s.regctlHost(), "image", "copy", "--referrers", image, "ocidir://regctl:x")...)
	s.wantLayout("regctl", g)
	if list := s.run(regctl, with(s.regctlHost(), "artifact", "list", image)...); !strings.Contains(list, g.sbom.Digest.String()) {
		t.Errorf("expected the referrer to be listed, found %s", list)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "regctl", "blobs", "sha256", g.sbom.Digest.Encoded())); err != nil {
		t.Errorf("expected the referrer to be copied, too: %v", err)
	}
}

func pullHelm(t *testing.T, s *served, g *goods) {
	helm := tool(t, "helm")
	s.run(helm, with([]string{"pull", "oci://" + s.host + "/" + servedChart, "--version", servedTag}, s.flags("--plain-http")...)...)
	if got, err := os.ReadFile(filepath.Join(s.dir, "hello-0.1.0.tgz")); err != nil || string(got) != string(g.archive) {
		t.Errorf("expected the chart of %d bytes, found %d, %v", len(g.archive), len(got), err)
	}
	if shown := s.run(helm, "show", "chart", "hello-0.1.0.tgz"); !strings.Contains(shown, "name: hello") {
		t.Errorf("expected a chart, found %s", shown)
	}
}

func pullOras(t *testing.T, s *served, g *goods) {
	from := fixture.Must[*orasremote.Repository](t)(orasremote.NewRepository(s.host + "/" + servedImage))
	from.PlainHTTP = true
	to := fixture.Must[*orasoci.Store](t)(orasoci.New(filepath.Join(s.dir, "oras")))
	root, err := oras.Copy(t.Context(), from, servedTag, to, servedTag, oras.DefaultCopyOptions)
	if err != nil || root.Digest != g.index.Digest {
		t.Fatalf("expected %s, found %s, %v", g.index.Digest, root.Digest, err)
	}
	s.wantLayout("oras", g)
	var referrers []string
	err = from.Referrers(t.Context(), g.index, "", func(found []ociv1.Descriptor) error {
		for _, d := range found {
			referrers = append(referrers, d.Digest.String())
		}
		return nil
	})
	if err != nil || len(referrers) != 1 || referrers[0] != g.sbom.Digest.String() {
		t.Errorf("expected the referrer %s, found %q, %v", g.sbom.Digest, referrers, err)
	}
}

// pullContainerd pulls with a containerd of its own, as a node does.
func pullContainerd(t *testing.T, s *served, g *goods) {
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	containerd, ctr := optional(t, "containerd"), optional(t, "ctr")
	socket := startContainerd(t, containerd)
	image := s.host + "/" + servedImage + ":" + servedTag
	args := []string{"-a", socket, "-n", "test"}
	s.run(ctr, with(args, "images", "pull", "--plain-http", "--snapshotter", "native", "--platform", "linux/amd64", image)...)
	if list := s.run(ctr, with(args, "images", "ls")...); !strings.Contains(list, g.index.Digest.String()) {
		t.Errorf("expected %s, found %s", g.index.Digest, list)
	}
	for d, want := range g.image.blobs {
		if got := s.run(ctr, with(args, "content", "get", d.String())...); got != string(want) {
			t.Errorf("%s: expected %d bytes, found %d", d, len(want), len(got))
		}
	}
}

// optional finds a tool that need not be there, even where CI is set: it is of nodes.
func optional(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// startContainerd starts one that has nothing in common with that of this computer, and returns its address.
func startContainerd(t *testing.T, containerd string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctrd") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, containerd, "--config", config)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := waitFor(out, "containerd successfully booted")
	t.Cleanup(func() {
		stop()
		<-ready.ended
		_ = cmd.Wait() // it was killed
		os.RemoveAll(dir)
	})
	select {
	case <-ready.seen:
	case <-ready.ended:
		t.Fatalf("containerd did not start: %s", ready.text.String())
	}
	return socket
}

// watched is what a process writes, until it ends.
type watched struct {
	seen, ended chan struct{}
	text        bytes.Buffer // to be read when it has ended
}

func waitFor(r io.Reader, line string) *watched {
	w := &watched{seen: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		in, found := bufio.NewScanner(r), false
		for in.Scan() {
			fmt.Fprintln(&w.text, in.Text())
			if !found && strings.Contains(in.Text(), line) {
				found = true
				close(w.seen)
			}
		}
	}()
	return w
}

// Clients of other people push to a folder, plain and over TLS with a password, and what they pushed is what the archive has.
func TestServePush(t *testing.T) {
	t.Parallel()
	for name, push := range map[string]func(*testing.T, *served, string){"skopeo": pushSkopeo, "crane": pushCrane, "regctl": pushRegctl} {
		for _, guarded := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " guarded ", guarded), func(t *testing.T) {
				t.Parallel()
				g := newGoods(t, filepath.Join(t.TempDir(), "other"))
				s := offer(t, filepath.Join(t.TempDir(), "archive"), true, guarded)
				from := filepath.Join(s.dir, "layout")
				unpacked(t, g.image, from)
				push(t, s, from)
				d, err := s.store.Repo("new/image").Resolve(t.Context(), "1.0.0")
				if err != nil || d.Digest != g.image.root.Digest {
					t.Fatalf("expected %s, found %s, %v", g.image.root.Digest, d.Digest, err)
				}
				for d := range g.image.blobs {
					if _, err := blob.ReadAll(t.Context(), s.store.Repo("new/image"), ociv1.Descriptor{Digest: d, Size: -1}, 1<<20); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// unpacked writes a layout as a folder, with a tag.
func unpacked(t *testing.T, l *layout, dir string) {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	root := l.root
	root.Annotations = map[string]string{ociv1.AnnotationRefName: "x"}
	index := fixture.Must[[]byte](t)(json.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ociv1.Descriptor{root}}))
	files := map[string][]byte{filepath.Join(dir, "oci-layout"): []byte(`{"imageLayoutVersion":"1.0.0"}`), filepath.Join(dir, "index.json"): index}
	for d, b := range l.blobs {
		files[filepath.Join(blobs, d.Encoded())] = b
	}
	for path, b := range files {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func pushSkopeo(t *testing.T, s *served, from string) {
	args := with([]string{"copy", "--preserve-digests"}, s.flags("--dest-tls-verify=false")...)
	s.run(tool(t, "skopeo"), with(args, "oci:"+from+":x", "docker://"+s.host+"/new/image:1.0.0")...)
}

func pushCrane(t *testing.T, s *served, from string) {
	s.run(tool(t, "crane"), with(s.flags("--insecure"), "push", from, s.host+"/new/image:1.0.0")...)
	// crane asks a registry to delete, too
	s.run(tool(t, "crane"), with(s.flags("--insecure"), "tag", s.host+"/new/image:1.0.0", "gone")...)
	s.run(tool(t, "crane"), with(s.flags("--insecure"), "delete", s.host+"/new/image:gone")...)
	if _, err := s.store.Repo("new/image").Resolve(t.Context(), "gone"); err == nil {
		t.Error("expected the tag to be deleted")
	}
}

func pushRegctl(t *testing.T, s *served, from string) {
	regctl, image := tool(t, "regctl"), s.host+"/new/image"
	s.run(regctl, with(s.regctlHost(), "image", "copy", "ocidir://"+from+":x", image+":1.0.0")...)
	s.run(regctl, with(s.regctlHost(), "image", "copy", image+":1.0.0", s.host+"/mounted/image:1.0.0")...)
	s.run(regctl, with(s.regctlHost(), "image", "delete", "--force-tag-dereference", s.host+"/mounted/image:1.0.0")...)
	if _, err := s.store.Repo("mounted/image").Resolve(t.Context(), "1.0.0"); err == nil {
		t.Error("expected the copy to be deleted")
	}
}

// Helm pushes a chart that it packaged, and pulls it again.
func TestServePush_helm(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	for _, guarded := range []bool{false, true} {
		s := offer(t, filepath.Join(t.TempDir(), "archive"), true, guarded)
		s.run(helm, "create", "web")
		s.run(helm, "package", "web")
		s.run(helm, with([]string{"push", "web-0.1.0.tgz", "oci://" + s.host + "/charts"}, s.flags("--plain-http")...)...)
		if err := os.Mkdir(filepath.Join(s.dir, "pulled"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.run(helm, with([]string{"pull", "oci://" + s.host + "/charts/web", "--destination", "pulled"}, s.flags("--plain-http")...)...)
		want, _ := os.ReadFile(filepath.Join(s.dir, "web-0.1.0.tgz"))
		if got, err := os.ReadFile(filepath.Join(s.dir, "pulled", "web-0.1.0.tgz")); err != nil || len(want) == 0 || string(got) != string(want) {
			t.Errorf("expected the chart that was pushed, found %d bytes, %v", len(got), err)
		}
	}
}

// Who has no password, or a wrong one, gets and leaves nothing.
func TestServe_stranger(t *testing.T) {
	t.Parallel()
	crane := tool(t, "crane")
	path := filepath.Join(t.TempDir(), "archive")
	g := newGoods(t, path)
	s := offer(t, path, true, true)
	config := filepath.Join(s.dir, "config.json")
	wrong := base64.StdEncoding.EncodeToString([]byte(guest + ":wrong"))
	for _, auths := range []string{`{}`, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.host, wrong)} {
		if err := os.WriteFile(config, []byte(auths), 0o600); err != nil {
			t.Fatal(err)
		}
		image := s.host + "/" + servedImage
		for _, args := range [][]string{{"manifest", image + ":" + servedTag}, {"delete", image + "@" + g.sbom.Digest.String()}} {
			cmd := exec.CommandContext(t.Context(), crane, args...)
			cmd.Env = s.env
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "UNAUTHORIZED") {
				t.Errorf("crane %s: expected to be refused, found %v, %s", args[0], err, out)
			}
		}
	}
	if _, err := s.store.Repo(servedImage).Resolve(t.Context(), g.sbom.Digest.String()); err != nil {
		t.Errorf("a stranger deleted: %v", err)
	}
}
