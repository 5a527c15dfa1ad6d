// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/descriptor"
	"ocm/oci"
)

// asker runs ocm, and returns what it prints.
type asker func(ctx context.Context, args ...string) ([]byte, error)

// entries are the names of what lies in a folder.
func entries(dir string) (map[string]bool, error) {
	list, err := os.ReadDir(dir)
	names := map[string]bool{}
	for _, e := range list {
		names[e.Name()] = true
	}
	return names, err
}

// arrived records what was carried to the site: all files in what was not there before, and in what was carried earlier. What is in archives is
// what ocm says, which reads them.
func (r *record) arrived(ctx context.Context, site string, before map[string]bool, ask asker) error {
	known := map[string]bool{}
	for _, c := range r.Carried {
		known[c.File] = true
		top, _, _ := strings.Cut(c.File, "/")
		delete(before, top)
	}
	return filepath.WalkDir(site, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == site {
			return err
		}
		name, err := filepath.Rel(site, path)
		if err != nil {
			return err
		}
		switch {
		case before[name]:
			if e.IsDir() { // the site's own
				return filepath.SkipDir
			}
			return nil
		case !e.Type().IsRegular() || known[name]:
			return nil
		}
		c := carried{File: name}
		if err := r.read(ctx, &c, path, ask); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Carried = append(r.Carried, c)
		return nil
	})
}

// read finds out about a file that was carried.
func (r *record) read(ctx context.Context, c *carried, path string, ask asker) (err error) {
	c.Bytes = size(path)
	if c.SHA256, err = hashFile(path); err != nil {
		return err
	}
	switch filepath.Ext(path) {
	case ".tar":
		return c.ask(ctx, path, ask)
	case ".pem", ".pub":
		k, err := readKey(path)
		if err == nil {
			r.Keys = append(r.Keys, k)
		}
		return err
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, err := digest.FromReader(f)
	if err != nil {
		return "", err
	}
	return d.Encoded(), nil
}

// readKey reads a public key. A private one is an error: it must never be here.
func readKey(path string) (key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key{}, err
	}
	p, _ := pem.Decode(text)
	if p == nil {
		return key{}, fmt.Errorf("no key in PEM")
	}
	public, err := x509.ParsePKIXPublicKey(p.Bytes)
	if err != nil {
		return key{}, fmt.Errorf("no public key: %w", err)
	}
	sum := sha256.Sum256(p.Bytes)
	k := key{File: filepath.Base(path), Algorithm: strings.TrimPrefix(fmt.Sprintf("%T", public), "*"), Fingerprint: hex.EncodeToString(sum[:])}
	if public, ok := public.(*rsa.PublicKey); ok {
		k.Algorithm, k.Bits = "RSA", public.N.BitLen()
	}
	return k, nil
}

// ask fills in what is in an archive: what ocm says, and what is attached to its artifacts.
func (c *carried) ask(ctx context.Context, path string, ask asker) error {
	text, err := ask(ctx, "get", "cv", path, "-o", "json")
	if err != nil {
		return err
	}
	var all []jsontext.Value
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("what ocm printed: %w", err)
	}
	store, err := ctf.Open(path)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, raw := range all {
		d, err := descriptor.Decode("", raw)
		if err != nil {
			return fmt.Errorf("what ocm printed: %w", err)
		}
		c.Components = append(c.Components, recorded(d))
		if err := c.attached(ctx, store, d); err != nil {
			return err
		}
	}
	return nil
}

// recorded is what the record tells of a component version.
func recorded(d *ocm.Descriptor) component {
	c := component{Name: d.Component.Name, Version: d.Component.Version, Provider: d.Component.Provider.Name(), Resources: []resource{}}
	for _, r := range d.Component.Resources {
		c.Resources = append(c.Resources, resource{Name: r.Name, Version: r.Version, Type: r.Type, Digest: sum(r.Digest)})
	}
	for _, r := range d.Component.References {
		c.References = append(c.References, reference{Component: r.ComponentName, Version: r.Version, Digest: sum(r.Digest)})
	}
	for _, s := range d.Signatures {
		c.Signatures = append(c.Signatures, signature{Name: s.Name, Algorithm: s.Signature.Algorithm, Digest: sum(&s.Digest)})
	}
	return c
}

// sum is a digest without the way in which content was made comparable before; empty if there is none.
func sum(d *ocm.Digest) string {
	if d == nil {
		return ""
	}
	return d.HashAlgorithm + ":" + d.Value
}

// attached lists what is attached to the artifacts of a component version. Content that is no artifact has nothing attached.
func (c *carried) attached(ctx context.Context, store *ctf.Store, d *ocm.Descriptor) error {
	lister, ok := store.Repo(oci.RepoName(d.Component.Name)).(oci.ReferrerLister)
	if !ok {
		return nil
	}
	for _, r := range d.Component.Resources {
		if !oci.IsLocal(r.Access.Type) {
			continue
		}
		local, err := oci.ParseLocal(r.Access)
		if err != nil {
			return err
		}
		for a, err := range lister.Referrers(ctx, ociv1.Descriptor{Digest: digest.Digest(local.LocalReference)}, "") {
			if err != nil {
				return err
			}
			c.Attestations = append(c.Attestations, attestation{
				Subject: d.Component.Name + " " + r.Name, Type: a.ArtifactType, Digest: a.Digest.String(), Bytes: a.Size,
			})
		}
	}
	return nil
}
