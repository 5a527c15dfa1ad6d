// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// defaultClient is the OAuth client, and the audience of tokens, that Sigstore installations expect.
const defaultClient = "sigstore"

// maxToken is the greatest length of an identity token in bytes.
const maxToken = 64 << 10

// token finds an identity token: in the credentials, the environment, from GitHub Actions, or by asking the user.
func (m *maker) token(ctx context.Context, h Handler, s ocm.Secret, c *SigningConfig) (string, error) {
	getenv := h.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	audience := cmp.Or(c.ClientID, defaultClient)
	text, err := property(s, "token")
	from := "credentials"
	switch {
	case err != nil:
		return "", err
	case text != "":
	case getenv("SIGSTORE_ID_TOKEN") != "":
		text, from = getenv("SIGSTORE_ID_TOKEN"), "SIGSTORE_ID_TOKEN"
	case getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != "" && getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN") != "":
		text, err = m.githubToken(ctx, getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), audience)
		from = "GitHub Actions"
	case h.Interactive && m.at.issuer != "":
		text, err = m.login(ctx, h, audience)
		from = m.at.issuer
	default:
		return "", fmt.Errorf("no identity token: set token or tokenFile for the consumer %s, or the environment variable SIGSTORE_ID_TOKEN, "+
			"or an issuer for logging in with a browser: %w", SignerIdentityType, ocm.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("identity token from %s: %w", from, err)
	}
	text = strings.TrimSpace(text)
	if err := checkToken(text, m.env.Time()); err != nil {
		return "", fmt.Errorf("identity token from %s: %w", from, err)
	}
	return text, nil
}

// checkToken says early what the certificate authority would say late. It verifies nothing, and quotes nothing.
func checkToken(token string, now time.Time) error {
	claims, err := claimsOf(token)
	if err != nil {
		return err
	}
	if exp := time.Unix(int64(claims.Expires), 0); claims.Expires > 0 && !now.Before(exp) {
		return fmt.Errorf("it has expired at %s, and this machine's clock says %s: get a new one, or set the clock if it is wrong: %w",
			exp.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), ocm.ErrDenied)
	}
	return nil
}

// claims are what is read from a token, unverified.
type claims struct {
	Expires float64 `json:"exp"`
	Nonce   string  `json:"nonce"`
}

func claimsOf(token string) (c claims, err error) {
	if len(token) > maxToken {
		return c, fmt.Errorf("more than %d bytes: %w", maxToken, ocm.ErrLimit)
	}
	bad := fmt.Errorf("not a JSON web token (three parts of base64, joined by dots): %w", ocm.ErrInvalid)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, bad
	}
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") || len(raw) == 0 {
			return c, bad
		}
		if i == 1 && jsonv2.Unmarshal(raw, &c) != nil {
			return c, bad
		}
	}
	return c, nil
}

// githubToken asks the runner of GitHub Actions for a token.
func (m *maker) githubToken(ctx context.Context, address, secret, audience string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || !protected(u) {
		return "", fmt.Errorf("ACTIONS_ID_TOKEN_REQUEST_URL is not an https address: %w", ocm.ErrInvalid)
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	a, err := m.do(ctx, request{what: "token service", method: http.MethodGet, url: u.String(), token: secret}, http.StatusOK)
	if err != nil {
		return "", err
	}
	var r struct {
		Value string `json:"value"`
	}
	if err := jsonv2.Unmarshal(a.body, &r); err != nil || r.Value == "" {
		return "", fmt.Errorf("the answer holds no token: %w", ocm.ErrInvalid)
	}
	return r.Value, nil
}
