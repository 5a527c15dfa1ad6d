// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"ocm"
	"ocm/web"
)

// vaultConsumer is the type of consumers that need the token of a vault.
const vaultConsumer = "HashiCorpVault"

const (
	// MaxVaultAnswer is the greatest answer of a vault in bytes.
	MaxVaultAnswer = 1 << 20
	// MaxVaultSecrets is the greatest number of secrets that are read from one folder of a vault.
	MaxVaultSecrets = 1000

	vaultMount = "secret" // where the engine is usually mounted
)

// vaultSpec is a HashiCorpVault repository.
type vaultSpec struct {
	ServerURL string   `json:"serverURL" need:"yes" about:"address of the server, such as https://vault.example.org:8200"`
	Namespace string   `json:"namespace" about:"namespace on the server"`
	MountPath string   `json:"mountPath" about:"where the engine (KV, version 2) is mounted; default: secret"`
	Path      string   `json:"path" about:"folder below it that the secrets are in"`
	Secrets   []string `json:"secrets" about:"names of the secrets in the folder; default: what the metadata of a secret in place of the folder lists, or else all that are there"`
	Propagate *bool    `json:"propagateConsumerIdentity" about:"false: answer only consumers that name a secret of it by credentialsName"`
}

func vaultKind() kind {
	return kind{ocm.Type{
		Names:  ocm.Versioned("v1alpha1", vaultConsumer, "OpenBao"),
		About:  "Secrets on a server of HashiCorp Vault or OpenBao, in an engine of key and value, version 2.",
		Fields: ocm.FieldsOf(vaultSpec{}),
		Notes: []string{
			"The custom metadata of a secret says whom it is for: consumerId holds an identity as JSON; or, if there is an entry type, all entries together are the identity.",
			"The token is that of the consumer {type: HashiCorpVault, hostname: …} (and namespace, secretEngine, pathprefix, where they matter). Its property authmeth is token (with token or tokenFile), approle (roleid, secretid) or kubernetes (role; tokenFile, default: the token that is mounted into the pod); authpath is where that method is mounted.",
			"Redirects are not followed: the token goes to this server only.",
			"What was read is kept for the rest of the run.",
		},
	}, openVault}
}

// vault answers from a server.
type vault struct {
	store *Store
	spec  vaultSpec
	at    *url.URL
	own   *bundle // how to log in, where the repository itself says it

	mu      sync.Mutex // one question at a time: the answers are kept
	client  *web.Client
	token   string
	secrets map[string]*vaultSecret
	all     []*vaultSecret // what the folder has; nil: not asked yet
}

// vaultSecret is a secret and whom it is for.
type vaultSecret struct {
	name     string
	listed   []string     // names of others, by its metadata
	id       ocm.Identity // nil: for nobody in particular
	values   ocm.Secret
	unusable error
}

func openVault(s *Store, spec ocm.Spec) (source, error) {
	v := &vault{store: s, secrets: map[string]*vaultSecret{}}
	if err := decode(spec.Raw, &v.spec); err != nil {
		return nil, err
	}
	if v.spec.ServerURL == "" {
		return nil, fmt.Errorf("serverURL is missing: %w", ocm.ErrInvalid)
	}
	at, err := url.Parse(v.spec.ServerURL)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, fmt.Errorf("serverURL: expected https://host[:port] without user and query: %w", ocm.ErrInvalid) // it is not repeated: a password may be in it
	}
	if at.Scheme == "http" && !web.IsLoopback(at.Hostname()) {
		s.log.Warn("the vault is asked without TLS, as configured: its token and secrets can be read on the way", "host", at.Host)
	}
	if v.spec.MountPath = strings.Trim(v.spec.MountPath, "/"); v.spec.MountPath == "" {
		v.spec.MountPath = vaultMount
	}
	v.spec.Path = strings.Trim(v.spec.Path, "/")
	for _, name := range append([]string{v.spec.MountPath, v.spec.Path}, v.spec.Secrets...) {
		if err := checkVaultPath(name); err != nil {
			return nil, err
		}
	}
	if len(v.spec.Secrets) > MaxVaultSecrets {
		return nil, fmt.Errorf("secrets: more than %d: %w", MaxVaultSecrets, ocm.ErrLimit)
	}
	v.at = &url.URL{Scheme: at.Scheme, Host: at.Host, Path: strings.TrimRight(at.Path, "/")}
	return v, s.confinedVault(at)
}

// checkVaultPath keeps names, some of which come from the server, below the folder they belong to.
func checkVaultPath(p string) error {
	if p != "" && path.Clean("/"+p) != "/"+strings.Trim(p, "/") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("path %.100q: expected names with / between them: %w", p, ocm.ErrInvalid)
	}
	return nil
}

// identity is the consumer that the vault itself is.
func (v *vault) identity() ocm.Identity {
	id := web.Identity(vaultConsumer, v.at)
	delete(id, attrPath)
	id["secretEngine"] = v.spec.MountPath
	for k, value := range map[string]string{"namespace": v.spec.Namespace, attrPrefix: v.spec.Path} {
		if value != "" {
			id[k] = value
		}
	}
	return normal(id)
}

