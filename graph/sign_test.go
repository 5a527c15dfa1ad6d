// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/sign/rsa"
)

func (l *lab) locate(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
	v, err := l.repo.Open(ctx, name, version)
	return l.repo, v, err
}

func (l *lab) signAll(short string, o graph.SignOptions) ([]graph.Signed, error) {
	l.t.Helper()
	o.Recursive = true
	return graph.SignVersion(l.t.Context(), l.kit, l.env, l.locate, l.repo, l.open(short), o)
}

// bare makes a chain of versions in which nothing has a digest: top, mid, low.
func (l *lab) bare() {
	l.t.Helper()
	without := func(refs ...string) func(d *ocm.Descriptor) {
		return func(d *ocm.Descriptor) {
			for i := range d.Component.Resources {
				d.Component.Resources[i].Digest = nil
			}
			for _, r := range refs {
				d.Component.References = append(d.Component.References, ocm.Reference{
					Element: ocm.Element{Name: r, Version: "1.0.0"}, ComponentName: l.name(r)})
			}
		}
	}
	l.put("low", without())
	l.put("mid", without("low"))
	l.put("top", without("mid", "low"))
}

func (l *lab) good(short string, signatures ...string) {
	l.t.Helper()
	rep, err := graph.Verify(l.t.Context(), l.kit, l.env, l.repo.Open, l.open(short), graph.VerifyOptions{Signatures: signatures})
	if err != nil || rep.Err() != nil {
		l.t.Errorf("%s: %v %v", short, err, rep.Err())
	}
}

func states(list []graph.Signed) string {
	var out []string
	for _, s := range list {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(s.Component, "acme.org/"), ":1.0.0")+" "+s.State)
	}
	return strings.Join(out, ", ")
}

// Everything below is completed and signed first, whatever was missing.
func TestSignRecursively(t *testing.T) {
	l := newLab(t)
	l.bare()
	if _, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("top"), "1.0.0", graph.SignOptions{}); !errors.Is(err, ocm.ErrDigest) {
		t.Fatalf("not recursive: got %v", err)
	}
	before := l.open("low").Manifest().Digest
	list, err := l.signAll("top", graph.SignOptions{DryRun: true})
	if want := "low not stored, mid not stored, top not stored"; err != nil || states(list) != want || l.open("low").Manifest().Digest != before {
		t.Fatalf("dry run: %s, %v", states(list), err)
	}
	digest := list[2].Signature.Digest
	if list, err = l.signAll("top", graph.SignOptions{}); err != nil || states(list) != "low signed, mid signed, top signed" {
		t.Fatalf("%s, %v", states(list), err)
	}
	if list[2].Signature.Digest.String() != digest.String() {
		t.Errorf("the dry run told %s, what was signed is %s", &digest, &list[2].Signature.Digest)
	}
	for _, short := range []string{"low", "mid", "top"} {
		l.good(short)
	}
	// What is good stays as it is; the name of the root is taken.
	before = l.open("mid").Manifest().Digest
	if _, err := l.signAll("top", graph.SignOptions{}); !errors.Is(err, ocm.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	l.put("over", func(d *ocm.Descriptor) { d.Component.References = []ocm.Reference{l.reference("top")} })
	list, err = l.signAll("over", graph.SignOptions{})
	if want := "low kept, mid kept, top kept, over signed"; err != nil || states(list) != want || l.open("mid").Manifest().Digest != before {
		t.Errorf("%s, %v", states(list), err)
	}
	if list, err = l.signAll("over", graph.SignOptions{Force: true}); err != nil || states(list) != "low replaced, mid replaced, top replaced, over replaced" {
		t.Errorf("forced: %s, %v", states(list), err)
	}
	l.good("over")
}

// A signature of the name that is there already must be good, as far as keys are known.
func TestSignRecursivelyJudgesWhatIsThere(t *testing.T) {
	private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(l *lab)
		err    error
		state  string
	}{
		"of another key": {func(l *lab) {
			l.env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1"},
				Secret: ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)}})
		}, ocm.ErrSignature, ""},
		"of another version": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Provider = "evil.org" })
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Component.References = []ocm.Reference{l.reference("leaf")}
				d.Signatures = nil
			})
		}, ocm.ErrDigest, ""},
		"of an algorithm nobody knows": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Signatures[0].Signature.Algorithm = "ROT13" })
		}, ocm.ErrUnknownType, ""},
		"of a key that is not here": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) {
				d.Signatures[0].Signature.Algorithm, d.Signatures[0].Signature.MediaType = "RSASSA-PKCS1-V1_5", "application/vnd.ocm.signature.rsa"
			})
			l.env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1", "algorithm": "RSASSA-PSS"},
				Secret: ocm.Secret{"privateKeyPEM": string(private)}})
		}, nil, "leaf " + graph.StateUnjudged + ", root signed"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures = nil })
			l.sign("leaf", graph.SignOptions{})
			tt.change(l)
			list, err := l.signAll("root", graph.SignOptions{})
			if !errors.Is(err, tt.err) || states(list) != tt.state {
				t.Errorf("%s, %v", states(list), err)
			}
			if n := len(l.open("root").Descriptor().Signatures); tt.err != nil && n != 0 {
				t.Errorf("the root has %d signatures", n)
			}
		})
	}
}

