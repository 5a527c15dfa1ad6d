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
	"path/filepath"
	"slices"
	"strings"
	"sync"

	json "github.com/go-json-experiment/json"

	"ocm"
)

const (
	// MaxDockerConfigSize is the greatest size in bytes of a Docker configuration.
	MaxDockerConfigSize = 4 << 20

	// hubServer is the name under which Docker keeps the credentials of its hub.
	hubServer = "https://index.docker.io/v1/"
	hubHost   = "index.docker.io"
)

// dockerSpec is a DockerConfig repository.
type dockerSpec struct {
	File      string      `json:"dockerConfigFile" about:"a file of Docker or Podman; ~ is the home folder"`
	Inline    ocm.RawJSON `json:"dockerConfig" about:"the content of such a file, as text or as object"`
	Propagate *bool       `json:"propagateConsumerIdentity" about:"false: answer only consumers that name a server of it by credentialsName"`
}

func dockerKind() kind {
	return kind{ocm.Type{
		Names:  ocm.Versioned("v1", "DockerConfig"),
		About:  "A file in which Docker or Podman keeps credentials, with its credential helpers and stores.",
		Fields: ocm.FieldsOf(dockerSpec{}),
		Notes: []string{
			"Without file and content these are asked in turn: $REGISTRY_AUTH_FILE, Docker's file ($DOCKER_CONFIG/config.json or ~/.docker/config.json), and Podman's ($XDG_RUNTIME_DIR/containers/auth.json, then containers/auth.json in $XDG_CONFIG_HOME or ~/.config).",
			"Every consumer with a hostname is answered.",
			"A file that is not there is as good as an empty one.",
		},
	}, openDocker}
}

// docker answers from a Docker configuration, which is read when it is first needed.
type docker struct {
	file     string
	inline   []byte
	where    string // of inline
	implicit bool   // nobody asked for this file: its faults must not stop anything
	passive  bool   // it came from elsewhere and must not choose programs: no helper is run
	log      *slog.Logger
	helpers  answers

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

// openDocker reads the specification of a DockerConfig repository.
func openDocker(s *Store, spec ocm.Spec) (source, error) {
	var v dockerSpec
	if err := decode(spec.Raw, &v); err != nil {
		return nil, err
	}
	d := &docker{file: s.o.path(v.File), where: "inline Docker configuration", log: s.log}
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
	if s.o.Confined {
		return d, d.confined()
	}
	if d.file == "" && len(d.inline) == 0 {
		return usualDocker(s.o, false), nil
	}
	return d, nil
}

// path puts the home folder in the place of ~.
func (o Options) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || strings.HasPrefix(rest, "/")) {
		return filepath.Join(o.home(), rest)
	}
	return p
}

// DockerFile is the file that "docker login" writes; empty if there is no place for it. $REGISTRY_AUTH_FILE, which
// Podman and its relatives know, comes first.
func DockerFile(o Options) string {
	if file := o.getenv("REGISTRY_AUTH_FILE"); file != "" {
		return file
	}
	if dir := o.getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	return inFolder(o.home(), ".docker", "config.json")
}

// inFolder joins a path below a folder that may be unknown.
func inFolder(dir string, below ...string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(append([]string{dir}, below...)...)
}

// usualDocker are the files in their usual places. Docker's comes before Podman's because that is what "ocm login" and
// "docker login" write: who has just logged in is not to meet an older password.
func usualDocker(o Options, implicit bool) *several {
	config := o.getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = inFolder(o.home(), ".config")
	}
	files := []string{o.getenv("REGISTRY_AUTH_FILE")}
	if dir := o.getenv("DOCKER_CONFIG"); dir != "" {
		files = append(files, filepath.Join(dir, "config.json"))
	} else {
		files = append(files, inFolder(o.home(), ".docker", "config.json"))
	}
	files = append(files, inFolder(o.getenv("XDG_RUNTIME_DIR"), "containers", "auth.json"), inFolder(config, "containers", "auth.json"))
	all := &several{}
	for i, f := range files {
		if f != "" && !slices.Contains(files[:i], f) {
			all.list = append(all.list, &docker{file: f, implicit: implicit, log: o.Log})
		}
	}
	return all
}

// load reads the configuration once. A file that is not there is an empty one.
func (d *docker) load() (dockerConfig, error) {
	d.once.Do(func() {
		text := d.inline
		if d.file != "" {
			text, d.err = readBounded(d.file)
		}
		if errors.Is(d.err, fs.ErrNotExist) {
			d.log.Debug("Docker configuration is not there", "file", d.file)
			text, d.err = nil, nil
		}
		if d.err == nil {
			d.conf, d.err = parseDocker(text)
		}
		if d.err != nil {
			d.err = fmt.Errorf("%s: %w", d, d.err)
		}
	})
	return d.conf, d.err
}

