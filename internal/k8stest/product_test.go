// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// product is a product of several components, of which the last is signed, in a registry of its own. It is packed, signed and carried by
// the ocm command.
type product struct {
	dir      string
	host     string // of the registry, without scheme
	versions int
}

const productName = "acme.org/sovereign/product"

var programs = struct {
	sync.Once
	dir string
	err error
}{}

// program builds a command of this project, once for all tests.
func program(t *testing.T, name string) string {
	t.Helper()
	programs.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "k8stest"); programs.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", programs.dir, "../../cmd/ocm", "../../cmd/ocm-controller").CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

func newProduct(t *testing.T) *product {
	t.Helper()
	p := &product{dir: t.TempDir(), host: strings.TrimPrefix(fixture.Registry(t), "http://")}
	if err := os.CopyFS(p.dir, os.DirFS("testdata/product")); err != nil {
		t.Fatal(err)
	}
	p.ocm(t, "create", "rsakeypair", "--bits", "2048", filepath.Join(p.dir, "acme"))
	p.push(t, "build/postgres", "18", "postgres")
	return p
}

// ocm runs the command in the folder of the product.
func (p *product) ocm(t *testing.T, args ...string) string {
	t.Helper()
	return p.run(t, ".", nil, args...)
}

// run runs the command in a folder of the product, with further variables.
func (p *product) run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "ocm"), args...)
	cmd.Dir = filepath.Join(p.dir, dir)
	cmd.Env = append(append(os.Environ(), "HOME="+p.dir, "OCM_CONFIG=", "REGISTRY="+p.host), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ocm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// publicKey is that of who signs the product.
func (p *product) publicKey(t *testing.T) string {
	return string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(p.dir, "acme.pub"))))
}

// push puts an image into the registry.
func (p *product) push(t *testing.T, repository, tag, layer string) {
	t.Helper()
	store := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, "http://"+p.host, "", remote.Options{}))
	defer store.Close()
	repo, image := store.Repo(repository), fixture.Image(layer)
	heap := image.From.(fixture.Heap)
	for d, raw := range heap {
		if d == image.Root.Digest {
			continue
		}
		if _, err := repo.Push(t.Context(), heap.Put("application/octet-stream", raw), strings.NewReader(string(raw))); err != nil {
			t.Fatal(err)
		}
	}
	if err := repo.PutManifest(t.Context(), image.Root, heap[image.Root.Digest], tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
}

// release packs and signs a version, carries it in an archive, and imports it into the registry. Files are changed before, name to text;
// works says whether pods of its chart will ever run.
func (p *product) release(t *testing.T, version string, works bool) {
	t.Helper()
	p.push(t, "build/notes", version, "notes "+version)
	text := string(fixture.Must[[]byte](t)(os.ReadFile("testdata/product/manifests.yaml")))
	node := "{}"
	if !works {
		node = "{no: node}"
	}
	text = strings.NewReplacer("${VERSION}", version).Replace(text)
	values := string(fixture.Must[[]byte](t)(os.ReadFile("testdata/product/notes/values.yaml")))
	values = strings.Replace(values, "nodeSelector: {}", "nodeSelector: "+node, 1)
	constructor := string(fixture.Must[[]byte](t)(os.ReadFile("testdata/product/component-constructor.yaml")))
	constructor = strings.NewReplacer("${VERSION}", version, "${REGISTRY}", "http://"+p.host).Replace(constructor)
	for name, text := range map[string]string{"manifests.yaml": text, "notes/values.yaml": values, "component-constructor.yaml": constructor} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.versions++
	build, carried := fmt.Sprintf("./build%d", p.versions), fmt.Sprintf("./carried%d.tgz", p.versions)
	p.ocm(t, "add", "cv", "--repository", build)
	p.ocm(t, "sign", "cv", build+"//"+productName+":"+version, "--private-key", "acme")
	p.ocm(t, "transfer", "cv", "--copy-resources", "--recursive", build+"//"+productName+":"+version, carried)
	p.ocm(t, "transfer", "cv", "--copy-resources", "--recursive", carried+"//"+productName+":"+version, "http://"+p.host)
}