// Digests are added, but never so that they break what somebody has signed.
func TestSignRecursivelyBreaksNothing(t *testing.T) {
	early := func(l *lab, short string) {
		l.t.Helper()
		d, err := normalise.Digest(l.open(short).Descriptor(), ocm.SHA256, normalise.V3)
		if err != nil {
			l.t.Fatal(err)
		}
		l.tamper(short, func(m *ocm.Descriptor) {
			m.Signatures = []ocm.Signature{{Name: "early", Digest: d, Signature: ocm.SignatureValue{Algorithm: "x", MediaType: "x", Value: "x"}}}
		})
	}
	for _, short := range []string{"low", "mid"} {
		l := newLab(t)
		l.bare()
		early(l, short)
		_, err := l.signAll("top", graph.SignOptions{})
		if want := "acme.org/" + short + `:1.0.0: the digests that are missing would break signature "early"`; !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: somebody has signed without digests: %v", short, err)
		}
		if len(l.open("low").Descriptor().Signatures) > 1 {
			t.Error("something was signed all the same")
		}
	}
}

// An artifact in a registry is compared with its digest too, and the tag may lead elsewhere by now.
func TestSignComparesArtifactsElsewhere(t *testing.T) {
	l, elsewhere := newLab(t), newLab(t)
	url := registry(t, nil)
	elsewhere.repo = openRegistry(t, l.env, url)
	elsewhere.put("image", func(*ocm.Descriptor) {})
	for short, value := range map[string]string{"same": elsewhere.open("image").Manifest().Digest.Encoded(), "moved": strings.Repeat("0", 64)} {
		l.put(short, func(d *ocm.Descriptor) {
			d.Component.Resources[0].Access = ocm.Spec{Type: "ociArtifact",
				Raw: ocm.RawJSON(`{"type":"ociArtifact","imageReference":"` + url + `/acme/component-descriptors/acme.org/image:1.0.0"}`)}
			d.Component.Resources[0].Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "ociArtifactDigest/v1", Value: value}
		})
		_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name(short), "1.0.0", graph.SignOptions{})
		if (err == nil) != (short == "same") || err != nil && !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: %v", short, err)
		}
	}
}

// Nobody could verify a signature over a version below which a digest is missing.
func TestSignDemandsTheDigestsBelow(t *testing.T) {
	undigested := func(d *ocm.Descriptor) { d.Component.Resources[1].Digest = nil }
	onTop := func(ref ocm.Reference) func(d *ocm.Descriptor) {
		return func(d *ocm.Descriptor) { d.Component.References = []ocm.Reference{ref} }
	}
	for want, below := range map[string]func(l *lab){
		"below:1.0.0: resource two": func(l *lab) { l.put("below", undigested) },
		"below:1.0.0: reference leaf": func(l *lab) {
			ref := l.reference("leaf")
			ref.Digest = nil
			l.put("below", onTop(ref))
		},
		"deep:1.0.0: resource two": func(l *lab) {
			l.put("deep", undigested)
			l.put("below", onTop(l.reference("deep")))
		},
	} {
		l := newLab(t)
		below(l)
		l.put("new", onTop(l.reference("below")))
		_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("new"), "1.0.0", graph.SignOptions{})
		if !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), want+" has no digest") {
			t.Errorf("%s: %v", want, err)
		}
		if len(l.open("new").Descriptor().Signatures) > 0 {
			t.Errorf("%s: it was signed", want)
		}
	}
}

