// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/graph"
	"ocm/inspect"
	"ocm/oci/remote"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
)

// configure reads the configuration files and completes the environment.
func (s *session) configure() error {
	files, must := s.app.global.config, true
	if len(files) == 0 {
		home, _ := os.UserHomeDir() // without one there is nothing to be found in it
		exe, _ := os.Executable()
		files, must = config.Lookup(s.app.getenv, home, filepath.Dir(exe)), false
		s.tellUnread(files)
	}
	var err error
	if s.config, err = config.Load(files, must, s.env.Log); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	folders, err := s.config.Filesystem()
	if err != nil {
		return err
	}
	if s.env.Dir == "" {
		s.env.Dir = folders.WorkingDirectory
	}
	if s.env.Temp == "" {
		s.env.Temp = folders.TempFolder
	}
	if s.resolvers, err = s.config.Resolvers(); err != nil {
		return err
	}
	secrets, err := credentials.New(s.config.Credentials(), credentials.Options{Getenv: s.app.getenv, Log: s.env.Log})
	if err != nil {
		return err
	}
	s.keys = &keyWatch{Credentials: secrets}
	s.env.Credentials = s.keys
	return nil
}

// connect makes the one HTTP transport of the run, by the configuration, and names the folder that
// helps to continue what was interrupted.
func (s *session) connect() error {
	settings, err := s.config.HTTP()
	if err != nil {
		return err
	}
	transport := remote.NewTransport(settings)
	s.env.HTTP = transport
	s.app.atExit = append(s.app.atExit, transport.CloseIdleConnections)
	for host, o := range settings.Hosts {
		if o.InsecureSkipVerify {
			s.env.Log.Warn("certificates are not verified, as configured", "host", host)
		}
	}
	if settings.Default.InsecureSkipVerify {
		s.env.Log.Warn("certificates are not verified, as configured", "host", "every other")
	}
	if folder, err := os.UserCacheDir(); err == nil && s.env.Cache == "" {
		s.env.Cache = filepath.Join(folder, "ocm")
	}
	return nil
}

// tellUnread names configuration of the current folder that is not read: it may have come with
// what is to be verified, and would bring its own keys.
func (s *session) tellUnread(files []string) {
	cwd, err := os.Getwd()
	if err != nil {
		return
	}
	for _, f := range config.InFolder(cwd) {
		if info, err := os.Stat(f); err == nil && !info.IsDir() && !slices.Contains(files, f) {
			s.env.Log.Info("configuration of the current folder is not read; name it by --config if it is yours", "file", f)
		}
	}
}

// transferDefaults takes from the configuration what no flag says.
func (s *session) transferDefaults(r *transferRequest) error {
	d, err := s.config.Transfer()
	if err != nil {
		return err
	}
	if !r.explicit.recursive {
		r.recursive = d.Recursive
	}
	if !r.explicit.copyResources {
		r.copyResources = d.CopyMode == config.CopyAllResources
	}
	if !r.explicit.uploadAs {
		r.uploadAs = d.UploadType
	}
	return nil
}

// finder looks for referenced versions: a version of the component that was named in the
// repository that was named, others where the configuration says, then in that repository too,
// then in those that --lookup names.
func (s *session) finder(own ocm.Repository, component string, lookup []repositoryName) graph.Find {
	locate := s.locator(own, component, lookup)
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		_, v, err := locate(ctx, name, version)
		return v, err
	}
}

// locator is finder for those who must know where a version was found.
func (s *session) locator(own ocm.Repository, component string, lookup []repositoryName) inspect.Locate {
	type place func() (ocm.Repository, error)
	return func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		notFound := fmt.Errorf("%s:%s: in no repository that was named or configured: %w", name, version, ocm.ErrNotFound)
		var places []place
		inOwn := func() (ocm.Repository, error) { return own, nil }
		if own != nil && name == component {
			places = append(places, inOwn)
		}
		if s.resolvers != nil {
			for _, spec := range s.resolvers.Match(name, version) {
				places = append(places, func() (ocm.Repository, error) { return s.openSpec(ctx, spec) })
			}
		}
		if own != nil && name != component {
			places = append(places, inOwn)
		}
		for _, l := range lookup {
			places = append(places, func() (ocm.Repository, error) { return s.openSource(ctx, l.typ, l.location) })
		}
		for _, open := range places {
			repo, err := open()
			var v ocm.Version
			if err == nil {
				v, err = repo.Open(ctx, name, version)
			}
			if !errors.Is(err, ocm.ErrNotFound) {
				return repo, v, err
			}
			notFound = err
		}
		return nil, nil, notFound
	}
}

// keyWatch remembers whether a key was asked for and not found, for the hint.
type keyWatch struct {
	ocm.Credentials
	missing atomic.Bool
}

func (k *keyWatch) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := k.Credentials.Resolve(ctx, id)
	if t := id["type"]; (t == rsa.IdentityType || t == pgp.IdentityType) && errors.Is(err, ocm.ErrNotFound) {
		k.missing.Store(true)
	}
	return secret, err
}

// noKey is an error of sign and verify where no key was configured.
type noKey struct{ error }

func (e noKey) Unwrap() error { return e.error }

func isNoKey(err error) bool {
	var n noKey
	return errors.As(err, &n)
}

func (s *session) keyError(err error) error {
	if err != nil && s.keys.missing.Load() {
		return noKey{err}
	}
	return err
}

