// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// That there is no referrers API is found out once in a job, however often the repository is opened,
// and for each repository.
func TestNoReferrersAPIIsRemembered(t *testing.T) {
	t.Parallel()
	elsewhere := answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	site := serve(t, elsewhere)
	t.Cleanup(func() { wantUntouched(t, elsewhere) })
	for name, refuse := range map[string]http.HandlerFunc{
		"404":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"405":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"501":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) },
		"406":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotAcceptable) },
		"web page":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>Welcome</html>") },
		"a web site": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, site.URL, http.StatusSeeOther) },
		"another document": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			inner := ggcrHandler()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/referrers/") {
					asked.Add(1)
					refuse(w, r)
					return
				}
				inner.ServeHTTP(w, r)
			}))
			env := &ocm.Env{Job: ocm.NewJob(2)}
			subject, want := putWithSubject(t, open(t, nil, srv.URL).Repo("a"), "x", "")
			for range 3 {
				found, err := referrers(t.Context(), open(t, env, srv.URL).Repo("a"), subject, "")
				if err != nil || len(found) != 1 || found[0].Digest != want.Digest {
					t.Fatalf("expected %s, found %v, %v", want.Digest, found, err)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("expected the API to be asked for once, found %d times", n)
			}
			if found, err := referrers(t.Context(), open(t, env, srv.URL).Repo("b"), subject, ""); err != nil || len(found) > 0 || asked.Load() != 2 {
				t.Errorf("expected another repository to be asked, found %v, %v", found, err)
			}
		})
	}
}

// A registry that refuses, or fails, is not one without an API.
func TestReferrersThatAreRefused(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{http.StatusForbidden: ocm.ErrDenied, http.StatusUnauthorized: ocm.ErrDenied, http.StatusInternalServerError: nil, http.StatusBadRequest: nil} {
		j := answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.WriteHeader(code)
			} else {
				w.WriteHeader(http.StatusNotFound)
			}
		})
		found, err := referrers(t.Context(), open(t, nil, serve(t, j).URL).Repo("a"), ociv1.Descriptor{Digest: digest.FromString("x")}, "")
		if err == nil || len(found) > 0 {
			t.Errorf("%d: expected an error, found %v", code, found)
		}
		if want != nil {
			wantErr(t, err, want)
		}
	}
}

// A list that breaks off on its second page must not look like a short one: signatures would be missing.
func TestCVE_2022_35929_ListThatBreaksOff(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") != "" || !strings.Contains(r.URL.Path, "/referrers/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=2>; rel="next"`, r.URL.Path))
		w.Header().Set("Content-Type", ociv1.MediaTypeImageIndex)
		fmt.Fprintf(w, `{"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`, ociv1.MediaTypeImageManifest, digest.FromString("first"))
	}))
	_, err := referrers(t.Context(), open(t, nil, srv.URL).Repo("a"), ociv1.Descriptor{Digest: digest.FromString("x")}, "")
	wantErr(t, err, ocm.ErrInvalid, "breaks off")
}

// The index under the fallback tag comes from strangers.
func TestFallbackTagThatLies(t *testing.T) {
	t.Parallel()
	subject := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("subject"), Size: 7}
	entry := func(dg string, size int64) map[string]any {
		return map[string]any{"mediaType": ociv1.MediaTypeImageManifest, "digest": dg, "size": size}
	}
	many := make([]map[string]any, MaxReferrers+1)
	for i := range many {
		many[i] = entry(digest.FromString(fmt.Sprint(i)).String(), 1)
	}
	index := func(entries ...map[string]any) map[string]any {
		return map[string]any{"schemaVersion": 2, "mediaType": ociv1.MediaTypeImageIndex, "manifests": entries}
	}
	good := entry(digest.FromString("good").String(), 1)
	both := index(good)
	both["config"] = ociv1.DescriptorEmptyJSON
	for name, tt := range map[string]struct {
		mediaType string
		doc       any
		digest    string // what the registry says
		found     int
		want      error
	}{
		"good":                   {ociv1.MediaTypeImageIndex, index(good), "", 1, nil},
		"the same twice":         {ociv1.MediaTypeImageIndex, index(good, good), "", 1, nil},
		"a manifest":             {ociv1.MediaTypeImageManifest, index(good), "", 0, nil},
		"Docker's list":          {"application/vnd.docker.distribution.manifest.list.v2+json", index(good), "", 0, nil},
		"no digest":              {ociv1.MediaTypeImageIndex, index(entry("sha256:../../x", 1)), "", 0, ocm.ErrInvalid},
		"negative size":          {ociv1.MediaTypeImageIndex, index(entry(digest.FromString("x").String(), -1)), "", 0, ocm.ErrInvalid},
		"too large a manifest":   {ociv1.MediaTypeImageIndex, index(entry(digest.FromString("x").String(), 1<<30)), "", 0, ocm.ErrLimit},
		"too many":               {ociv1.MediaTypeImageIndex, index(many...), "", 0, ocm.ErrLimit},
		"index and manifest":     {ociv1.MediaTypeImageIndex, both, "", 0, ocm.ErrInvalid},
		"no JSON":                {ociv1.MediaTypeImageIndex, "x", "", 0, ocm.ErrInvalid},
		"digest of another body": {ociv1.MediaTypeImageIndex, index(good), digest.FromString("other").String(), 0, ocm.ErrDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(tt.doc)
			if err != nil {
				t.Fatal(err)
			}
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/manifests/"+oci.ReferrersTag(subject.Digest)) {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				w.Header().Set("Content-Type", tt.mediaType)
				w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
				if tt.digest != "" {
					w.Header().Set("Docker-Content-Digest", tt.digest)
				}
				w.Write(raw)
			}))
			found, err := referrers(t.Context(), open(t, nil, srv.URL).Repo("a"), subject, "")
			if len(found) != tt.found || tt.want == nil && err != nil {
				t.Errorf("expected %d, found %v, %v", tt.found, found, err)
			}
			if tt.want != nil {
				wantErr(t, err, tt.want)
			}
		})
	}
}
