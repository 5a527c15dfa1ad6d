// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/sigstore"
)

func TestVersionInARegistry(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]func(t *testing.T) *bench{
		"olareg": func(t *testing.T) *bench { return newBench(t) },
		"docker": func(t *testing.T) *bench { return benchAt(t, fixture.DockerRegistry(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b(t)
			b.product("1.0.0")
			for _, demands := range [][]Demand{nil, by(rsaKey())} {
				for _, content := range []bool{false, true} {
					q := app(demands)
					q.Content = content
					a, err := b.Version(t.Context(), b.place(), q)
					if err != nil {
						t.Fatal(err)
					}
					if a.Verified != (demands != nil) || a.Verified != (len(a.Signers) == 1 && a.Signers[0].Signature == "release" && a.Signers[0].Name != "") {
						t.Errorf("verified %v by %v", a.Verified, a.Signers)
					}
					if a.Size() < 1000 || a.Digest.NormalisationAlgorithm != normalise.V4 || a.Digest.HashAlgorithm != ocm.SHA256 || a.Time.IsZero() {
						t.Errorf("%d bytes, digest %s", a.Size(), &a.Digest)
					}
					checkResources(t, a, b)
				}
			}
		})
	}
}

// checkResources finds resources of the app and of what it references.
func checkResources(t *testing.T, a *Answer, b *bench) {
	t.Helper()
	lib := []ocm.Identity{{"name": "lib"}}
	image, err := a.Resource(t.Context(), lib, ocm.Identity{"name": "image"})
	if err != nil {
		t.Fatal(err)
	}
	if image.Component != "acme.org/lib" || image.Version != "1.0.0" || string(image.Repository.Raw) != string(b.spec().Raw) || image.Digest.Value == "" || image.Digest.Value == a.Digest.Value {
		t.Errorf("%s:%s in %s, %s", image.Component, image.Version, image.Repository.Raw, &image.Digest)
	}
	if image.Artifact == nil || "sha256:"+image.Resource.Digest.Value != image.Artifact.Digest.String() {
		t.Errorf("the image is not known to be one: %v", image.Artifact)
	}
	if err := image.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := image.Open(t.Context(), 1000); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("an image is no chart: %v", err)
	}
	blob, err := a.Resource(t.Context(), lib, ocm.Identity{"name": "text", "version": "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if blob.Artifact != nil {
		t.Errorf("a text is no artifact: %v", blob.Artifact)
	}
	if got, mediaType := content(t, blob); got != "library 1.0.0" || mediaType != "text/plain" {
		t.Errorf("%q, %s", got, mediaType)
	}
	if err := blob.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := blob.Open(t.Context(), 3); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("a content that is too large: %v", err)
	}
}

