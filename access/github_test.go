// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/access"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

// gitHub serves a repository me/r with two commits.
func gitHub(t testing.TB, token string) (at, first, second string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "me"), 0o755); err != nil {
		t.Fatal(err)
	}
	first, second = gitRepository(t, filepath.Join(dir, "me"))
	at, stop, err := fixture.GitHubProtocolServer(dir, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return at, first, second
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	at, first, second := gitHub(t, "geheim")
	host := strings.TrimPrefix(at, "http://")
	c := accesstest.Case{
		Method: access.GitHub, WantType: "application/x-tgz",
		Env:     &ocm.Env{Credentials: gitLogin{"Github", ocm.Secret{"token": "geheim"}}},
		Locked:  &ocm.Env{Credentials: gitLogin{"GitHub", ocm.Secret{"token": "falsch"}}},
		Good:    map[string]any{"repoUrl": at + "/me/r.git", "ref": "refs/heads/main", "other": 1},
		Missing: []map[string]any{{"ref": "gone"}, {"commit": strings.Repeat("0a", 20)}, {"repoUrl": at + "/me/gone"}},
		Wrong: []map[string]any{
			{"commit": "main"}, {"commit": strings.Repeat("0a", 32)}, {"ref": "a b"}, {"ref": "../../../user"}, {"ref": nil},
			{"repoUrl": "github.com/me"}, {"repoUrl": "github.com/me/../r"}, {"repoUrl": "github.com/me/r/tree/main"}, {"repoUrl": "https://x:geheim@github.com/me/r"},
			{"repoUrl": "http://github.com/me/r"}, {"repoUrl": "ssh://github.com/me/r"}, {"repoUrl": "github.com/me/r?token=geheim"},
			{"apiHostname": "https://api.github.com"}, {"apiHostname": "a/b"}, {"apiHostname": "user@host"}, {"apiHostname": "a b"}, {"apiHostname": "h?x"},
		},
		Host:    func(hostport string) map[string]any { return map[string]any{"repoUrl": "http://" + hostport + "/me/r"} },
		Secrets: []string{"geheim", "falsch", "signed"},
	}
	accesstest.Run(t, c)
	for ref, want := range map[string]string{"main": second, "v1": first, "tags/v1": first, "refs/tags/v1": first} {
		got, err := access.GitHub.Open(t.Context(), c.Env, spec(t, `{"type":"github","repoUrl":"`+at+`/me/r","apiHostname":"`+host+`","ref":"`+ref+`","more":[1]}`))
		if err != nil {
			t.Fatal(err)
		}
		pinned := `{"type":"github","repoUrl":"` + at + `/me/r","apiHostname":"` + host + `","commit":"` + want + `","ref":"` + ref + `","more":[1]}`
		if got.Pinned == nil || string(got.Pinned.Raw) != pinned {
			t.Errorf("%s: expected %s, found %s", ref, pinned, got.Pinned.Raw)
		}
		if all := bytesOf(t, got); len(all) < 100 || all[0] != 0x1f {
			t.Errorf("%s: found %q", ref, all)
		}
	}
}

func TestGitHubTellsOfTheLimit(t *testing.T) {
	t.Parallel()
	at, first, _ := gitHub(t, "")
	_, err := access.GitHub.Open(t.Context(), nil, spec(t, `{"type":"gitHub","repoUrl":"`+at+`/limited/r","ref":"main"}`))
	fixture.WantErr(t, err, ocm.ErrDenied, "60 requests per hour", "2023-11-14T22:13:20Z", "token")
	c, err := access.GitHub.Open(t.Context(), nil, spec(t, `{"type":"gitHub","repoUrl":"`+at+`/limited/r","commit":"`+first+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Open(t.Context())
	fixture.WantErr(t, err, ocm.ErrDenied, "60 requests per hour")
}

// A descriptor names host and API. It must not lead the token of the one to the other.
func TestGitHubTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	var asked, leaked atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(true)
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(thief.Close)
	env := &ocm.Env{Credentials: host{"localhost", "geheim"}}
	_, err := access.GitHub.Open(t.Context(), env, spec(t, `{"type":"gitHub","repoUrl":"http://localhost/me/r","ref":"main","apiHostname":"`+strings.TrimPrefix(thief.URL, "http://")+`"}`))
	fixture.WantErr(t, err, ocm.ErrDenied)
	if !asked.Load() || leaked.Load() {
		t.Errorf("asked %v, leaked %v", asked.Load(), leaked.Load())
	}
}