// keysOfSign lays the keys of flags above the configured ones, and decides what the keys decide:
// an OpenPGP key signs with OpenPGP, and certificates become part of the signature.
func (s *session) keysOfSign(r signRequest, o *graph.SignOptions) error {
	if r.privateKey == "" {
		return nil
	}
	k := keySet{}
	private, err := k.add(r.signature, "privateKey", r.privateKey)
	if err != nil {
		return err
	}
	public := ""
	if r.publicKey != "" {
		if public, err = k.add(r.signature, "publicKey", r.publicKey); err != nil {
			return err
		}
	}
	s.keys.Credentials = credentials.Overlay(k.credentials(), s.keys.Credentials)
	switch {
	case !r.explicit && o.Spec.Type == "" && strings.Contains(private, pgpMark):
		o.Algorithm = pgp.Algorithm
	case o.Spec.Type == "" && strings.Contains(public, "-----BEGIN CERTIFICATE-----"):
		o.Spec, err = ocm.NewSpec(rsa.Config{Type: rsa.ConfigTypes[0], SignatureAlgorithm: o.Algorithm, EncodingPolicy: rsa.PEM})
	}
	return err
}

// keysOfVerify lays the public keys of flags above the configured ones; authorities and issuer
// count for both.
func (s *session) keysOfVerify(r verifyRequest) error {
	k := keySet{}
	for _, f := range r.publicKeys {
		if _, err := k.add(f.signature, "publicKey", f.path); err != nil {
			return err
		}
	}
	s.keys.Credentials = credentials.Overlay(k.credentials(), s.keys.Credentials)
	demands := ocm.Secret{}
	if r.caCert != "" {
		text, err := readKey(r.caCert)
		if err != nil {
			return err
		}
		demands["caCertPEM"] = text
	}
	if r.issuer != "" {
		demands["issuer"] = r.issuer
	}
	if len(demands) > 0 {
		s.keys.Credentials = credentials.Amend(s.keys.Credentials, credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType}, Secret: demands})
	}
	return nil
}

// keyOwner is who a key is for; an empty signature means all.
type keyOwner struct{ identity, signature string }

type keySet map[keyOwner]ocm.Secret

// maxKeyFile bounds key files, in bytes.
const maxKeyFile = 1 << 20

// pgpMark is in the text of OpenPGP keys.
const pgpMark = "-----BEGIN PGP"

// readKey reads a key file.
func readKey(path string) (string, error) {
	text, err := readFile(path, maxKeyFile)
	if err != nil {
		return "", fmt.Errorf("key file %s: %w", path, err)
	}
	return string(text), nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // who calls names the file
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ocm.ErrLimit)
	}
	return text, err
}

// add reads a key file and returns its text; what is in it tells the kind of key.
func (k keySet) add(signature, property, path string) (string, error) {
	text, err := readKey(path)
	if err != nil {
		return "", err
	}
	owner, name := keyOwner{rsa.IdentityType, signature}, property+"PEM"
	if strings.Contains(text, pgpMark) {
		owner.identity, name = pgp.IdentityType, property+"PGP"
	}
	if k[owner] == nil {
		k[owner] = ocm.Secret{}
	}
	if strings.TrimSpace(text) == "" {
		return "", fmt.Errorf("key file %s: it is empty: %w", path, ocm.ErrInvalid)
	}
	if k[owner][name] != "" {
		return "", usagef("key file %s: there is another key for the same signature; say which is for which by NAME=FILE", path)
	}
	if err := checkKey(path, property, text); err != nil {
		return "", err
	}
	k[owner][name], k[owner][name+"File"] = text, path // the file is for messages: it may be a pipe
	return text, nil
}

// checkKey finds a file early that cannot be what it was given for. An OpenPGP key that is
// private has the public one in it.
func checkKey(path, property, text string) error {
	private := strings.Contains(text, "PRIVATE KEY")
	public := strings.Contains(text, "PUBLIC KEY") || strings.Contains(text, "CERTIFICATE")
	switch {
	case property == "privateKey" && private, property == "publicKey" && (public || strings.Contains(text, pgpMark)):
		return nil
	case property == "privateKey" && public:
		return withHint(fmt.Errorf("key file %s: expected a private key, found a public one: %w", path, ocm.ErrInvalid), "give the private key that belongs to it")
	case property == "privateKey":
		return withHint(fmt.Errorf("key file %s: no private key in it: %w", path, ocm.ErrInvalid), "\"ocm create rsakeypair\" makes a pair of keys")
	case private:
		return withHint(fmt.Errorf("key file %s: expected a public key, found a private one: %w", path, ocm.ErrInvalid), "give the public key, which \"ocm create rsakeypair\" wrote beside it")
	}
	return withHint(fmt.Errorf("key file %s: no public key in it: %w", path, ocm.ErrInvalid), "give the public key of the signer")
}

func (k keySet) credentials() ocm.Credentials {
	var entries []credentials.Entry
	for owner, secret := range k {
		id := ocm.Identity{"type": owner.identity}
		if owner.signature != "" {
			id["signature"] = owner.signature
		}
		entries = append(entries, credentials.Entry{Identity: id, Secret: secret})
	}
	return credentials.Static(entries...)
}

// readSpec reads a typed specification from a YAML or JSON file.
func readSpec(path string) (ocm.Spec, error) {
	var spec ocm.Spec
	text, err := readFile(path, config.MaxFileSize)
	if err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return spec, fmt.Errorf("%s: %v: %w", path, err, ocm.ErrInvalid)
	}
	if err := spec.UnmarshalJSON(raw); err != nil {
		return spec, fmt.Errorf("%s: %v: %w", path, err, ocm.ErrInvalid)
	}
	return spec, nil
}
