// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/git"
	"ocm/web"
)

// GitHub is the archive of a commit that GitHub makes.
var GitHub = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "gitHub", "GitHub", "github"),
		About:     "The archive of a commit that GitHub makes, as it is delivered.",
		Fields:    ocm.FieldsOf(gitHubSpec{}),
		Pins:      "ref to commit",
		Consumers: []string{"GitHubRepository"},
		Notes: []string{
			"commit or ref must be there. A ref is pinned to the commit that it points at; where commit is there, ref is not asked for.",
			"GitHub does not promise that an archive has the same bytes for ever; the access git gives the same files in bytes that do.",
			"Credentials: consumer GitHubRepository, Github or GitHub with token. They are for the host of repoUrl, and are sent to its own API only.",
		},
	},
	Opener: ocm.OpenerFunc(openGitHub),
}

type gitHubSpec struct {
	Type        string      `json:"type"`
	RepoURL     string      `json:"repoUrl" need:"yes" about:"[https://]github.com/owner/repository, or on a server of your own"`
	APIHostname string      `json:"apiHostname,omitempty" about:"host of the API; default api.github.com for github.com, else the host of repoUrl"`
	Commit      string      `json:"commit,omitempty" about:"the commit, all 40 digits of it; wins over ref"`
	Ref         string      `json:"ref,omitempty" about:"branch, tag or full name of a reference"`
	Rest        ocm.RawJSON `json:",embed"`
}

// gitHubConsumers are the types of consumers that were ever written for GitHub.
var gitHubConsumers = []string{"GitHubRepository", "Github", "GitHub"}

// Limits of what the API says, in bytes.
const (
	maxGitHubCommit = 1024
	maxGitHubLimits = 64 << 10
)

func openGitHub(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var g gitHubSpec
	if err := s.Members(&g); err != nil {
		return ocm.Content{}, err
	}
	h, err := newGitHub(ctx, env, g)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	var pinned *ocm.Spec
	if g.Commit == "" {
		if g.Commit, err = h.commit(ctx, g.Ref); err != nil {
			return ocm.Content{}, err
		}
		now, err := ocm.NewSpec(g)
		if err != nil {
			return ocm.Content{}, err
		}
		pinned = &now
	}
	c := h.client.Content(web.Request{URL: h.api.JoinPath("tarball", g.Commit)}, ociv1.Descriptor{MediaType: "application/x-tgz"})
	c.From, c.Name, c.Pinned = tarball{h, c.From}, strings.TrimPrefix(h.repo.String(), "https://")+"@"+g.Commit, pinned
	return c, nil
}

// gitHub is a repository, and its place in the API.
type gitHub struct {
	client     *web.Client
	repo, root *url.URL
	api        *url.URL // below root
}