// The digest of a reference is kept, unless the version that it leads to gets digests itself.
func TestSignRecursivelyRenewsReferences(t *testing.T) {
	l := newLab(t)
	l.bare()
	ref := func(short string) *ocm.Digest { return l.reference(short).Digest }
	sha512, err := normalise.Digest(l.open("leaf").Descriptor(), ocm.SHA512, normalise.V4)
	if err != nil {
		t.Fatal(err)
	}
	l.tamper("mid", func(m *ocm.Descriptor) {
		m.Component.References[0].Digest = ref("low") // without digests
		kept := l.reference("leaf")
		kept.Digest = &sha512
		m.Component.References = append(m.Component.References, kept)
	})
	before := ref("low").Value
	if _, err := l.signAll("top", graph.SignOptions{}); err != nil {
		t.Fatal(err)
	}
	refs := l.open("mid").Descriptor().Component.References
	if refs[0].Digest.Value == before || refs[0].Digest.Value != ref("low").Value || refs[1].Digest.String() != sha512.String() {
		t.Errorf("references: %s, %s", refs[0].Digest, refs[1].Digest)
	}
	l.good("top")
	// What does not fit what is there is wrong, not old.
	l = newLab(t)
	l.bare()
	l.tamper("mid", func(m *ocm.Descriptor) {
		m.Component.References[0].Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: normalise.V3, Value: strings.Repeat("0", 64)}
	})
	if _, err := l.signAll("top", graph.SignOptions{}); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("got %v, want %v", err, ocm.ErrDigest)
	}
}

// What was signed before something failed is told, and good.
func TestSignRecursivelyTellsHowFarItCame(t *testing.T) {
	l := newLab(t)
	l.bare()
	asked := 0
	o := graph.SignOptions{Timestamp: func(context.Context, ocm.Digest) (*ocm.Timestamp, error) {
		if asked++; asked == 3 {
			return nil, errors.New("out of time")
		}
		return &ocm.Timestamp{Time: "2026-01-01T00:00:00Z"}, nil
	}}
	list, err := l.signAll("top", o)
	if states(list) != "low signed, mid signed" || err == nil || !strings.Contains(err.Error(), "out of time; signed before that, and complete: acme.org/low:1.0.0, acme.org/mid:1.0.0") {
		t.Errorf("%s, %v", states(list), err)
	}
	// The same again finishes the work.
	o.Timestamp = nil
	if list, err = l.signAll("top", o); err != nil || !strings.HasSuffix(states(list), "top signed") {
		t.Errorf("%s, %v", states(list), err)
	}
}

// A signature that does not verify is not stored where that is demanded.
func TestSignChecksItself(t *testing.T) {
	l := newLab(t)
	private, _ := testKey()
	l.env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1"},
		Secret: ocm.Secret{"privateKeyPEM": string(private), "issuer": "CN=somebody with a certificate"}})
	_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("leaf"), "1.0.0", graph.SignOptions{Check: true})
	if !errors.Is(err, ocm.ErrSignature) || len(l.open("leaf").Descriptor().Signatures) != 0 {
		t.Errorf("got %v", err)
	}
}

// A version that becomes another one while it is signed is not what was signed.
func TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned(t *testing.T) {
	l := newLab(t)
	meanwhile := func(change func(d *ocm.Descriptor)) graph.SignOptions {
		return graph.SignOptions{Name: "late", Timestamp: func(context.Context, ocm.Digest) (*ocm.Timestamp, error) {
			l.tamper("root", change)
			return &ocm.Timestamp{}, nil
		}}
	}
	sign := func(o graph.SignOptions) error {
		_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("root"), "1.0.0", o)
		return err
	}
	if err := sign(meanwhile(func(d *ocm.Descriptor) { d.Component.Provider = "evil.org" })); !errors.Is(err, ocm.ErrConflict) {
		t.Errorf("got %v, want %v", err, ocm.ErrConflict)
	}
	l.tamper("root", func(d *ocm.Descriptor) { d.Component.Provider = "acme.org" })
	if err := sign(meanwhile(func(d *ocm.Descriptor) { d.Signatures = append(d.Signatures, ocm.Signature{Name: "late"}) })); !errors.Is(err, ocm.ErrExists) {
		t.Errorf("got %v, want %v", err, ocm.ErrExists)
	}
	l.tamper("root", func(d *ocm.Descriptor) { d.Signatures = d.Signatures[:1] })
	if err := sign(meanwhile(func(d *ocm.Descriptor) { d.Signatures = append(d.Signatures, ocm.Signature{Name: "other"}) })); err != nil {
		t.Error(err)
	}
	if got := l.open("root").Descriptor().Signatures; len(got) != 3 || got[1].Name != "other" || got[2].Name != "late" {
		t.Errorf("signatures: %+v", got)
	}
}

// Eight people with eight names lose nothing.
func TestEightSignAtOnce(t *testing.T) {
	t.Run("archive", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ctf")
		eightSign(t, func(l *lab) ocm.Repository { return openGolden(t, l.env, dir) })
	})
	t.Run("registry", func(t *testing.T) {
		url := registry(t, nil)
		eightSign(t, func(l *lab) ocm.Repository { return openRegistry(t, l.env, url) })
	})
}

