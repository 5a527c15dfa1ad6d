// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/deploy"
	"ocm/deploy/v1alpha1"
	"ocm/graph"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
	"ocm/sign/rsa"
)

// author packs and signs component versions in a registry.
type author struct {
	url             string
	repo            ocm.Repository
	env             *ocm.Env
	private, public []byte
}

func newAuthor(t *testing.T) *author {
	t.Helper()
	a := &author{url: fixture.Registry(t), env: &ocm.Env{Job: ocm.NewJob(4)}}
	var err error
	if a.private, a.public, err = rsa.GenerateKeyPair(rsa.MinKeyBits); err != nil {
		t.Fatal(err)
	}
	a.repo = a.open(t, a.url)
	return a
}

func (a *author) open(t *testing.T, url string) ocm.Repository {
	t.Helper()
	spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]any{"type": "OCIRegistry", "baseUrl": url}))
	return fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), a.env, spec))
}

// pack makes acme.org/app in a version, with a text, and signs it.
func (a *author) pack(t *testing.T, version string) {
	t.Helper()
	ctx := t.Context()
	draft := fixture.Must[ocm.Draft](t)(a.repo.Draft(ctx, "acme.org/app", version, nil))
	content := blob.Bytes("text/plain", []byte("content of "+version))
	s := fixture.Must[ocm.Stored](t)(draft.Add(ctx, content, ""))
	digest := fixture.Must[ocm.Digest](t)(graph.NewDigest(ctx, ocm.Content{Root: s.Root, From: content.From}, ocm.SHA256))
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: "acme.org/app", Version: version, Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "text", Version: version}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access, Digest: &digest}}}}
	fixture.Must[ocm.Version](t)(draft.Commit(ctx, d))
	env := *a.env
	env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType},
		Secret: ocm.Secret{"privateKeyPEM": string(a.private), "publicKeyPEM": string(a.public)}})
	_, err := graph.Sign(ctx, builtin.Kit(), &env, a.repo.Open, a.repo, "acme.org/app", version,
		graph.SignOptions{Name: "default", Algorithm: rsa.PSS, Settle: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
}

// exchange changes what is in a version that was signed.
func (a *author) exchange(t *testing.T, version string) {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(a.repo.Open(t.Context(), "acme.org/app", version))
	d := v.Descriptor().Clone()
	d.Component.Provider = "evil.org"
	draft := fixture.Must[ocm.Draft](t)(a.repo.Draft(t.Context(), "acme.org/app", version, v))
	fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), d))
}

