// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/web"
)

// maxToken bounds the answer of a token service, in bytes.
const maxToken = 128 << 10

// credential is the registry's secret in the form that the protocol uses.
type credential struct {
	user, password string
	access         string // sent to the registry as it is
	refresh        string // exchanged for a token at the token service
}

func (c credential) anonymous() bool { return c == credential{} }

// credential asks the environment once; only a definite answer is remembered.
func (s *session) credential(ctx context.Context) (credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked {
		return s.cred, nil
	}
	secret, err := s.env.Resolve(ctx, s.id)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		s.asked = true
		return s.cred, nil
	case err != nil:
		return credential{}, &failure{text: "credentials for registry " + s.name, cause: err}
	}
	c := credential{secret["username"], secret["password"], secret["accessToken"], secret["refreshToken"]}
	if c.refresh == "" {
		c.refresh = secret["identityToken"]
	}
	if c.anonymous() {
		return c, &failure{text: "credentials for registry " + s.name + ": expected username and password, accessToken, refreshToken or identityToken, found none of them", cause: ocm.ErrInvalid}
	}
	s.cred, s.asked = c, true
	return c, nil
}

// basic is the value of an Authorization header for a Basic challenge, without its first word.
func (c credential) basic() (string, error) {
	if c.user == "" || c.password == "" {
		return "", fmt.Errorf("the registry demands user name and password, and the credentials do not have both: %w", ocm.ErrDenied)
	}
	return base64.StdEncoding.EncodeToString([]byte(c.user + ":" + c.password)), nil
}

// token gets a bearer token for the scopes from the token service that the registry names.
func (s *session) token(ctx context.Context, ch challenge, scopes []string) (string, error) {
	cred, err := s.credential(ctx)
	if err != nil {
		return "", err
	}
	if cred.access != "" {
		return cred.access, nil
	}
	realm, err := s.tokenService(ch.params["realm"], !cred.anonymous())
	if err != nil {
		return "", &failure{text: "registry " + s.name, cause: err}
	}
	req, err := tokenRequest(ctx, realm, cred, ch.params["service"], scopes)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", UserAgent)
	resp, err := s.http.Do(req)
	if err != nil {
		return "", s.unreachable(req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", s.refusal(req, resp, !cred.anonymous())
	}
	return readToken(realm.Host, resp.Body)
}

// tokenRequest is the GET of the distribution's token specification, or with a refresh token
// the POST of its OAuth 2 variant.
func tokenRequest(ctx context.Context, realm *url.URL, cred credential, service string, scopes []string) (*http.Request, error) {
	if cred.refresh != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {cred.refresh},
			"service": {service}, "client_id": {"ocm"}, "scope": {strings.Join(scopes, " ")},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	at := *realm
	q := at.Query()
	if service != "" {
		q.Set("service", service)
	}
	for _, scope := range scopes {
		q.Add("scope", scope)
	}
	at.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err == nil && !cred.anonymous() {
		req.SetBasicAuth(cred.user, cred.password)
	}
	return req, err
}

func readToken(host string, body io.Reader) (string, error) {
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxToken+1))
	switch {
	case err != nil:
	case len(raw) > maxToken:
		err = ocm.ErrLimit
	case jsonv2.Unmarshal(raw, &answer) != nil || answer.Token == "" && answer.AccessToken == "":
		err = ocm.ErrInvalid // its text is not repeated: there may be a token in it
	}
	if err != nil {
		return "", &failure{text: "token service " + host + ": expected a JSON object with a token", cause: err}
	}
	if answer.AccessToken != "" {
		return answer.AccessToken, nil
	}
	return answer.Token, nil
}

// tokenService decides whether the address that a registry names as its token service is used.
//
// Whoever can write the registry's answer chooses the address, so a secret goes there only if
// it is on the registry's own host, or speaks https and is of the same domain (auth.docker.io
// for registry-1.docker.io, gitlab.example.org for registry.example.org, example.org for
// registry.example.org), or is listed in [Options.TokenHosts]. Everything else is an error, not
// an anonymous try. A registry with https must name a service with https.
func (s *session) tokenService(realm string, secret bool) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("its token service is no http address: %w", ocm.ErrInvalid)
	}
	if s.origin.Scheme == "https" && u.Scheme != "https" {
		return nil, fmt.Errorf("it speaks https, its token service %s does not: %w", u.Host, ocm.ErrDenied)
	}
	if err := web.CheckAddress(s.origin, u); err != nil {
		return nil, fmt.Errorf("token service: %w", err)
	}
	host, own := strings.ToLower(u.Hostname()), strings.ToLower(s.origin.Hostname())
	trusted := host == own || u.Scheme == "https" && (sameDomain(host, own) || slices.Contains(s.tokenHosts, host))
	if secret && !trusted {
		return nil, fmt.Errorf("it sends us to the token service %s, which is of another domain; the credentials are not sent there, it has to be allowed as a token host: %w", u.Host, ocm.ErrDenied)
	}
	return u, nil
}

// sharedDomains are domains below which, at any depth, strangers get names of their own. The list is not
// complete; it holds where registries are likely to be found.
var sharedDomains = []string{
	"amazonaws.com", "appspot.com", "azurecr.cn", "azurecr.io", "azurewebsites.net", "cloudapp.azure.com", "cloudapp.net", "cloudfront.net", "fly.dev",
	"github.io", "gitlab.io", "googleusercontent.com", "herokuapp.com", "jfrog.io", "netlify.app", "ngrok.app", "ngrok.io", "onrender.com",
	"pages.dev", "run.app", "vercel.app", "workers.dev",
}

// countryGroups are second levels that belong to a country's registration office, as in co.uk.
var countryGroups = []string{"ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org", "plc", "sch"}

// sameDomain reports whether two hosts are neighbours in one domain, or one is the other's parent.
func sameDomain(a, b string) bool {
	pa, pb := parentDomain(a), parentDomain(b)
	return pa != "" && pa == pb || pa != "" && pa == b || pb != "" && pb == a
}

// parentDomain is the name without its first label, if that is a domain somebody owns; else "".
func parentDomain(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	_, parent, _ := strings.Cut(strings.TrimSuffix(host, "."), ".")
	labels := strings.Split(parent, ".")
	switch {
	case len(labels) < 2 || slices.ContainsFunc(sharedDomains, func(d string) bool { return parent == d || strings.HasSuffix(parent, "."+d) }):
		return ""
	case len(labels) == 2 && len(labels[1]) == 2 && slices.Contains(countryGroups, labels[0]):
		return ""
	}
	return parent
}