func TestDemandsThatAreNotMet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	for name, c := range map[string]struct {
		demands []Demand
		kind    error
		text    string
	}{
		"somebody else's key":       {by(otherRSA()), ocm.ErrSignature, "release"},
		"a key of another kind":     {by(ecKey()), ocm.ErrSignature, "the key that is demanded is not"},
		"an OpenPGP key":            {[]Demand{{Signature: "release", Key: readFile(t, golden, "keys", "gpg.pub.asc")}}, ocm.ErrSignature, "the key that is demanded is not"},
		"a name that nobody signed": {[]Demand{{Signature: "audit", Key: rsaKey().public}}, ocm.ErrSignature, "audit"},
		"one of two":                {append(by(rsaKey()), Demand{Signature: "audit", Key: rsaKey().public}), ocm.ErrSignature, "audit"},
		"nothing":                   {[]Demand{{Signature: "release"}}, ocm.ErrInvalid, "anybody could have signed"},
		"nothing but space":         {[]Demand{{Signature: "release", Key: []byte(" \n")}}, ocm.ErrInvalid, "anybody could have signed"},
		"no key":                    {[]Demand{{Signature: "release", Key: []byte("hello")}}, ocm.ErrInvalid, "verify[0]"},
		"a private key":             {[]Demand{{Signature: "release", Key: rsaKey().private}}, ocm.ErrInvalid, "private"},
		"no name":                   {[]Demand{{Key: rsaKey().public}}, ocm.ErrInvalid, "verify[0]"},
		"twice the same":            {append(by(rsaKey()), by(otherRSA())...), ocm.ErrInvalid, "verify[1]"},
		"an authority only":         {[]Demand{{Signature: "release", CA: readFile(t, golden, "keys", "root.pem")}}, ocm.ErrSignature, ""},
		"a fingerprint with RSA":    {[]Demand{{Signature: "release", Key: rsaKey().public, Fingerprint: "AA"}}, ocm.ErrInvalid, "fingerprint"},
		"a Sigstore identity":       {[]Demand{{Signature: "release", Sigstore: &Sigstore{TrustedRoot: []byte("{}"), Identity: "a", Issuer: "b"}}}, ocm.ErrSignature, "the key that is demanded is not"},
		"Sigstore without issuer":   {[]Demand{{Signature: "release", Sigstore: &Sigstore{TrustedRoot: []byte("{}"), Identity: "a"}}}, ocm.ErrInvalid, "give both"},
		"Sigstore of anybody":       {[]Demand{{Signature: "release", Sigstore: &Sigstore{TrustedRoot: []byte("{}")}}}, ocm.ErrInvalid, "anybody could have signed"},
		"Sigstore without root":     {[]Demand{{Signature: "release", Sigstore: &Sigstore{Identity: "a", Issuer: "b"}}}, ocm.ErrInvalid, "trusted root"},
		"a key that is too large":   {[]Demand{{Signature: "release", Key: make([]byte, MaxKey+1)}}, ocm.ErrLimit, "verify[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := b.Version(t.Context(), b.place(), app(c.demands))
			if a != nil {
				t.Error("there is an answer")
			}
			fixture.WantErr(t, err, c.kind, c.text)
		})
	}
}

// TestKeysOfTheConfigurationDoNotCount: a tenant's configuration cannot say whose signature is good in place of the demand.
func TestKeysOfTheConfigurationDoNotCount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	config, err := Read([]Document{{"x", OCMConfig, []byte(`{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"RSA/v1alpha1","algorithm":"RSASSA-PSS","signature":"release"},
		"credentials":[{"type":"Credentials/v1","properties":{"publicKeyPEM":` + quoted(string(rsaKey().public)) + `}}]}]}`)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Version(t.Context(), Place{b.spec(), config}, app(by(otherRSA())))
	fixture.WantErr(t, err, ocm.ErrSignature)
}

// TestKeysOfOthers: whatever else has keys is not asked for those of signatures, and still for everything else.
func TestKeysOfOthers(t *testing.T) {
	t.Parallel()
	types := []string{rsa.IdentityType, ec.IdentityType, pgp.IdentityType, sigstore.VerifierIdentityType, "OCIRegistry"}
	var others []credentials.Entry
	for _, typ := range types {
		others = append(others, credentials.Entry{Identity: ocm.Identity{"type": typ}, Secret: ocm.Secret{"from": "others"}})
	}
	trust := fixture.Must[*trust](t)(trustOf(by(rsaKey()), credentials.Static(others...)))
	for _, typ := range types {
		secret, err := trust.Resolve(t.Context(), ocm.Identity{"type": typ, "signature": "audit"})
		if typ == "OCIRegistry" && err != nil || typ != "OCIRegistry" && !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v, %v", typ, secret, err)
		}
	}
}

func TestGoldenSignatures(t *testing.T) {
	t.Parallel()
	r := newResolver(t, Options{Archives: golden})
	key := func(name string) []byte { return readFile(t, golden, "keys", name) }
	for _, d := range []Demand{
		{Signature: "pss-plain", Key: key("plain.pub")},
		{Signature: "pss-pem", CA: key("root.pem")},
		{Signature: "gpg", Key: key("gpg.pub.asc")},
	} {
		q := Question{Component: "golden.example/app", Version: "1.0.0", Demands: []Demand{d}, Content: true}
		a, err := r.Version(t.Context(), archive(t, "v2n-copied"), q)
		if err != nil {
			t.Errorf("%s: %v", d.Signature, err)
			continue
		}
		if len(a.Signers) != 1 || a.Signers[0].Signature != d.Signature || a.Signers[0].Name == "" {
			t.Errorf("%s: %v", d.Signature, a.Signers)
		}
	}
}

// TestMissingDigestsAreAFailure is the trap: a descriptor that cannot be digested safely must not pass unverified.
func TestMissingDigestsAreAFailure(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(d *ocm.Descriptor){
		"of a reference":    func(d *ocm.Descriptor) { d.Component.References[0].Digest = nil },
		"of a resource":     func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = nil },
		"empty":             func(d *ocm.Descriptor) { d.Component.References[0].Digest = &ocm.Digest{} },
		"and the signature": func(d *ocm.Descriptor) { d.Component.References[0].Digest, d.Signatures = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.product("1.0.0")
			b.amend("acme.org/app", "1.0.0", edit)
			_, err := b.Version(t.Context(), b.place(), app(by(rsaKey())))
			fixture.WantErr(t, err, ocm.ErrSignature)
			if _, err := b.Version(t.Context(), b.place(), app(nil)); err != nil {
				t.Errorf("nothing was demanded: %v", err)
			}
		})
	}
}

