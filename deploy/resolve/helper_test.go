// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/sign/ec"
	"ocm/sign/rsa"
)

// golden is what other implementations wrote and signed.
const golden = "../../ctf/testdata/golden"

// pair is a key and its public part, in PEM.
type pair struct{ private, public []byte }

func newPair(private, public []byte, err error) pair {
	if err != nil {
		panic(err)
	}
	return pair{private, public}
}

var (
	rsaKey   = sync.OnceValue(func() pair { return newPair(rsa.GenerateKeyPair(rsa.MinKeyBits)) })
	otherRSA = sync.OnceValue(func() pair { return newPair(rsa.GenerateKeyPair(rsa.MinKeyBits)) })
	ecKey    = sync.OnceValue(func() pair { return newPair(ec.GenerateKeyPair(ec.P256)) })
)

// bench is a registry in this process with an author, and a resolver.
type bench struct {
	t    testing.TB
	url  string
	repo ocm.Repository // of the author
	env  *ocm.Env
	*Resolver
}

func newBench(t testing.TB) *bench { return benchAt(t, fixture.Registry(t)) }

func benchAt(t testing.TB, url string) *bench {
	t.Helper()
	b := &bench{t: t, url: url, env: &ocm.Env{Job: ocm.NewJob(4)}, Resolver: newResolver(t, Options{})}
	b.repo = fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), b.env, b.spec()))
	return b
}

func newResolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	if o.Env == nil {
		o.Env = &ocm.Env{}
	}
	o.Env.Temp = t.TempDir()
	if o.Env.Now == nil {
		o.Env.Now = func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) } // when the golden certificates are valid
	}
	r := New(o)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// spec is the registry, in the spelling of older manifests.
func (b *bench) spec() ocm.Spec { return specOf(b.t, `{"type":"OCIRegistry","baseUrl":%q}`, b.url) }

func (b *bench) place() Place { return Place{b.spec(), &Config{}} }

func specOf(t testing.TB, format string, args ...any) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON(fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
	return s
}

func archive(t testing.TB, path string) Place {
	return Place{specOf(t, `{"type":"CommonTransportFormat/v1","filePath":%q}`, path), nil}
}

func readFile(t testing.TB, elem ...string) []byte {
	t.Helper()
	return fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(elem...)))
}

// version is a component version before it is written.
type version struct {
	b     *bench
	draft ocm.Draft
	*ocm.Descriptor
}

func (b *bench) version(name, at string) *version {
	b.t.Helper()
	return &version{b, fixture.Must[ocm.Draft](b.t)(b.repo.Draft(b.t.Context(), name, at, nil)),
		&ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: at, Provider: "acme.org"}}}
}

// add adds a resource with its digest.
func (v *version) add(name string, c ocm.Content) *version {
	v.b.t.Helper()
	ctx := v.b.t.Context()
	s := fixture.Must[ocm.Stored](v.b.t)(v.draft.Add(ctx, c, ""))
	d := fixture.Must[ocm.Digest](v.b.t)(graph.NewDigest(ctx, ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
	v.Component.Resources = append(v.Component.Resources, ocm.Resource{Element: ocm.Element{Name: name, Version: "1.0.0"}, Type: "blob",
		Relation: ocm.RelationLocal, Access: s.Access, Digest: &d})
	return v
}

func (v *version) refer(name string, to ocm.Version) *version {
	v.b.t.Helper()
	c := &to.Descriptor().Component
	d := fixture.Must[ocm.Digest](v.b.t)(normalise.Digest(to.Descriptor(), ocm.SHA256, normalise.V3))
	v.Component.References = append(v.Component.References, ocm.Reference{Element: ocm.Element{Name: name, Version: c.Version}, ComponentName: c.Name, Digest: &d})
	return v
}

func (v *version) commit() ocm.Version {
	v.b.t.Helper()
	return fixture.Must[ocm.Version](v.b.t)(v.draft.Commit(v.b.t.Context(), v.Descriptor))
}

// sign signs a version with a key.
func (b *bench) sign(v ocm.Version, name string, key pair) {
	b.t.Helper()
	env := *b.env
	secret := ocm.Secret{"privateKeyPEM": string(key.private), "publicKeyPEM": string(key.public)}
	env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType}, Secret: secret},
		credentials.Entry{Identity: ocm.Identity{"type": ec.IdentityType}, Secret: secret})
	algorithm := rsa.PSS
	if string(key.public) == string(ecKey().public) {
		algorithm = ec.P256
	}
	c := &v.Descriptor().Component
	if _, err := graph.Sign(b.t.Context(), builtin.Kit(), &env, b.repo.Open, b.repo, c.Name, c.Version, graph.SignOptions{Name: name, Algorithm: algorithm, Settle: time.Nanosecond}); err != nil {
		b.t.Fatal(err)
	}
}

// amend changes a version where it is.
func (b *bench) amend(name, at string, edit func(d *ocm.Descriptor)) {
	b.t.Helper()
	v := fixture.Must[ocm.Version](b.t)(b.repo.Open(b.t.Context(), name, at))
	d := v.Descriptor().Clone()
	edit(d)
	draft := fixture.Must[ocm.Draft](b.t)(b.repo.Draft(b.t.Context(), name, at, v))
	fixture.Must[ocm.Version](b.t)(draft.Commit(b.t.Context(), d))
}

func text(s string) ocm.Content { return blob.Bytes("text/plain", []byte(s)) }

// product makes an app with an image, which references a library with a text, and signs the app.
func (b *bench) product(at string) {
	b.t.Helper()
	lib := b.version("acme.org/lib", at).add("text", text("library "+at)).add("image", fixture.Image("lib "+at)).commit()
	app := b.version("acme.org/app", at).add("image", fixture.Image("app "+at)).add("manifest", text("kind: ConfigMap")).refer("lib", lib).commit()
	b.sign(app, "release", rsaKey())
}

func by(key pair) []Demand { return []Demand{{Signature: "release", Key: key.public}} }

func app(demands []Demand) Question {
	return Question{Component: "acme.org/app", Version: "1.0.0", Demands: demands}
}

// chartArtifact is a chart as an OCI artifact.
func chartArtifact(t testing.TB, packed []byte) ocm.Content {
	t.Helper()
	heap := fixture.Heap{}
	config := heap.Put("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"web","version":"1.2.3","apiVersion":"v2"}`))
	layer := heap.Put("application/vnd.cncf.helm.chart.content.v1.tar+gzip", packed)
	manifest := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: config, Layers: []ociv1.Descriptor{layer}}
	raw := fixture.Must[[]byte](t)(json.Marshal(manifest))
	return ocm.Content{Root: heap.Put(ociv1.MediaTypeImageManifest, raw), From: heap}
}
