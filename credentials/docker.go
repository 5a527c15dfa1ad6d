// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"
	"oras.land/oras-go/v2/registry/remote/auth"
	orascredentials "oras.land/oras-go/v2/registry/remote/credentials"

	"ocm"
)

const (
	// MaxDockerConfigSize is the greatest size in bytes of a Docker configuration.
	MaxDockerConfigSize = 4 << 20
	// HelperTimeout bounds one call of a credential helper.
	HelperTimeout = time.Minute

	// hubServer is the name under which Docker keeps the credentials of its hub.
	hubServer = "https://index.docker.io/v1/"
)

// docker answers from a Docker configuration, which is read when it is first needed.
type docker struct {
	file     string
	inline   []byte
	implicit bool // nobody asked for this file: its faults must not stop anything
	log      *slog.Logger

	once sync.Once
	conf dockerConfig
	err  error
}

type dockerConfig struct {
	Auths       map[string]dockerAuth `json:"auths"`
	CredHelpers map[string]string     `json:"credHelpers"`
	CredsStore  string                `json:"credsStore"`
}

type dockerAuth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// newDocker reads the specification of a DockerConfig repository.
func newDocker(s ocm.Spec, o Options) (*docker, error) {
	var v struct {
		File   string      `json:"dockerConfigFile"`
		Inline ocm.RawJSON `json:"dockerConfig"`
	}
	if err := decode(s.Raw, &v); err != nil {
		return nil, err
	}
	d := &docker{file: v.File, log: o.Log}
	switch v.Inline.Kind() {
	case '"':
		var text string
		if err := decode(v.Inline, &text); err != nil {
			return nil, fmt.Errorf("dockerConfig: %w", err)
		}
		d.inline = []byte(text)
	case '{':
		d.inline = v.Inline
	case 'n', 0:
	default:
		return nil, fmt.Errorf("dockerConfig is neither text nor object: %w", ocm.ErrInvalid)
	}
	if rest, ok := strings.CutPrefix(d.file, "~"); ok && (rest == "" || strings.HasPrefix(rest, "/")) {
		d.file = filepath.Join(o.home(), rest)
	}
	if d.file == "" && len(d.inline) == 0 {
		d.file = dockerFile(o)
	}
	return d, nil
}

// dockerFile is Docker's file in its usual place; empty if there is no such place.
func dockerFile(o Options) string {
	if dir := o.getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	if home := o.home(); home != "" {
		return filepath.Join(home, ".docker", "config.json")
	}
	return ""
}

// load reads the configuration once. A file that is not there is an empty one.
func (d *docker) load() (dockerConfig, error) {
	d.once.Do(func() {
		text, where := d.inline, "inline Docker configuration"
		if d.file != "" {
			where = "Docker configuration " + d.file
			text, d.err = readBounded(d.file)
		}
		if errors.Is(d.err, fs.ErrNotExist) {
			d.log.Debug("Docker configuration is not there", "file", d.file)
			text, d.err = nil, nil
		}
		if d.err == nil && len(text) > 0 {
			// Docker does not mind the case of names in its file.
			d.err = decode(text, &d.conf, json.MatchCaseInsensitiveNames(true))
		}
		if d.err != nil {
			d.err = fmt.Errorf("%s: %w", where, d.err)
		}
	})
	return d.conf, d.err
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxDockerConfigSize+1))
	if err == nil && len(text) > MaxDockerConfigSize {
		err = fmt.Errorf("more than %d bytes: %w", MaxDockerConfigSize, ocm.ErrLimit)
	}
	return text, err
}

// Resolve implements [ocm.Credentials] for everybody who has a hostname.
func (d *docker) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	notFound := fmt.Errorf("credentials for %s in Docker configuration: %w", id, ocm.ErrNotFound)
	request := normal(id)
	if request[attrHost] == "" {
		return nil, notFound
	}
	conf, err := d.load()
	var secret ocm.Secret
	if err == nil {
		secret, err = conf.find(ctx, request)
	}
	switch {
	case err != nil && d.implicit && ctx.Err() == nil:
		d.log.Warn("Docker configuration cannot be used", "consumer", id.String(), "error", err)
		return nil, notFound
	case err != nil:
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	case len(secret) == 0:
		return nil, notFound
	}
	return secret, nil
}