// find implements source.
func (v *vault) find(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.readAll(ctx, n); err != nil {
		return nil, fmt.Errorf("%s: %w", v, err)
	}
	i := mostSpecific(len(v.all), func(i int) ocm.Identity { return v.all[i].id }, request)
	if i < 0 {
		n.add("%s: has nothing", v)
		return nil, fmt.Errorf("%s: nothing for %s: %w", v, request, ocm.ErrNotFound)
	}
	return v.take(v.all[i], n)
}

// named implements source.
func (v *vault) named(ctx context.Context, name string, n *notes) (ocm.Secret, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := checkVaultPath(name)
	var secret *vaultSecret
	if err == nil {
		secret, err = v.read(ctx, name, n)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v, err)
	}
	return v.take(secret, n)
}

func (v *vault) take(secret *vaultSecret, n *notes) (ocm.Secret, error) {
	if secret.unusable != nil {
		return nil, fmt.Errorf("%s: secret %s: %w", v, secret.name, secret.unusable)
	}
	n.has(v.String()+": secret "+secret.name, secret.values)
	return secret.values, nil
}

// readAll reads what is in the folder, and whom it is for. What is for nobody is left out.
func (v *vault) readAll(ctx context.Context, n *notes) error {
	if v.all != nil {
		return nil
	}
	listed, err := v.list(ctx, n)
	if err != nil {
		return err
	}
	all := []*vaultSecret{}
	for _, name := range listed {
		secret, err := v.read(ctx, name, n)
		if errors.Is(err, ocm.ErrNotFound) && len(v.spec.Secrets) == 0 {
			continue // deleted, and still listed
		}
		if err != nil {
			return err
		}
		if secret.id != nil {
			all = append(all, secret)
		}
	}
	v.all = all
	return nil
}

// list names the secrets in the folder.
func (v *vault) list(ctx context.Context, n *notes) ([]string, error) {
	if len(v.spec.Secrets) > 0 {
		return v.spec.Secrets, nil
	}
	if v.spec.Path != "" {
		folder, err := v.read(ctx, "", n)
		if err == nil && len(folder.listed) > 0 {
			return folder.listed, nil
		}
		if err != nil && !errors.Is(err, ocm.ErrNotFound) && !errors.Is(err, ocm.ErrDenied) {
			return nil, err
		}
	}
	raw, err := v.get(ctx, "metadata", "", url.Values{"list": {"true"}})
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := parseVaultList(raw)
	n.add("%s: lists %d secrets", v, len(list))
	return list, err
}

// read reads one secret of the folder, each once.
func (v *vault) read(ctx context.Context, name string, n *notes) (*vaultSecret, error) {
	if have, ok := v.secrets[name]; ok {
		return have, nil
	}
	if len(v.secrets) > 2*MaxVaultSecrets {
		return nil, fmt.Errorf("more than %d secrets: %w", MaxVaultSecrets, ocm.ErrLimit)
	}
	raw, err := v.get(ctx, "data", name, nil)
	if err != nil {
		return nil, err
	}
	secret, err := parseVaultSecret(raw)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", path.Join(v.spec.Path, name), err)
	}
	secret.name = path.Join(v.spec.Path, name)
	if secret.unusable != nil {
		n.add("%s: secret %s: %v", v, secret.name, secret.unusable)
	}
	v.secrets[name] = secret
	return secret, nil
}

// get asks for a secret of the folder. Where the server does not accept a token that it gave out before, it is
// asked for a new one, once.
func (v *vault) get(ctx context.Context, what, name string, query url.Values) ([]byte, error) {
	fresh, err := v.login(ctx)
	if err != nil {
		return nil, err
	}
	at := v.at.JoinPath("v1", v.spec.MountPath, what, v.spec.Path, name)
	at.RawQuery = query.Encode()
	raw, err := v.client.Read(ctx, web.Request{URL: at, NoRedirect: true}, MaxVaultAnswer)
	if !errors.Is(err, ocm.ErrDenied) || web.Status(err) == 0 { // nothing was refused, or a redirect, which says nothing about the token
		return raw, err
	}
	if _, dead := v.client.Read(ctx, web.Request{URL: v.at.JoinPath("v1", "auth", "token", "lookup-self"), NoRedirect: true}, MaxVaultAnswer); dead == nil {
		return nil, fmt.Errorf("%w; the token is good, and its policies do not let it read this", err)
	}
	v.token = ""
	if fresh {
		return nil, fmt.Errorf("%w; the server does not accept the token: it is wrong or has expired", err)
	}
	return v.get(ctx, what, name, query)
}

// connect makes the client, which adds the token to each request.
func (v *vault) connect(ctx context.Context) error {
	if v.client != nil {
		return nil
	}
	client, err := web.For(ctx, &ocm.Env{Log: v.store.log, HTTP: v.store.o.HTTP}, v.at)
	if err != nil {
		return err
	}
	client.Sign = func(req *http.Request) error {
		req.Header.Set("X-Vault-Request", "true")
		if v.spec.Namespace != "" {
			req.Header.Set("X-Vault-Namespace", v.spec.Namespace)
		}
		if v.token != "" {
			req.Header.Set("X-Vault-Token", v.token)
		}
		return nil
	}
	v.client = client
	return nil
}

// String names the server and the folder, without any secret.
func (v *vault) String() string {
	return "vault " + v.at.String() + " " + path.Join(v.spec.MountPath, v.spec.Path)
}

// GoString hides what is inside.
func (v *vault) GoString() string { return v.String() }