// registry starts one behind a handler.
func registry(t *testing.T, front func(next http.Handler) http.Handler) string {
	t.Helper()
	r := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	var h http.Handler = r
	if front != nil {
		h = front(r)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.Close(); r.Close() })
	return server.URL
}

func openRegistry(t *testing.T, env *ocm.Env, url string) ocm.Repository {
	t.Helper()
	store, err := remote.Open(env, url, "acme", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	repo := oci.NewRepository(store, env)
	t.Cleanup(func() { repo.Close() })
	return repo
}

// eightSign signs one version from eight environments that know nothing of each other.
func eightSign(t *testing.T, open func(*lab) ocm.Repository) {
	private, public := testKey()
	fresh := func() *lab {
		l := &lab{t: t, kit: builtin.Kit(), env: &ocm.Env{Job: ocm.NewJob(2), Credentials: credentials.Static(credentials.Entry{
			Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)}})}}
		l.repo = open(l)
		return l
	}
	fresh().put("root", func(*ocm.Descriptor) {})
	var wg sync.WaitGroup
	var names []string
	for i := range 8 {
		name := fmt.Sprintf("person-%d", i)
		names = append(names, name)
		l := fresh()
		wg.Go(func() {
			o := graph.SignOptions{Name: name, Settle: 2 * time.Second}
			if _, err := graph.SignVersion(t.Context(), l.kit, l.env, l.locate, l.repo, l.open("root"), o); err != nil {
				t.Error(name, err)
			}
		})
	}
	wg.Wait()
	l := fresh()
	l.good("root", names...)
	if n := len(l.open("root").Descriptor().Signatures); n != len(names) {
		t.Errorf("%d signatures, expected %d", n, len(names))
	}
}

// A registry moves a tag for whoever comes last: here somebody looks at the tag, waits until
// another signature is stored, and then moves the tag. The signature that is taken away comes back.
func TestSignatureThatIsOverwrittenComesBack(t *testing.T) {
	second := make(chan struct{})
	first := make(chan struct{})
	var mu sync.Mutex
	puts := -1 // the version itself is put first
	url := registry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/manifests/1.0.0") {
				next.ServeHTTP(w, r)
				return
			}
			mu.Lock()
			puts++
			n := puts
			mu.Unlock()
			switch n {
			case 1: // comes first, is stored last
				<-second
				next.ServeHTTP(w, r)
				close(first)
			case 2:
				next.ServeHTTP(w, r)
				close(second)
				<-first
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	private, public := testKey()
	l := &lab{t: t, kit: builtin.Kit(), env: &ocm.Env{Job: ocm.NewJob(4), Credentials: credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)}})}}
	l.repo = openRegistry(t, l.env, url)
	l.put("root", func(*ocm.Descriptor) {})
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			if _, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("root"), "1.0.0", graph.SignOptions{Name: name, Settle: time.Millisecond}); err != nil {
				t.Error(name, err)
			}
		})
	}
	wg.Wait()
	if puts < 3 {
		t.Fatalf("%d writes: nothing was overwritten", puts)
	}
	l.good("root", "a", "b")
}

