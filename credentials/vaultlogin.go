// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/web"
)

// podToken is where Kubernetes mounts the token of a pod's service account.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// login makes sure that there is a token; fresh if it was got just now.
func (v *vault) login(ctx context.Context) (fresh bool, err error) {
	if err := v.connect(ctx); err != nil || v.token != "" {
		return false, err
	}
	own, err := v.ownSecret(ctx)
	if err != nil {
		return false, err
	}
	if err := v.store.confinedLogin(own); err != nil {
		return false, fmt.Errorf("login: %w", err)
	}
	method := vaultMethod(own)
	switch method {
	case "token":
		v.token, err = fromFile(own, "token", "")
	case "approle":
		v.token, err = v.exchange(ctx, own, method, map[string]string{"role_id": own["roleid"], "secret_id": own["secretid"]})
	case vaultKubernetes:
		var jwt string
		if jwt, err = fromFile(own, "jwt", v.store.tokenFile(own)); err == nil {
			v.token, err = v.exchange(ctx, own, method, map[string]string{"role": own["role"], "jwt": jwt})
		}
	default:
		err = fmt.Errorf("authmeth %.50q: expected token, approle or kubernetes: %w", method, ocm.ErrInvalid)
	}
	if err == nil && strings.ContainsFunc(v.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		v.token, err = "", fmt.Errorf("the token has characters that no token has: %w", ocm.ErrInvalid)
	}
	if err != nil {
		return false, fmt.Errorf("login: %w", err)
	}
	return true, nil
}

// vaultKubernetes is the way to log in with the token of a service account.
const vaultKubernetes = "kubernetes"

// vaultMethod is the way to log in.
func vaultMethod(own ocm.Secret) string {
	switch {
	case own["authmeth"] != "":
		return own["authmeth"]
	case own["token"] == "" && own["tokenFile"] == "" && own["role"] != "":
		return vaultKubernetes
	}
	return "token"
}

// ownSecret is how to log in: what the repository says, or a consumer, or variables. Vaults are not asked for each other
// here, unless a consumer says so: that could go round in circles.
func (v *vault) ownSecret(ctx context.Context) (ocm.Secret, error) {
	if v.own != nil {
		return v.own.secret(ctx, v.identity(), nil)
	}
	id := v.identity()
	if c := v.store.best(id); c != nil {
		secret, err := c.secret(ctx, id, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, promised(err))
		}
		return secret, nil
	}
	for _, r := range v.store.repositories {
		e, ok := r.(*environment)
		if !ok {
			continue
		}
		if secret, err := e.find(ctx, id, nil); err == nil || !errors.Is(err, ocm.ErrNotFound) {
			return secret, err
		}
	}
	return nil, fmt.Errorf("no credentials are configured for the consumer {type: %s, hostname: %s}, which needs a token: %w", vaultConsumer, v.at.Hostname(), ocm.ErrDenied)
}

// tokenFile is the file of the token that Kubernetes gave to a pod.
func (s *Store) tokenFile(own ocm.Secret) string {
	if f := own["tokenFile"]; f != "" {
		return f
	}
	return podToken
}

// fromFile is a property, or the content of the file that the property with File at its end names.
func fromFile(own ocm.Secret, name, file string) (string, error) {
	if own[name] != "" {
		return own[name], nil
	}
	if file == "" {
		file = own[name+"File"]
	}
	if file == "" {
		return "", fmt.Errorf("property %s is missing: %w", name, ocm.ErrInvalid)
	}
	raw, err := readBounded(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, unwrapPath(err))
	}
	if text := strings.TrimSpace(string(raw)); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("%s is empty: %w", file, ocm.ErrInvalid)
}

// exchange gets a token for other credentials.
func (v *vault) exchange(ctx context.Context, own ocm.Secret, method string, what map[string]string) (string, error) {
	for _, value := range what {
		if value == "" {
			return "", fmt.Errorf("authmeth %s: expected role (kubernetes), or roleid and secretid (approle): %w", method, ocm.ErrInvalid)
		}
	}
	mount := strings.Trim(own["authpath"], "/")
	if mount == "" {
		mount = method
	}
	if err := checkVaultPath(mount); err != nil {
		return "", fmt.Errorf("authpath: %w", err)
	}
	body, err := json.Marshal(what)
	if err != nil {
		return "", fmt.Errorf("authmeth %s: %w", method, ocm.ErrInvalid)
	}
	raw, err := v.client.Read(ctx, web.Request{
		URL: v.at.JoinPath("v1", "auth", mount, "login"), Method: http.MethodPost,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body, NoRedirect: true,
	}, MaxVaultAnswer)
	if err != nil {
		return "", err
	}
	return parseVaultLogin(raw)
}
