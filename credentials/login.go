// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ocm"
)

// Login keeps the credentials for a server (host[:port]) in a Docker file, or in the helper that the file names for it.
// What else is in the file stays; the file is replaced in one moment and is readable for its owner only. The secret has
// username and password. where is the place that has them now.
func Login(ctx context.Context, file, server string, secret ocm.Secret) (where string, err error) {
	user, password := secret["username"], secret["password"]
	if user == "" || password == "" || strings.Contains(user, ":") {
		return "", fmt.Errorf("expected a user name without colon, and a password: %w", ocm.ErrInvalid)
	}
	f, err := openDockerFile(ctx, file, true)
	if err != nil {
		return "", err
	}
	defer f.unlock()
	servers := serverNames(serverIdentity(server))
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	where = file
	if helper := f.conf.helper(servers); helper != "" {
		input, err := json.Marshal(helperSecret{helperServer(servers[0]), user, password})
		if err != nil {
			return "", fmt.Errorf("user name or password is no text: %w", ocm.ErrInvalid)
		}
		if _, err := runHelper(ctx, helper, "store", helperServer(servers[0]), string(input)); err != nil {
			return "", err
		}
		entry, where = map[string]string{}, "credential helper "+helperPrefix+helper // Docker keeps an empty entry, too
	}
	f.remove(servers)
	if f.auths[helperServer(servers[0])], err = json.Marshal(entry); err != nil {
		return "", fmt.Errorf("user name or password is no text: %w", ocm.ErrInvalid)
	}
	return where, f.write()
}

// Logout removes the credentials for a server from a Docker file, and from the helper that the file names for
// it. [ocm.ErrNotFound] if there are none.
func Logout(ctx context.Context, file, server string) (where string, err error) {
	f, err := openDockerFile(ctx, file, false)
	if err != nil {
		return "", err
	}
	defer f.unlock()
	servers := serverNames(serverIdentity(server))
	found, where := false, file
	if helper := f.conf.helper(servers); helper != "" {
		where = "credential helper " + helperPrefix + helper
		secret, err := askHelper(ctx, helper, servers[0])
		if err != nil {
			return "", err
		}
		if found = len(secret) > 0; found {
			if _, err := runHelper(ctx, helper, "erase", helperServer(servers[0]), helperServer(servers[0])); err != nil {
				return "", err
			}
		}
	}
	if f.remove(servers) {
		return where, f.write()
	}
	if !found {
		return "", fmt.Errorf("%s has no credentials for %s: %w", where, server, ocm.ErrNotFound)
	}
	return where, nil
}

// dockerFile is a file that is going to be changed.
type dockerFile struct {
	path    string
	conf    dockerConfig
	members map[string]ocm.RawJSON
	name    string // of the member with the credentials
	auths   map[string]ocm.RawJSON
	unlock  func() // gives the folder back to others
}

// openDockerFile reads a file; one that is not there is empty. Until unlock no other login or logout of this
// program changes it: of two at once both count. Its folder is made if that is said.
func openDockerFile(ctx context.Context, file string, makeFolder bool) (f *dockerFile, err error) {
	if file == "" {
		return nil, fmt.Errorf("there is no place for Docker's configuration: set HOME or DOCKER_CONFIG: %w", ocm.ErrInvalid)
	}
	f = &dockerFile{path: file, members: map[string]ocm.RawJSON{}, name: "auths", auths: map[string]ocm.RawJSON{}}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		f.path = target // the link is to stay
	}
	if err = f.lock(ctx, makeFolder); err == nil {
		if err = f.read(); err == nil {
			return f, nil
		}
		f.unlock()
	}
	return nil, fmt.Errorf("Docker configuration %s: %w", file, unwrapPath(err))
}

func (f *dockerFile) lock(ctx context.Context, makeFolder bool) (err error) {
	dir := filepath.Dir(f.path)
	if makeFolder {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	f.unlock, err = lockFolder(ctx, dir)
	return err
}

func (f *dockerFile) read() error {
	text, err := readBounded(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = nil, nil
	}
	if err == nil {
		f.conf, err = parseDocker(text)
	}
	if err == nil && len(text) > 0 {
		err = decode(text, &f.members)
	}
	for name := range f.members {
		if strings.EqualFold(name, "auths") {
			f.name = name
		}
	}
	if raw := f.members[f.name]; err == nil && raw.Kind() == '{' {
		err = decode(raw, &f.auths)
	}
	return err
}

// remove takes out all entries of a server, in whatever form its name is written.
func (f *dockerFile) remove(servers []string) bool {
	found := false
	for key := range f.auths {
		for server := range byServer(map[string]bool{key: true}) {
			if slices.Contains(servers, server) {
				delete(f.auths, key)
				found = true
			}
		}
	}
	return found
}

// write replaces the file.
func (f *dockerFile) write() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("Docker configuration %s: %w", f.path, unwrapPath(err))
		}
	}()
	options := []json.Options{json.Deterministic(true), jsontext.WithIndent("\t")}
	if f.members[f.name], err = json.Marshal(f.auths, options...); err != nil {
		return err
	}
	text, err := json.Marshal(f.members, options...)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".config-*.json") // for its owner only
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.path)
}
