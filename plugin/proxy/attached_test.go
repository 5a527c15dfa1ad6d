// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

const anAttachment = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5}`

// image opens an image of a plugin that can what is said, and answers so what is attached.
func image(t testing.TB, env *ocm.Env, can, attached string) ocm.Content {
	t.Helper()
	c, err := proxy.Opener(said{wire.OpenPath: `{"handle":"h","root":` + goodManifest + can + `}`, wire.AttachedPath: attached}, wire.AccessMethod).Open(context.Background(), env, ocm.Spec{Type: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A plugin is asked what it says that it can be asked.
func TestAttachedIsAsked(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	env := &ocm.Env{Log: slog.New(slog.NewTextHandler(&log, nil))}
	list := func(c ocm.Content) ([]oci.Attached, error) {
		return oci.Attachments(t.Context(), nil, c, c.Root.Digest)
	}
	for can, want := range map[string]int{`,"can":["attached"]`: 1, `,"can":[]`: -1, `,"can":["more"]`: -1, `,"can":["attached"],"alone":true`: -1} {
		found, err := list(image(t, env, can, `{"attached":[`+anAttachment+`]}`))
		if n := len(found); (err == nil || want >= 0) && n != want || want < 0 && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v %v", can, found, err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("it is told: %s", &log)
	}
	// One that does not know the question is not asked, and what may be left behind is told to who wants it.
	c := image(t, env, ``, `[]`)
	if log.Len() > 0 {
		t.Errorf("it is told too early: %s", &log)
	}
	for range 2 {
		if found, err := list(c); err != nil || len(found) > 0 {
			t.Errorf("%v %v", found, err)
		}
	}
	if strings.Count(log.String(), "left behind") != 1 || !strings.Contains(log.String(), c.Root.Digest.String()) {
		t.Errorf("expected one warning, found %s", &log)
	}
}

// A version says so, too; of one that says nothing nobody knows.
func TestAttachedToVersion(t *testing.T) {
	t.Parallel()
	for can, want := range map[string]string{
		``: "unsupported", `,"can":[]`: "[] <nil>", `,"can":["attached"]`: "2cf24dba",
	} {
		r, err := openAt(t.Context(), said{wire.RepositoryPath: goodPlace, wire.VersionPath: strings.TrimSuffix(goodVersion, "}") + can + "}", wire.AttachedPath: `{"attached":[` + anAttachment + `]}`})
		if err != nil {
			t.Fatal(err)
		}
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/a", "1.0.0"))
		list, err := v.(oci.Attacher).Attached(t.Context())
		if got := fmt.Sprint(list, " ", err); !strings.Contains(got, want) {
			t.Errorf("%s: expected %s, found %s", can, want, got)
		}
	}
}

// Whatever a plugin answers to the question what is attached: it is what can be attached to that manifest, or an error.
func FuzzAttached(f *testing.F) {
	tag := "sha256-2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824.sig"
	for _, text := range []string{
		`{"attached":[` + anAttachment + `]}`, `{"attached":[` + strings.Replace(anAttachment, "{", `{"tag":"`+tag+`",`, 1) + `]}`, `{}`, `{"attached":null}`, `{"attached":[{}]}`,
		`{"attached":[{"tag":"1.0.0","digest":"sha256:../x","size":-1,"mediaType":"a/b","artifactType":"c"}]}`, `[`, `{"attached":[` + strings.Repeat(anAttachment+",", 2000) + anAttachment + `]}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := image(t, nil, `,"can":["attached"]`, text)
		list, err := oci.Attachments(context.Background(), nil, c, c.Root.Digest)
		if err != nil {
			return
		}
		tags := map[string]bool{}
		for _, a := range list {
			if blob.CheckDigest(a.Digest) != nil || a.Size < 0 || a.MediaType == "" || a.Tag != "" && (tags[a.Tag] || !strings.HasPrefix(a.Tag, "sha256-2cf24dba")) {
				t.Errorf("%q: %+v", text, a)
			}
			tags[a.Tag] = true
		}
		if len(list) > oci.MaxAttached {
			t.Errorf("%d", len(list))
		}
	})
}

// asker is an uploader's plugin that asks what is attached to some manifests, and then says that it has stored all.
type asker struct {
	answers
	ask []digest.Digest
	err error
}

func (a *asker) Call(context.Context, *ocm.Env) (proxy.Call, error) { return a, nil }

func (a *asker) Ask(_ string, _, answer any, _ bool) error {
	for _, d := range a.ask {
		if _, err := oci.Attachments(context.Background(), nil, *a.offered, d); err != nil {
			a.err = err
		}
	}
	return json.Unmarshal([]byte(a.text), answer)
}

// busy is a source in which so many manifests are attached to every manifest.
type busy struct {
	ocm.Fetcher
	n int
}

func (b busy) Referrers(_ context.Context, d ociv1.Descriptor, _ string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		for i := range b.n {
			if !yield(ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(d.Digest, i)), Size: 1}, nil) {
				return
			}
		}
	}
}

// What a plugin is told about one image is bounded, and what it did not ask for is named, also where it uploads.
func TestAskerIsBounded(t *testing.T) {
	t.Parallel()
	c := fixture.Image("layer")
	digests := func(n int) []digest.Digest {
		list := []digest.Digest{c.Root.Digest}
		for i := range n - 1 {
			list = append(list, digest.FromString(fmt.Sprint(i)))
		}
		return list
	}
	for name, test := range map[string]struct {
		ask      []digest.Digest
		attached int
		want     error
		told     string
	}{
		"asks":                   {digests(1), 0, nil, ""},
		"asks twice":             {append(digests(1), c.Root.Digest), 600, nil, ""},
		"does not ask":           {nil, 30, nil, "and 10 more"},
		"asks for another one":   {digests(2)[1:], 1, nil, "referrer sha256:"},
		"asks for too much":      {digests(2), 600, ocm.ErrLimit, ""},
		"asks for too many":      {digests(oci.MaxSubjects + 1), 0, ocm.ErrLimit, ""},
		"asks what is no digest": {[]digest.Digest{c.Root.Digest, "sha256:../x"}, 0, ocm.ErrInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := c
			c.From = busy{c.From, test.attached}
			root := fmt.Sprintf(`{"root":{"mediaType":%q,"digest":%q,"size":%d},"access":{"type":"there"}}`, c.Root.MediaType, c.Root.Digest, c.Root.Size)
			a := &asker{answers: answers{text: root}, ask: test.ask}
			env := &ocm.Env{Log: slog.New(slog.NewTextHandler(&log, nil))}
			if _, err := proxy.Uploader(a).Upload(t.Context(), env, c, ocm.Spec{Type: "x"}, ""); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(a.err, test.want) {
				t.Errorf("expected %v, found %v", test.want, a.err)
			}
			if test.told == "" && test.want == nil && test.attached == 0 && log.Len() > 0 || !strings.Contains(log.String(), test.told) {
				t.Errorf("expected %q, found %s", test.told, &log)
			}
		})
	}
}
