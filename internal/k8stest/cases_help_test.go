// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/deploy/v1alpha1"
	"ocm/graph"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
	"ocm/sign/rsa"
)

// warehouse is a registry that can be closed and opened again, at the same address, and may ask for a password.
type warehouse struct {
	address, password string

	mu       sync.Mutex
	registry http.Handler
	server   *http.Server
}

func newWarehouse(t *testing.T, password string) *warehouse {
	t.Helper()
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	w := &warehouse{address: cluster.FreeAddress(t), password: password, registry: h}
	w.open(t)
	t.Cleanup(func() { w.close(); h.Close() })
	return w
}

func (w *warehouse) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	if _, password, _ := r.BasicAuth(); w.password != "" && password != w.password {
		to.Header().Set("WWW-Authenticate", `Basic realm="warehouse"`)
		to.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.mu.Lock()
	h := w.registry
	w.mu.Unlock()
	h.ServeHTTP(to, r)
}

// become exchanges what the registry has.
func (w *warehouse) become(t *testing.T, h http.Handler) {
	t.Helper()
	w.close()
	w.mu.Lock()
	w.registry = h
	w.mu.Unlock()
	w.open(t)
}

func (w *warehouse) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = s
	go func() { _ = s.Serve(l) }() // until it is closed
}

func (w *warehouse) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.server.Close()
}

// team is a tenant: it has a namespace of its own, with a registry, a key, and an account that may do in the namespace what an administrator of it
// may.
type team struct {
	*site
	*warehouse
	ns   string
	repo ocm.Repository
	env  *ocm.Env
	keys [2][]byte // private, public
	made map[string]ocm.Version
}

func (s *site) team(t *testing.T, ns, password string) *team {
	t.Helper()
	x := &team{site: s, warehouse: newWarehouse(t, password), ns: ns, env: &ocm.Env{Job: ocm.NewJob(4)}, made: map[string]ocm.Version{}}
	x.newKeys(t)
	t.Cleanup(func() { x.tell(t) })
	if password != "" {
		host, port, _ := net.SplitHostPort(x.address)
		x.env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": "OCIRegistry", "hostname": host, "port": port},
			Secret: ocm.Secret{"username": ns, "password": password}})
	}
	spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]any{"type": "OCIRegistry", "baseUrl": "http://" + x.address}))
	x.repo = fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), x.env, spec))
	s.Apply(t, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: deployer, namespace: %[1]s}]
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: %[1]s}
stringData: {default: %[2]q}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: %[1]s}
type: kubernetes.io/dockerconfigjson
data: {.dockerconfigjson: %[3]s}
`, ns, x.keys[1], base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"auths":{%q:{"username":"x","password":%q}}}`, x.address, password))))
	return x
}

// tell logs what the objects of a team say of themselves, if the test has failed.
func (x *team) tell(t *testing.T) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // that of the test is over
	defer cancel()
	out, err := x.Run(ctx, "", "get", "repositories,components,resources.delivery.ocm.software,replications", "-n", x.ns, "-o",
		"jsonpath={range .items[*]}{.kind} {.metadata.name}, generation {.metadata.generation}: {.status}{'\\n'}{end}")
	t.Logf("what is in %s says (%v):\n%s", x.ns, err, out)
	out, err = x.Run(ctx, "", "get", "deployers", "-o",
		"jsonpath={range .items[?(@.spec.resourceRef.namespace=='"+x.ns+"')]}{.kind} {.metadata.name}, generation {.metadata.generation}: {.spec} {.status}{'\\n'}{end}")
	t.Logf("Deployers of %s say (%v):\n%s", x.ns, err, out)
}

func (x *team) newKeys(t *testing.T) {
	t.Helper()
	var err error
	if x.keys[0], x.keys[1], err = rsa.GenerateKeyPair(rsa.MinKeyBits); err != nil {
		t.Fatal(err)
	}
}

// part is a resource of a component version.
type part struct{ name, typ, mediaType, text string }

func yamls(name, text string) part { return part{name, "blob", "application/yaml", text} }

// chart is a Helm chart of one template.
func chart(t *testing.T, template, values string) part {
	t.Helper()
	return part{"chart", "helmChart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive(t, map[string]io.Reader{
		"web/Chart.yaml":         strings.NewReader("{apiVersion: v2, name: web, version: 1.0.0}"),
		"web/values.yaml":        strings.NewReader(values),
		"web/templates/all.yaml": strings.NewReader(template),
	})}
}