// controllers runs all controllers in this process, with the rights of an installation, until stop is called.
func controllers(t *testing.T, c *cluster.Cluster) (stop func()) {
	t.Helper()
	ctrllog.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(c.ServiceAccountConfig(t, system, reconciler), ctrl.Options{Scheme: scheme, Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := deploy.Setup(mgr, deploy.Options{Env: &ocm.Env{Temp: t.TempDir(), Cache: t.TempDir()}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the controllers end with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// chain is a Repository, a Component that demands a signature, and a Replication to another registry.
func chain(a *author, target string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData:
  default: %q
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Repository
metadata: {name: repo}
spec: {repositorySpec: {type: OCIRegistry, baseUrl: %q}, interval: 10m}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Repository
metadata: {name: target}
spec: {repositorySpec: {type: OCIRegistry, baseUrl: %q}, interval: 10m}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Component
metadata: {name: app}
spec: {repositoryRef: {name: repo}, component: acme.org/app, semver: ">=1.0.0", interval: 10m, verify: [{signature: default, secretRef: {name: keys}}]}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Replication
metadata: {name: copy}
spec: {componentRef: {name: app}, targetRepositoryRef: {name: target}}
`, a.public, a.url, target)
}

func TestComponents(t *testing.T) {
	t.Parallel()
	c := installed(t)
	a := newAuthor(t)
	a.pack(t, "1.0.0")
	target := fixture.Registry(t)
	namespace := c.Namespace(t)
	ns := "--namespace=" + namespace
	get := func(what, path string) string {
		t.Helper()
		return c.Kubectl(t, "get", what, ns, "-o", "jsonpath={"+path+"}")
	}
	eventually := func(what, path, want string) {
		t.Helper()
		cluster.Eventually(t, time.Minute, func() error {
			if got := get(what, path); !strings.HasPrefix(got, want) {
				return fmt.Errorf("%s of %s: %q, expected %q", path, what, got, want)
			}
			return nil
		})
	}
	const reason = `.status.conditions[?(@.type=="Ready")].reason`
	wait := func() {
		t.Helper()
		c.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", ns, "repository/repo", "repository/target", "component/app", "replication/copy")
	}
	look := func(what, when string) {
		t.Helper()
		c.Kubectl(t, "annotate", "--overwrite", what, ns, v1alpha1.AnnotationReconcile+"="+when)
	}

	// Children come before their parents, and nobody is there yet who looks at them: kstatus must not take them for settled.
	c.Apply(t, chain(a, target), ns)
	if got := get("component/app", ".status.observedGeneration"); got != "-1" {
		t.Errorf("an object that nobody has seen has observedGeneration %q", got)
	}
	stop := controllers(t, c)
	wait()
	if out := c.Kubectl(t, "get", "component", "app", ns); !strings.Contains(out, "1.0.0") || !strings.Contains(out, "Verified") || !strings.Contains(out, "verified by signature default") {
		t.Errorf("people see %s", out)
	}
	if events := c.Kubectl(t, "get", "events", ns); !strings.Contains(events, "Succeeded") {
		t.Errorf("events: %s", events)
	}
	if _, err := a.open(t, target).Open(t.Context(), "acme.org/app", "1.0.0"); err != nil {
		t.Errorf("the copy: %v", err)
	}

	// A newer version is found and copied, by controllers that began anew; nothing else is written.
	stop()
	before := get("repository/repo", ".metadata.resourceVersion")
	a.pack(t, "1.1.0")
	controllers(t, c)
	look("component/app", "1")
	eventually("component/app", ".status.component.version", "1.1.0")
	eventually("replication/copy", ".status.lastTransferredVersion", "1.1.0")
	wait()
	if after := get("repository/repo", ".metadata.resourceVersion"); after != before {
		t.Errorf("the Repository was written from %s to %s", before, after)
	}

	// What was exchanged after it was deployed is refused.
	a.exchange(t, "1.1.0")
	look("component/app", "2")
	eventually("component/app", ".status.verification.verdict", "Refused")
	eventually("component/app", reason, v1alpha1.ReasonVerificationFailed)
	eventually("replication/copy", reason, v1alpha1.ReasonResourceIsNotAvailable)
	if v := get("component/app", ".status.component.version"); v != "1.1.0" {
		t.Errorf("what counts is %s", v)
	}

	// One tenant does not reach the Secrets of another one.
	other := c.Namespace(t)
	c.Apply(t, fmt.Sprintf(`{apiVersion: delivery.ocm.software/v1alpha1, kind: Repository, metadata: {name: thief}, spec: {interval: 10m,
  repositorySpec: {type: OCIRegistry, baseUrl: %q}, ocmConfig: [{kind: Secret, name: keys, namespace: %s}]}}`, a.url, namespace), "--namespace="+other)
	c.Kubectl(t, "wait", "--for=condition=Stalled", "--timeout=60s", "repository/thief", "--namespace="+other)

	// Parents go when nobody needs them any more, in whatever order they are deleted.
	c.Kubectl(t, "delete", "repository/repo", "component/app", "--wait=false", ns)
	eventually("repository/repo", reason, v1alpha1.ReasonDeletionFailed)
	eventually("component/app", reason, v1alpha1.ReasonDeletionFailed)
	c.Kubectl(t, "delete", "replication/copy", "repository/target", "--timeout=60s", ns)
	c.Kubectl(t, "wait", "--for=delete", "--timeout=60s", "repository/repo", "component/app", ns)
}