func TestVersionThatIsNotWhatWasSigned(t *testing.T) {
	t.Parallel()
	change := func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.Value = strings.Repeat("0", 64) }
	for name, c := range map[string]struct {
		component string
		demands   []Demand
		kind      error
	}{
		"the version":            {"acme.org/app", by(rsaKey()), ocm.ErrSignature},
		"below it":               {"acme.org/lib", by(rsaKey()), ocm.ErrSignature},
		"below it, not verified": {"acme.org/lib", nil, ocm.ErrDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.product("1.0.0")
			b.amend(c.component, "1.0.0", change)
			_, err := b.Version(t.Context(), b.place(), app(c.demands))
			fixture.WantErr(t, err, c.kind, c.component)
		})
	}
}

func TestQuestionWithDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	a, err := b.Version(t.Context(), b.place(), app(nil))
	if err != nil {
		t.Fatal(err)
	}
	q := app(nil)
	q.Digest = &a.Digest
	if _, err := b.Version(t.Context(), b.place(), q); err != nil {
		t.Error(err)
	}
	b.amend("acme.org/app", "1.0.0", func(d *ocm.Descriptor) { d.Component.Resources = d.Component.Resources[:1] })
	_, err = b.Version(t.Context(), b.place(), q)
	fixture.WantErr(t, err, ocm.ErrDigest, "acme.org/app:1.0.0")
}

// TestAnswerStaysWhatItIs: what is replaced in the registry later is not what an answer delivers.
func TestAnswerStaysWhatItIs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	a, err := b.Version(t.Context(), b.place(), app(by(rsaKey())))
	if err != nil {
		t.Fatal(err)
	}
	b.amend("acme.org/lib", "1.0.0", func(d *ocm.Descriptor) { d.Component.Resources[0].Name = "evil" })
	if err := b.Close(); err != nil { // connections are made again
		t.Fatal(err)
	}
	res, err := a.Resource(t.Context(), []ocm.Identity{{"name": "lib"}}, ocm.Identity{"name": "text"})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := content(t, res); got != "library 1.0.0" || res.Repository.Type != "OCIRegistry" {
		t.Error(got, res.Repository.Type)
	}
}

func TestVersionThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	q := app(nil)
	q.Version = "2.0.0"
	_, err := b.Version(t.Context(), b.place(), q)
	fixture.WantErr(t, err, ocm.ErrNotFound, "acme.org/app")
	v := fixture.Must[ocm.Version](t)(b.repo.Open(t.Context(), "acme.org/app", "1.0.0"))
	q.Version = v.Manifest().Digest.String() // finds something, which has another version
	_, err = b.Version(t.Context(), b.place(), q)
	fixture.WantErr(t, err, ocm.ErrDigest, "found acme.org/app:1.0.0")
	lone := b.version("acme.org/lone", "1.0.0")
	lone.Component.References = []ocm.Reference{{Element: ocm.Element{Name: "x", Version: "1.0.0"}, ComponentName: "acme.org/gone",
		Digest: &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: normalise.V3, Value: strings.Repeat("1", 64)}}}
	lone.commit()
	_, err = b.Version(t.Context(), b.place(), Question{Component: "acme.org/lone", Version: "1.0.0"})
	fixture.WantErr(t, err, ocm.ErrNotFound, "acme.org/gone")
}

// TestRegistryThatDoesNotAnswer: the context ends every call, and nothing is said about signatures.
func TestRegistryThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	var end atomic.Pointer[context.CancelFunc]
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		(*end.Load())() // now that it is asked
		<-r.Context().Done()
	}))
	defer server.Close()
	r := newResolver(t, Options{})
	p := Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, server.URL), nil}
	for name, call := range map[string]func(ctx context.Context) error{
		"ping": func(ctx context.Context) error { return r.Ping(ctx, p) },
		"select": func(ctx context.Context) error {
			_, err := r.Select(ctx, p, Wish{Component: "acme.org/app", Semver: "*"})
			return err
		},
		"version": func(ctx context.Context) error { _, err := r.Version(ctx, p, app(by(rsaKey()))); return err },
		"copy": func(ctx context.Context) error {
			_, err := r.Copy(ctx, Copy{Source: p, Question: app(nil), Target: p})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		end.Store(&cancel)
		if err := call(ctx); err == nil || ctx.Err() == nil || errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// TestUnreachableReferenceSaysNothingAboutSignatures: a registry that is away is not a signature that is bad.
func TestUnreachableReferenceSaysNothingAboutSignatures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	config, err := Read([]Document{{"x", OCMConfig, []byte(`{"type":"resolvers.config.ocm.software/v1alpha1","resolvers":[
		{"repository":{"type":"OCIRegistry","baseUrl":"http://127.0.0.1:1"},"componentNamePattern":"acme.org/lib"}]}`)},
		{"y", OCMConfig, []byte(`{"type":"http.config.ocm.software/v1alpha1","retry":{"maxRetries":-1}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.Version(t.Context(), Place{b.spec(), config}, app(by(rsaKey())))
	if a != nil || err == nil || errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "acme.org/lib") {
		t.Errorf("%v", err)
	}
}

// TestSigstoreKey: a Sigstore signature with a key is judged by that key, within the trusted root that is demanded.
func TestSigstoreKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.version("acme.org/app", "1.0.0").add("text", text("x")).commit()
	env := *b.env
	env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": sigstore.SignerIdentityType}, Secret: ocm.Secret{"privateKeyPEM": string(ecKey().private)}})
	if _, err := graph.Sign(t.Context(), builtin.Kit(), &env, b.repo.Open, b.repo, "acme.org/app", "1.0.0", graph.SignOptions{Name: "release", Algorithm: sigstore.Algorithm,
		Spec: specOf(t, `{"type":"SigstoreSigningConfiguration/v1alpha1"}`), Settle: 1}); err != nil {
		t.Fatal(err)
	}
	root := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	demand := func(key pair, private bool) []Demand {
		return []Demand{{Signature: "release", Key: key.public, Sigstore: &Sigstore{TrustedRoot: root, PrivateInfrastructure: private}}}
	}
	a, err := b.Version(t.Context(), b.place(), app(demand(ecKey(), true)))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Signers) != 1 || a.Signers[0].Algorithm != sigstore.Algorithm || a.Signers[0].Name == "" {
		t.Errorf("%v", a.Signers)
	}
	for name, demands := range map[string][]Demand{"no log": demand(ecKey(), false), "another key": demand(otherRSA(), true), "not Sigstore": by(ecKey())} {
		_, err := b.Version(t.Context(), b.place(), app(demands))
		if !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