// A signature made elsewhere is stored only if it is one of what is here.
func TestAttach(t *testing.T) {
	l := newLab(t)
	l.bare()
	l.put("odd", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = nil })
	o := graph.SignOptions{Name: "hsm", Hash: ocm.SHA512, Normalisation: normalise.V4}
	request := func(short string) *graph.Request {
		t.Helper()
		r, err := graph.NewRequest(t.Context(), l.kit, l.env, l.locate, l.repo, l.open(short), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(); err != nil {
			t.Error(err)
		}
		return r
	}
	attach := func(short string, sig ocm.Signature, o graph.SignOptions) (bool, error) {
		_, judged, err := graph.Attach(t.Context(), l.kit, l.env, l.locate, l.repo, l.open(short), sig, o)
		return judged, err
	}
	if _, err := graph.NewRequest(t.Context(), l.kit, l.env, l.locate, l.repo, l.open("top"), o); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("a request for what is not complete: %v", err)
	}
	r := request("odd")
	sig := ocm.Signature{Name: r.Signature, Digest: r.Digest}
	value, err := rsa.Handler{}.Sign(t.Context(), l.env, r.Signature, r.Digest, ocm.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	sig.Signature = value
	if _, err := attach("leaf", sig, graph.SignOptions{}); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("on another version: %v", err)
	}
	for name, change := range map[string]func(s *ocm.Signature){
		"value":         func(s *ocm.Signature) { s.Signature.Value = strings.Repeat("00", 256) },
		"digest":        func(s *ocm.Signature) { s.Digest.Value = strings.Repeat("00", 64) },
		"hash":          func(s *ocm.Signature) { s.Digest.HashAlgorithm = ocm.SHA256 },
		"normalisation": func(s *ocm.Signature) { s.Digest.NormalisationAlgorithm = "jsonNormalisation/v9" },
		"algorithm":     func(s *ocm.Signature) { s.Signature.Algorithm = "ROT13" },
		"no name":       func(s *ocm.Signature) { s.Name = "" },
		"no value":      func(s *ocm.Signature) { s.Signature.Value = "" },
		"no digest":     func(s *ocm.Signature) { s.Digest = ocm.Digest{} },
	} {
		bad := sig
		change(&bad)
		if _, err := attach("odd", bad, graph.SignOptions{}); err == nil {
			t.Errorf("%s: was attached", name)
		}
	}
	if len(l.open("odd").Descriptor().Signatures) != 0 {
		t.Fatal("something was attached")
	}
	if judged, err := attach("odd", sig, graph.SignOptions{}); err != nil || !judged {
		t.Errorf("judged %v, %v", judged, err)
	}
	l.good("odd", "hsm")
	if _, err := attach("odd", sig, graph.SignOptions{}); !errors.Is(err, ocm.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	// Without a key it is taken by its digest, unless it has to be judged, or there is nothing that could be.
	l.env.Credentials = nil
	empty := sig
	empty.Signature.Value = ""
	if _, err := attach("odd", empty, graph.SignOptions{Force: true}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("without a value: %v", err)
	}
	if _, err := attach("odd", sig, graph.SignOptions{Force: true, Check: true}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("nobody can judge it: %v", err)
	}
	if judged, err := attach("odd", sig, graph.SignOptions{Force: true}); err != nil || judged {
		t.Errorf("judged %v, %v", judged, err)
	}
}

// A request whose parts do not belong together would have something else signed than it says.
func TestRequestOfOnePiece(t *testing.T) {
	l := newLab(t)
	for _, algorithm := range []string{normalise.V3, normalise.V4} {
		r, err := graph.NewRequest(t.Context(), l.kit, l.env, l.locate, l.repo, l.open("leaf"), graph.SignOptions{Normalisation: algorithm})
		if err != nil || r.Check() != nil {
			t.Fatal(err, r.Check())
		}
		changes := map[string]func(r *graph.Request){
			"type":       func(r *graph.Request) { r.Type = "x" },
			"component":  func(r *graph.Request) { r.Component = "acme.org/other" },
			"version":    func(r *graph.Request) { r.Version = "2.0.0" },
			"signature":  func(r *graph.Request) { r.Signature = "" },
			"digest":     func(r *graph.Request) { r.Digest.Value = strings.Repeat("0", 64) },
			"hash":       func(r *graph.Request) { r.Digest.HashAlgorithm = "MD5" },
			"algorithm":  func(r *graph.Request) { r.Digest.NormalisationAlgorithm = "x" },
			"normalised": func(r *graph.Request) { r.Normalised += " " },
		}
		for name, change := range changes {
			bad := *r
			change(&bad)
			if bad.Check() == nil {
				t.Errorf("%s: another %s is accepted", algorithm, name)
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"component":{"name":"acme.org/a","version":"1"}}`, "acme.org/a", "1")
	f.Add(`{"component":{"name":"a","name":"b","version":"1"}}`, "b", "1")
	f.Add(`[`, "", "")
	f.Fuzz(func(t *testing.T, text, name, version string) {
		d := ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: normalise.V3, Value: sum(text)}
		r := graph.Request{Type: graph.RequestType, Component: name, Version: version, Signature: "s", Digest: d, Normalised: text}
		if r.Check() == nil && !(strings.Contains(text, "component") || strings.Contains(text, `\u`)) {
			t.Errorf("%q is a component", text)
		}
	})
}

// Each signature is judged by its own handler; a configuration of another family never reaches it.
func TestSpecIsChosenBySignature(t *testing.T) {
	l := newLab(t)
	var asked []string
	rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("root"), graph.VerifyOptions{Spec: func(sig ocm.Signature) ocm.Spec {
		asked = append(asked, sig.Name+" "+sig.Signature.Algorithm)
		return ocm.Spec{}
	}})
	if err != nil || rep.Err() != nil || !slices.Equal(asked, []string{"default RSASSA-PSS"}) {
		t.Errorf("asked for %q: %v %v", asked, err, rep.Err())
	}
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}