// find asks the helper for the host, or else the one for all, and then the file itself.
func (c dockerConfig) find(ctx context.Context, request ocm.Identity) (ocm.Secret, error) {
	servers := serverNames(request)
	helper := c.CredsStore
	for key, h := range byServer(c.CredHelpers) {
		if slices.Contains(servers, key) {
			helper = h
		}
	}
	var failed error
	if helper != "" {
		secret, err := askHelper(ctx, helper, servers[0])
		if err == nil && len(secret) > 0 {
			return secret, nil
		}
		failed = err
	}
	auths := byServer(c.Auths)
	for _, below := range pathAndParents(request[attrPath]) {
		for _, s := range servers {
			a, ok := auths[s+below]
			if !ok {
				continue
			}
			secret, err := a.secret()
			if err != nil {
				return nil, fmt.Errorf("auths: %s: %w", s+below, err)
			}
			if len(secret) > 0 {
				return secret, nil
			}
		}
	}
	return nil, failed
}

// serverNames are the names under which a host may stand in the file.
func serverNames(request ocm.Identity) []string {
	host, port := request[attrHost], request[attrPort]
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return []string{"index.docker.io", "docker.io", "registry-1.docker.io"}
	}
	standard := portOf(ocm.Identity{}, request[attrScheme])
	switch {
	case port == "":
		return []string{host, net.JoinHostPort(host, standard)}
	case port == standard:
		return []string{net.JoinHostPort(host, port), host}
	}
	return []string{net.JoinHostPort(host, port)}
}

// byServer brings the keys of a map into the form of serverNames: Docker writes some
// with scheme and version of the interface. Of keys that become equal, the shortest wins.
func byServer[T any](m map[string]T) map[string]T {
	out := make(map[string]T, len(m))
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return len(a) - len(b) })
	for _, raw := range keys {
		key := raw
		if _, after, ok := strings.Cut(key, "://"); ok {
			key = after
		}
		key = strings.TrimRight(key, "/")
		key = strings.TrimSuffix(strings.TrimSuffix(key, "/v1"), "/v2")
		host, rest, slash := strings.Cut(key, "/")
		key = strings.ToLower(host)
		if slash {
			key += "/" + rest
		}
		if _, dup := out[key]; !dup {
			out[key] = m[raw]
		}
	}
	return out
}

// pathAndParents are "/a/b", "/a" and "": some tools keep credentials by repository.
func pathAndParents(p string) []string {
	var all []string
	for p != "" && p != "." && p != "/" {
		all = append(all, "/"+p)
		i := strings.LastIndexByte(p, '/')
		p = p[:max(i, 0)]
	}
	return append(all, "")
}

// secret translates an entry of the file.
func (a dockerAuth) secret() (ocm.Secret, error) {
	c := auth.Credential{Username: a.Username, Password: a.Password, RefreshToken: a.IdentityToken, AccessToken: a.RegistryToken}
	if a.Auth != "" {
		raw, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, ok := strings.Cut(string(raw), ":")
		if err != nil || !ok {
			return nil, fmt.Errorf("auth is not base64 of user:password: %w", ocm.ErrInvalid)
		}
		c.Username, c.Password = user, strings.TrimRight(password, "\x00")
	}
	return secretOf(c), nil
}

func secretOf(c auth.Credential) ocm.Secret {
	s := ocm.Secret{}
	for k, v := range map[string]string{"username": c.Username, "password": c.Password, "refreshToken": c.RefreshToken, "accessToken": c.AccessToken} {
		if v != "" {
			s[k] = v
		}
	}
	return s
}

// askHelper runs docker-credential-<name>. What it prints is not passed on in errors:
// nobody knows what it prints.
func askHelper(ctx context.Context, name, server string) (ocm.Secret, error) {
	program := "docker-credential-" + name
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return nil, fmt.Errorf("credential helper %q: expected a name without path, it is looked for in PATH: %w", name, ocm.ErrInvalid)
	}
	if server == "index.docker.io" {
		server = hubServer
	}
	ctx, cancel := context.WithTimeout(ctx, HelperTimeout)
	defer cancel()
	c, err := orascredentials.NewNativeStore(name).Get(ctx, server)
	var missing *exec.Error
	switch {
	case err == nil:
		return secretOf(c), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("credential helper %s: %w", program, ctx.Err())
	case errors.As(err, &missing):
		return nil, fmt.Errorf("credential helper %s: %w", program, missing.Err)
	}
	return nil, fmt.Errorf("credential helper %s failed; run it with \"get\" and %q on its standard input to see why", program, server)
}

// String hides what is inside.
func (d *docker) String() string { return "credentials of a Docker configuration" }

// GoString hides what is inside.
func (d *docker) GoString() string { return d.String() }