func archive(t *testing.T, files map[string]io.Reader) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, name := range []string{"web/Chart.yaml", "web/values.yaml", "web/templates/all.yaml", "web/files/large"} {
		if files[name] == nil {
			continue
		}
		text := fixture.Must[[]byte](t)(io.ReadAll(files[name]))
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// deliver packs and signs a version of acme.org/app. One that is there is replaced.
func (x *team) deliver(t *testing.T, version string, parts ...part) {
	t.Helper()
	ctx := t.Context()
	draft := fixture.Must[ocm.Draft](t)(x.repo.Draft(ctx, "acme.org/app", version, x.made[version]))
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: "acme.org/app", Version: version, Provider: "acme.org"}}
	for _, p := range parts {
		content := blob.Bytes(p.mediaType, []byte(p.text))
		s := fixture.Must[ocm.Stored](t)(draft.Add(ctx, content, ""))
		digest := fixture.Must[ocm.Digest](t)(graph.NewDigest(ctx, ocm.Content{Root: s.Root, From: content.From}, ocm.SHA256))
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{Element: ocm.Element{Name: p.name, Version: version}, Type: p.typ,
			Relation: ocm.RelationLocal, Access: s.Access, Digest: &digest})
	}
	fixture.Must[ocm.Version](t)(draft.Commit(ctx, d))
	env := *x.env
	env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType},
		Secret: ocm.Secret{"privateKeyPEM": string(x.keys[0]), "publicKeyPEM": string(x.keys[1])}})
	if _, err := graph.Sign(ctx, builtin.Kit(), &env, x.repo.Open, x.repo, "acme.org/app", version, graph.SignOptions{Name: "default", Algorithm: rsa.PSS, Settle: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	x.made[version] = fixture.Must[ocm.Version](t)(x.repo.Open(ctx, "acme.org/app", version))
}

// follow makes Repository and Component, and a Resource for each name. suffix is part of all names.
func (x *team) follow(t *testing.T, suffix, semver string, resources ...string) {
	t.Helper()
	x.Apply(t, x.following(suffix, semver, resources...), "--namespace="+x.ns)
}

func (x *team) following(suffix, semver string, resources ...string) string {
	text := fmt.Sprintf(`apiVersion: delivery.ocm.software/v1alpha1
kind: Repository
metadata: {name: repo%[1]s}
spec: {repositorySpec: {type: OCIRegistry, baseUrl: "http://%[2]s"}, interval: 10m, ocmConfig: [{kind: Secret, name: login}]}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Component
metadata: {name: app%[1]s}
spec:
  repositoryRef: {name: repo%[1]s}
  component: acme.org/app
  semver: %[3]q
  interval: 10m
  ocmConfig: [{apiVersion: delivery.ocm.software/v1alpha1, kind: Repository, name: repo%[1]s}]
  verify: [{signature: default, secretRef: {name: keys}}]
`, suffix, x.address, semver)
	for _, name := range resources {
		text += fmt.Sprintf(`---
apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: %[2]s%[1]s}
spec:
  componentRef: {name: app%[1]s}
  resource: {byReference: {resource: {name: %[2]s}}}
  ocmConfig: [{apiVersion: delivery.ocm.software/v1alpha1, kind: Component, name: app%[1]s}]
`, suffix, name)
	}
	return text
}

// deploying is a Deployer of a Resource, with more of a spec: YAML in one line.
func (x *team) deploying(name, resource, more string) string {
	return fmt.Sprintf("{apiVersion: delivery.ocm.software/v1alpha1, kind: Deployer, metadata: {name: %s}, spec: {resourceRef: {name: %s, namespace: %s}, ocmConfig: [{apiVersion: delivery.ocm.software/v1alpha1, kind: Resource, name: %[2]s, namespace: %[3]s}], serviceAccountName: deployer%s}}\n---\n",
		name, resource, x.ns, strings.TrimRight(", "+more, ", "))
}

func (x *team) want(t *testing.T, semver string) {
	t.Helper()
	x.Kubectl(t, "patch", "component", "app", "-n", x.ns, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"semver":%q}}`, semver))
}

func (x *team) change(t *testing.T, deployer, spec string) {
	t.Helper()
	x.Kubectl(t, "patch", "deployer", deployer, "--type=merge", "-p", `{"spec":`+spec+`}`)
}

// look asks for a look now.
func (s *site) look(t *testing.T, args ...string) {
	t.Helper()
	s.Kubectl(t, append(append([]string{"annotate", "--overwrite"}, args...), v1alpha1.AnnotationReconcile+"="+time.Now().Format(time.RFC3339Nano))...)
}

// is waits until a part of an object in the namespace is as expected.
func (x *team) is(t *testing.T, want, object, path string) {
	t.Helper()
	x.becomes(t, want, object, "jsonpath={"+path+"}", "-n", x.ns)
}

// get is a part of an object in the namespace, empty if there is no such object.
func (x *team) get(t *testing.T, object, path string) string {
	t.Helper()
	return x.Kubectl(t, "get", object, "-n", x.ns, "--ignore-not-found", "-o", "jsonpath={"+path+"}")
}

// not tells a test that something is there that must not be.
func (x *team) not(t *testing.T, object string) {
	t.Helper()
	if got := x.get(t, object, ".metadata.name"); got != "" {
		t.Errorf("%s is in %s", object, x.ns)
	}
}

const (
	reasonOf  = `.status.conditions[?(@.type=="Ready")].reason`
	messageOf = `.status.conditions[?(@.type=="Ready")].message`
	versionOf = ".status.history[0].version"
)

// settings is a ConfigMap, web a Deployment.
func settings(name, value string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {value: %q}}\n---\n", name, value)
}

func web(name string) string {
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {replicas: 1, selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: web, image: \"registry.example.org/web:1\"}]}}}}\n---\n", name)
}
