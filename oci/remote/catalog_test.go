// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/oci"
	"ocm/oci/remote"
)

// catalog is a registry that answers its list with pages, and whatever comes behind them with a status.
func catalog(t *testing.T, status int, pages ...string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/v2/_catalog" {
			t.Errorf("asked for %s", req.URL)
		}
		n := 0
		fmt.Sscan(req.URL.Query().Get("page"), &n)
		if n >= len(pages) {
			w.WriteHeader(status)
			return
		}
		if n < len(pages)-1 || status != http.StatusOK {
			w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?page=%d>; rel="next"`, n+1))
		}
		fmt.Fprint(w, pages[n])
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func components(t *testing.T, url string) (list []string, err error) {
	t.Helper()
	s, err := remote.Open(&ocm.Env{}, url, "", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range oci.NewRepository(s, &ocm.Env{}).Components(t.Context()) {
		if err != nil {
			return list, err
		}
		list = append(list, name)
	}
	return list, nil
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	url := catalog(t, http.StatusOK,
		`{"repositories":["component-descriptors/acme.org/app","library/nginx","acme/component-descriptors/acme.org/below","acmes/component-descriptors/acme.org/no"]}`,
		`{"repositories":["component-descriptors/acme.org/app","component-descriptors/acme.org/other","../../component-descriptors/acme.org/evil","component-descriptors/acme.org/\u001b[31m","component-descriptors"]}`)
	for path, want := range map[string][]string{"": {"acme.org/app", "acme.org/other"}, "/acme": {"acme.org/below"}, "/nobody": nil} {
		if got, err := components(t, url+path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: expected %q, found %q, %v", path, want, got, err)
		}
	}
}

// A registry may refuse to list, and must not be able to list for ever, or less than there is.
func TestCatalog_refused(t *testing.T) {
	t.Parallel()
	one := `{"repositories":["component-descriptors/acme.org/app"]}`
	for name, tt := range map[string]struct {
		url  string
		want error
		says string
	}{
		"404":       {catalog(t, 404), errors.ErrUnsupported, "does not list its repositories"},
		"405":       {catalog(t, 405), errors.ErrUnsupported, "does not list its repositories"},
		"401":       {catalog(t, 401), ocm.ErrDenied, "name the component"},
		"403":       {catalog(t, 403), ocm.ErrDenied, "name the component"},
		"web page":  {catalog(t, 200, "<html>"), errors.ErrUnsupported, "does not list its repositories"},
		"no list":   {catalog(t, 200, `{"repositories":7}`), ocm.ErrInvalid, "cannot be used"},
		"too large": {catalog(t, 200, `{"repositories":["`+strings.Repeat("a", remote.MaxPageBytes)+`"]}`), nil, ""},
		"no news":   {catalog(t, 404, one, one, one), ocm.ErrInvalid, "does not advance"},
		"404 later": {catalog(t, 404, one), ocm.ErrInvalid, "breaks off"},
		"403 later": {catalog(t, 403, one), ocm.ErrDenied, "status 403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := components(t, tt.url)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("expected %v that says %q, found %v", tt.want, tt.says, err)
			}
		})
	}
}

// Who has seen enough is not asked for more.
func TestCatalog_stops(t *testing.T) {
	t.Parallel()
	s, err := remote.Open(&ocm.Env{}, catalog(t, 500, `{"repositories":["a","b"]}`), "", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range s.Repos(t.Context()) {
		if name != "a" || err != nil {
			t.Error(name, err)
		}
		break
	}
}
