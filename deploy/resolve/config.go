// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"

	"ocm"
	"ocm/config"
	"ocm/session"
)

// Formats of a [Document].
const (
	OCMConfig    = ".ocmconfig"        // a configuration
	DockerConfig = ".dockerconfigjson" // credentials, as Docker and Kubernetes write them
)

// MaxDocument and MaxDocuments bound a configuration, in bytes of one document and in their number.
const (
	MaxDocument  = 1 << 20
	MaxDocuments = 64
)

// Document is one piece of configuration; later ones win.
type Document struct {
	From   string // for messages, such as "Secret team/registry"
	Format string
	Data   []byte
}

// String hides what is inside.
func (d Document) String() string { return d.From + " " + d.Format }

// GoString hides what is inside.
func (d Document) GoString() string { return d.String() }

// Config is a configuration that was read. The zero value is an empty one.
type Config struct {
	digest string // over all documents
	config *config.Config
}

// Read reads a configuration. [ocm.ErrInvalid] names the document, and what of it is not allowed: a tenant may name no files of
// the process, no variables, no programs. [ocm.ErrLimit] beyond [MaxDocument] and [MaxDocuments].
func Read(docs []Document) (*Config, error) {
	if len(docs) > MaxDocuments {
		return nil, fmt.Errorf("%d configurations, accepted are %d: %w", len(docs), MaxDocuments, ocm.ErrLimit)
	}
	var all []*config.Config
	sum := hmac.New(sha256.New, salt())
	for _, d := range docs {
		c, err := d.read()
		if err == nil {
			err = session.Check(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", d.From, d.Format, err)
		}
		all = append(all, c)
		for _, part := range [...][]byte{[]byte(d.Format), d.Data} {
			sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			sum.Write(part)
		}
	}
	if len(docs) == 0 {
		return &Config{}, nil
	}
	merged := config.Merge(all...)
	if len(merged.Entries) > config.MaxEntries {
		return nil, fmt.Errorf("%d entries, accepted are %d: %w", len(merged.Entries), config.MaxEntries, ocm.ErrLimit)
	}
	return &Config{digest: hex.EncodeToString(sum.Sum(nil)), config: merged}, nil
}

// salt makes digests of this process its own: nobody can find out a password by computing digests of likely ones.
var salt = sync.OnceValue(func() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
})

func (d Document) read() (*config.Config, error) {
	if len(d.Data) > MaxDocument {
		return nil, fmt.Errorf("%d bytes, accepted are %d: %w", len(d.Data), MaxDocument, ocm.ErrLimit)
	}
	switch d.Format {
	case OCMConfig:
		return config.Parse(d.Data)
	case DockerConfig:
		spec, err := ocm.NewSpec(map[string]any{"type": config.CredentialsType, "repositories": []any{
			map[string]any{"repository": map[string]any{"type": "DockerConfig/v1", "dockerConfig": string(d.Data)}}}})
		return &config.Config{Entries: []ocm.Spec{spec}}, err
	}
	return nil, fmt.Errorf("expected %s or %s: %w", OCMConfig, DockerConfig, ocm.ErrInvalid)
}

// Digest is equal for equal configurations in one run of the program; it tells nothing of what is in them.
func (c *Config) Digest() string {
	if c == nil {
		return ""
	}
	return c.digest
}

// Transfer are the settings for copies, of entries of type transfer.config.ocm.software.
func (c *Config) Transfer() (recursive bool, copyResources bool, uploadAs string, err error) {
	if c == nil {
		c = &Config{}
	}
	t, err := c.config.Transfer()
	return t.Recursive, t.CopyMode == config.CopyAllResources, t.UploadType, err
}
