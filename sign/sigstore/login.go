// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// loginTime is how long the user may take to log in.
const loginTime = 5 * time.Minute

// callback is where the browser brings the code to.
const callback = "/auth/callback"

// provider is what is needed of an issuer's discovery document.
type provider struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
}

// login lets the user log in with a browser (authorization code with PKCE, RFC 7636 and 8252) and returns the
// identity token. Whoever else listens on this machine may see the code, but cannot use it.
func (m *maker) login(ctx context.Context, h Handler, clientID string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	p, err := m.discover(ctx)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		listener.Close()
		return "", err
	}
	// By name: public installations know their clients by it.
	back := "http://localhost:" + port + callback
	state, nonce, secret := random(), random(), random()
	challenge := sha256.Sum256([]byte(secret))
	address := p.Authorization + "?" + url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {back}, "scope": {"openid email"}, "state": {state}, "nonce": {nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	h.show(m.env, address)
	code, err := waitForCode(ctx, listener, state)
	if err != nil {
		return "", err
	}
	token, err := m.redeem(ctx, p, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "client_id": {clientID}, "code_verifier": {secret}})
	if err != nil {
		return "", err
	}
	c, err := claimsOf(token)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(nonce)) != 1 {
		return "", fmt.Errorf("the token is for another login: %w", ocm.ErrDenied)
	}
	return token, nil
}

// show brings the address to the user: by a browser if one can be opened, and in any case as text.
func (h Handler) show(env *ocm.Env, address string) {
	if h.Show != nil {
		h.Show("To sign, log in with a browser at\n" + address + "\n")
	} else {
		env.Logger().Info("to sign, log in with a browser", "address", address)
	}
	if h.Open != nil {
		if err := h.Open(address); err != nil {
			env.Logger().Warn("no browser could be opened", "error", err)
		}
	}
}

func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// discover reads the issuer's discovery document. Where it leads to is as trusted as the issuer.
func (m *maker) discover(ctx context.Context) (p provider, err error) {
	a, err := m.do(ctx, request{what: "issuer", method: http.MethodGet, url: join(m.at.issuer, "/.well-known/openid-configuration")}, http.StatusOK)
	if err != nil {
		return p, err
	}
	if err := jsonv2.Unmarshal(a.body, &p); err != nil {
		return p, fmt.Errorf("discovery document: %v: %w", err, ocm.ErrInvalid)
	}
	if strings.TrimRight(p.Issuer, "/") != strings.TrimRight(m.at.issuer, "/") {
		return p, fmt.Errorf("the discovery document is of %.200q: %w", p.Issuer, ocm.ErrInvalid)
	}
	for _, u := range []string{p.Authorization, p.Token} {
		if err := checkURL(u, true); err != nil {
			return p, fmt.Errorf("discovery document: %w", err)
		}
	}
	return p, nil
}

// waitForCode serves the address that the browser is sent to after login.
func waitForCode(ctx context.Context, listener net.Listener, state string) (string, error) {
	type result struct {
		code string
		err  error
	}
	came := make(chan result, 1)
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		// Without our state it is not our browser: any page could send a request here.
		if r.URL.Path != callback || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.NotFound(w, r)
			return
		}
		got := result{code: q.Get("code")}
		if got.code == "" {
			got.err = fmt.Errorf("the issuer refuses: %.200q: %w", strings.TrimSpace(q.Get("error")+" "+q.Get("error_description")), ocm.ErrDenied)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "You may close this window and go back to the terminal.")
		select {
		case came <- got:
		default: // the first answer counts
		}
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	defer s.Close()
	select {
	case got := <-came:
		end, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = s.Shutdown(end) // lets the browser have its answer; one that keeps its connection is cut off
		return got.code, got.err
	case <-ctx.Done():
		return "", fmt.Errorf("nobody logged in: %w", context.Cause(ctx))
	case err := <-served:
		return "", err
	}
}

// redeem changes the code into an identity token.
func (m *maker) redeem(ctx context.Context, p provider, form url.Values) (string, error) {
	a, err := m.do(ctx, request{what: "issuer", method: http.MethodPost, url: p.Token, contentType: "application/x-www-form-urlencoded", body: []byte(form.Encode())}, http.StatusOK)
	if err != nil {
		return "", err
	}
	var r struct {
		IDToken string `json:"id_token"`
	}
	if err := jsonv2.Unmarshal(a.body, &r); err != nil || r.IDToken == "" {
		return "", fmt.Errorf("the issuer's answer holds no identity token: %w", ocm.ErrInvalid)
	}
	return r.IDToken, nil
}
