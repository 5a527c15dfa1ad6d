// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
)

// delivery is the product of the sovereign scenario, made of its own files and by its own command lines. Only images are others, because
// nothing runs them, and addresses, because nothing here has the names of the scenario. The registry is a folder that ocm serves.
type delivery struct {
	*product
	registry *cluster.Process
	serve    func() // starts the registry, at the same address each time, until the test ends
}

func newDelivery(t *testing.T, s *site) *delivery {
	t.Helper()
	d := &delivery{product: &product{dir: t.TempDir(), host: cluster.FreeAddress(t)}}
	d.serve = func() {
		d.registry = s.Program(t, program(t, "ocm"), []string{"HOME=" + d.dir}, "serve", filepath.Join(d.dir, "registry"), "--writable", "--address", d.host)
		if err := d.registry.Await(http.DefaultClient, "http://"+d.host+"/v2/"); err != nil {
			t.Fatal(err)
		}
	}
	d.serve()
	if err := os.CopyFS(d.dir, os.DirFS("../../conformance/sovereign")); err != nil {
		t.Fatal(err)
	}
	d.rewrite(t, "postgres/component-constructor.yaml", func(text string) string { return strings.ReplaceAll(text, "build.registry:5000", d.host) })
	for _, file := range []string{"tmp", "tmp/keys"} {
		if err := os.Mkdir(filepath.Join(d.dir, file), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.ocm(t, "create", "rsakeypair", "--bits", "2048", "tmp/keys/acme-private.pem", "tmp/keys/acme-public.pem")
	d.push(t, "library/postgres", "18", "postgres")
	return d
}

// manifest is one that administrators apply.
func (d *delivery) manifest(t *testing.T, name string) string {
	t.Helper()
	text := string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(d.dir, "site", name))))
	return strings.ReplaceAll(text, "registry:5000", d.host)
}

func (d *delivery) rewrite(t *testing.T, name string, change func(string) string) {
	t.Helper()
	file := filepath.Join(d.dir, name)
	text := string(fixture.Must[[]byte](t)(os.ReadFile(file)))
	changed := change(text)
	if changed == text {
		t.Fatalf("nothing is changed in %s:\n%s", name, text)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// breakNotes lets the pods of the notes service fit no node: readiness is not asked where nothing runs.
func (d *delivery) breakNotes(t *testing.T) {
	t.Helper()
	d.rewrite(t, "notes/deploy/chart/values.yaml", func(text string) string {
		text = strings.Replace(text, "nodeSelector: {}", "nodeSelector: {no: node}", 1)
		return strings.Replace(text, "progressDeadlineSeconds: 120", "progressDeadlineSeconds: 5", 1)
	})
}

// release builds, signs, verifies, carries and imports a version, as the scenario does; archives of an earlier one are deleted.
func (d *delivery) release(t *testing.T, version string) {
	t.Helper()
	for _, dir := range []string{"tmp/ctf", "tmp/airgap"} {
		if err := os.RemoveAll(filepath.Join(d.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	var layout bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &layout, fixture.Image("notes "+version), ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "notes/deploy/notes.tar.gz"), layout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"VERSION=" + version, "POSTGRES_VERSION=18"}
	for _, name := range []string{"notes", "postgres", "product"} {
		d.run(t, name, append(env, "NAME="+name), "add", "componentversion", "--repository", "../tmp/ctf", "--component-version-conflict-policy=replace", "--constructor", "component-constructor.yaml")
	}
	const built, carried = "../tmp/ctf//" + productName + ":", "../tmp/airgap//" + productName + ":"
	d.run(t, "product", []string{"OCM_CONFIG=./config/sign.yaml"}, "sign", "componentversion", built+version)
	d.run(t, "product", []string{"OCM_CONFIG=./config/verify.yaml"}, "verify", "componentversion", built+version)
	d.run(t, "product", nil, "transfer", "cv", "--copy-resources", "--recursive", built+version, "../tmp/airgap")
	d.carry(t, version)
	want := d.descriptor(t, version, "CommonTransportFormat", "filePath", filepath.Join(d.dir, "tmp/ctf"))
	for place, got := range map[string]string{
		"archive":  d.descriptor(t, version, "CommonTransportFormat", "filePath", filepath.Join(d.dir, "tmp/airgap")),
		"registry": d.descriptor(t, version, "OCIRegistry", "baseUrl", "http://"+d.host),
	} {
		if got != want {
			t.Errorf("the descriptor of %s was\n%s\nand is, in the %s,\n%s", version, want, place, got)
		}
	}
}

// carry imports what is in the archive.
func (d *delivery) carry(t *testing.T, version string) {
	t.Helper()
	d.run(t, "product", nil, "transfer", "cv", "--copy-resources", "--recursive", "../tmp/airgap//"+productName+":"+version, "http://"+d.host)
}

// descriptor are the bytes of the product's descriptor, somewhere.
func (d *delivery) descriptor(t *testing.T, version, kind, field, place string) string {
	t.Helper()
	spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]any{"type": kind, field: place}))
	repo := fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), &ocm.Env{Job: ocm.NewJob(1)}, spec))
	defer repo.Close()
	v := fixture.Must[ocm.Version](t)(repo.Open(t.Context(), productName, version))
	return string(v.Descriptor().Origin().Bytes)
}