// parseDocker reads the text of a file; an empty one says nothing. Docker does not mind the case of names.
func parseDocker(text []byte) (conf dockerConfig, err error) {
	if len(text) > MaxDockerConfigSize {
		return conf, fmt.Errorf("more than %d bytes: %w", MaxDockerConfigSize, ocm.ErrLimit)
	}
	if len(text) > 0 {
		err = decode(text, &conf, json.MatchCaseInsensitiveNames(true))
	}
	return conf, err
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

// find implements source for everybody who has a hostname.
func (d *docker) find(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	nothing := fmt.Errorf("%s has no credentials for %s: %w", d, request, ocm.ErrNotFound)
	if request[attrHost] == "" {
		return nil, nothing
	}
	conf, err := d.load()
	var secret ocm.Secret
	if err == nil {
		if secret, err = d.search(ctx, conf, request, n); err != nil {
			err = fmt.Errorf("%s: %w", d, err)
		}
	}
	switch {
	case err != nil && d.implicit && ctx.Err() == nil:
		d.log.Warn("Docker configuration cannot be used", "consumer", request.String(), "error", err)
		n.add("%s: %v", d, err)
		return nil, nothing
	case err != nil:
		return nil, err
	case len(secret) == 0:
		n.add("%s: has nothing", d)
		return nil, nothing
	}
	n.has(d.String(), secret)
	return secret, nil
}

// named returns the credentials for a server: host[:port][/path].
func (d *docker) named(ctx context.Context, name string, n *notes) (ocm.Secret, error) {
	return d.find(ctx, serverIdentity(name), n)
}

// serverIdentity is the consumer for a server as it stands in Docker's file.
func serverIdentity(server string) ocm.Identity {
	for key := range byServer(map[string]bool{server: true}) {
		server = key
	}
	host, path, _ := strings.Cut(server, "/")
	id := ocm.Identity{attrType: "OCIRegistry", attrHost: strings.Trim(host, "[]"), attrPath: path}
	if name, port, err := net.SplitHostPort(host); err == nil {
		id[attrHost], id[attrPort] = name, port
	}
	return normal(id)
}

// search asks the helper for the host, or else the one for all, and then the file itself.
func (d *docker) search(ctx context.Context, c dockerConfig, request ocm.Identity, n *notes) (ocm.Secret, error) {
	servers := serverNames(request)
	helper := c.helper(servers)
	var failed error
	if helper != "" {
		if d.passive {
			return nil, fmt.Errorf("it names the credential helper %.100q; no program is run because a secret says so: %w", helper, ocm.ErrDenied)
		}
		secret, err := d.helpers.get(ctx, helper+" "+servers[0], HelperTimeout, func(ctx context.Context) (ocm.Secret, error) {
			return askHelper(ctx, helper, servers[0])
		})
		if err == nil && len(secret) > 0 {
			n.add("credential helper docker-credential-%s: has %s", helper, names(secret))
			return secret, nil
		}
		failed = err
		if err == nil {
			n.add("credential helper docker-credential-%s: has nothing", helper)
		}
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

// helper is the program that keeps the credentials of a server, without its prefix; empty if that is the file itself.
func (c dockerConfig) helper(servers []string) string {
	for key, h := range byServer(c.CredHelpers) {
		if slices.Contains(servers, key) {
			return h
		}
	}
	return c.CredsStore
}

// serverNames are the names under which a host may stand in the file.
func serverNames(request ocm.Identity) []string {
	host, port := request[attrHost], request[attrPort]
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return []string{hubHost, "docker.io", "registry-1.docker.io"}
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
	if leadsAway(p) {
		p = ""
	}
	for p != "" && p != "." && p != "/" {
		all = append(all, "/"+p)
		i := strings.LastIndexByte(p, '/')
		p = p[:max(i, 0)]
	}
	return append(all, "")
}

// secret translates an entry of the file.
func (a dockerAuth) secret() (ocm.Secret, error) {
	user, password := a.Username, a.Password
	if a.Auth != "" {
		raw, err := base64.StdEncoding.DecodeString(a.Auth)
		var ok bool
		user, password, ok = strings.Cut(string(raw), ":")
		if err != nil || !ok {
			return nil, fmt.Errorf("auth is not base64 of user:password: %w", ocm.ErrInvalid)
		}
		password = strings.TrimRight(password, "\x00")
	}
	return filled(ocm.Secret{"username": user, "password": password, "refreshToken": a.IdentityToken, "accessToken": a.RegistryToken}), nil
}

// filled leaves out what is empty.
func filled(s ocm.Secret) ocm.Secret {
	maps.DeleteFunc(s, func(_, v string) bool { return v == "" })
	return s
}

// String names the file.
func (d *docker) String() string {
	if d.file != "" {
		return "Docker configuration " + d.file
	}
	return d.where
}

// GoString hides what is inside.
func (d *docker) GoString() string { return d.String() }

// several are asked in turn.
type several struct{ list []*docker }

// find implements source.
func (all *several) find(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	for _, d := range all.list {
		secret, err := d.find(ctx, request, n)
		if !errors.Is(err, ocm.ErrNotFound) {
			return secret, err
		}
	}
	return nil, fmt.Errorf("%s: no credentials for %s: %w", all, request, ocm.ErrNotFound)
}

// named implements source.
func (all *several) named(ctx context.Context, name string, n *notes) (ocm.Secret, error) {
	return all.find(ctx, serverIdentity(name), n)
}

// String names the files.
func (all *several) String() string {
	var files []string
	for _, d := range all.list {
		files = append(files, d.String())
	}
	return strings.Join(files, ", ")
}

// GoString hides what is inside.
func (all *several) GoString() string { return all.String() }