// ownerAndName are the two elements of a repository's path. Neither may begin with a dot or a dash.
var ownerAndName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/([A-Za-z0-9_][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}?)(\.git)?/?$`)
})

func newGitHub(ctx context.Context, env *ocm.Env, g gitHubSpec) (*gitHub, error) {
	repo, err := parseRepoURL(g.RepoURL)
	if err != nil {
		return nil, err
	}
	root, own, err := apiOf(repo, g.APIHostname)
	if err != nil {
		return nil, err
	}
	switch {
	case g.Commit == "" && g.Ref == "":
		return nil, fmt.Errorf("commit and ref are missing; one of them must be there: %w", ocm.ErrInvalid)
	case g.Commit != "":
		if err := git.CheckCommit(g.Commit); err != nil || len(g.Commit) != 40 {
			return nil, fmt.Errorf("commit %.200q: expected 40 lower-case hexadecimal digits: %w", g.Commit, ocm.ErrInvalid)
		}
	}
	if err := git.CheckRef(g.Ref); err != nil {
		return nil, err
	}
	h := &gitHub{repo: repo, root: root, api: root.JoinPath("repos", repo.Path)}
	if !own { // nobody but the owner of the credentials decides where these go
		h.client, err = web.For(ctx, env, root, gitHubConsumers...)
		return h, err
	}
	if h.client, err = web.For(ctx, env, root); err != nil {
		return nil, err
	}
	token, err := gitHubToken(ctx, env, repo, root)
	if token != "" {
		h.client.Sign = func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }
	}
	return h, err
}

func parseRepoURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" { // the error of the parser repeats the address
		return nil, fmt.Errorf("repoUrl: expected host/owner/repository without user and query: %w", ocm.ErrInvalid)
	}
	path := ownerAndName().FindStringSubmatch(u.Path)
	if path == nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !web.IsLoopback(u.Hostname())) {
		return nil, fmt.Errorf("repoUrl %.200q: expected [https://]host/owner/repository: %w", s, ocm.ErrInvalid)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: "/" + path[1]}, nil
}

// apiOf is the root of the API for a repository. own: it is the one of the repository's host, which
// gets the credentials for that host.
func apiOf(repo *url.URL, hostname string) (root *url.URL, own bool, err error) {
	standard := repo.Host
	if standard == "github.com" || standard == "www.github.com" {
		standard = "api.github.com"
	}
	if hostname == "" {
		hostname = standard
	}
	u, err := url.Parse("//" + strings.ToLower(hostname))
	if err != nil || u.Host == "" || u.Host != strings.ToLower(hostname) || u.Path != "" {
		return nil, false, fmt.Errorf("apiHostname %.200q: expected a host, with a port if need be: %w", hostname, ocm.ErrInvalid)
	}
	root = &url.URL{Scheme: repo.Scheme, Host: u.Host}
	if !strings.HasPrefix(u.Host, "api.") { // a server of one's own has the API below its web pages
		root.Path = "/api/v3"
	}
	return root, u.Host == standard || u.Host == "api."+repo.Host, nil
}

// gitHubToken finds the token for a repository, or for its API.
func gitHubToken(ctx context.Context, env *ocm.Env, places ...*url.URL) (string, error) {
	for _, at := range places {
		for _, typ := range gitHubConsumers {
			secret, err := env.Resolve(ctx, web.Identity(typ, at))
			if err != nil && !errors.Is(err, ocm.ErrNotFound) {
				return "", err
			}
			for _, name := range []string{"token", "accessToken", "identityToken", "password"} {
				if secret[name] != "" {
					return secret[name], nil
				}
			}
		}
	}
	return "", nil
}

// commit asks which commit a reference points at.
func (h *gitHub) commit(ctx context.Context, ref string) (string, error) {
	u := h.api.JoinPath("commits")
	u.Path += "/" + strings.TrimPrefix(ref, "refs/") // escaped when it is sent
	u.RawPath = ""
	raw, err := h.client.Read(ctx, web.Request{URL: u, Header: http.Header{"Accept": {"application/vnd.github.sha"}}}, maxGitHubCommit)
	if err != nil {
		return "", fmt.Errorf("ref %s: %w", ref, h.explain(ctx, err))
	}
	id := strings.TrimSpace(string(raw))
	if err := git.CheckCommit(id); err != nil || len(id) != 40 {
		return "", fmt.Errorf("%s%s: expected the name of a commit, found %.100q; is this the API of GitHub? %w", u.Host, u.Path, id, ocm.ErrInvalid)
	}
	return id, nil
}

// explain tells whether a refusal means that too much was asked. GitHub uses the same status for that, and asking for
// the limit does not count against it.
func (h *gitHub) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ocm.ErrDenied) && web.Status(err) != http.StatusTooManyRequests {
		return err
	}
	raw, rerr := h.client.Read(ctx, web.Request{URL: h.root.JoinPath("rate_limit")}, maxGitHubLimits)
	var limits struct {
		Resources struct {
			Core struct {
				Limit     int   `json:"limit"`
				Remaining *int  `json:"remaining"`
				Reset     int64 `json:"reset"`
			} `json:"core"`
		} `json:"resources"`
	}
	core := &limits.Resources.Core
	if rerr != nil || json.Unmarshal(raw, &limits) != nil || core.Remaining == nil || *core.Remaining > 0 {
		return err
	}
	return fmt.Errorf("GitHub accepts %d requests per hour and none before %s; a token (consumer %s, host %s) raises that: %w",
		core.Limit, time.Unix(core.Reset, 0).UTC().Format(time.RFC3339), gitHubConsumers[0], h.repo.Host, err)
}

// tarball fetches the archive; GitHub answers with a redirect to another host, which needs no token.
type tarball struct {
	h    *gitHub
	from ocm.Fetcher
}

// Fetch implements [ocm.Fetcher].
func (t tarball) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := t.from.Fetch(ctx, d)
	if err != nil {
		return nil, t.h.explain(ctx, err)
	}
	return rc, nil
}
