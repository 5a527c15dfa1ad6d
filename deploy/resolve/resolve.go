// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"io"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/graph"
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

// Config is a configuration that was read.
type Config struct {
	digest string // over all documents
}

// Read reads a configuration. [ocm.ErrInvalid] names the document, and what of it is not allowed: a tenant may name no files of
// the process, no variables, no programs.
func Read(docs []Document) (*Config, error) { return &Config{}, errors.ErrUnsupported }

// Digest is equal for equal configurations; it tells nothing of what is in them.
func (c *Config) Digest() string { return c.digest }

// Transfer are the settings for copies, of entries of type transfer.config.ocm.software.
func (c *Config) Transfer() (recursive bool, copyResources bool, uploadAs string, err error) {
	return false, false, "", errors.ErrUnsupported
}

// Options of a [Resolver].
type Options struct {
	Kit *ocm.Kit // nil: all that is compiled in
	Env *ocm.Env // Log, Temp, Cache, Timeout, Now count; nil: defaults
	// Archives is the folder below which repositories may be archives; empty: they must not be.
	Archives string
	// Parallel is how much one question may do at once; default 4.
	Parallel int
}

// Resolver answers questions. It may be used concurrently; connections are shared by those with equal configurations.
type Resolver struct{}

// New returns a resolver.
func New(o Options) *Resolver { return &Resolver{} }

// Close closes connections.
func (r *Resolver) Close() error { return nil }

// Place is a repository as seen with a configuration.
type Place struct {
	Repository ocm.Spec
	Config     *Config
}

// Key is equal for equal places.
func (p Place) Key() string { return "" }

// Lane names the host, or the archive, that answers for the place.
func (p Place) Lane() string { return "" }

// Ping makes sure that a place answers. [ocm.ErrInvalid] if it is specified wrongly, [ocm.ErrDenied] if it knows us not.
func (r *Resolver) Ping(ctx context.Context, p Place) error { return errors.ErrUnsupported }

// Wish says which version is wanted.
type Wish struct {
	Component string
	Semver    string // a version, taken as it is, or a constraint
	Filter    string // a regular expression that must be found in versions; for constraints
	Current   string // the version that counts now; empty: none
	Downgrade bool   // whether an older one may follow it
}

// ErrDowngrade says that the version that is wanted is older than the one that counts.
var ErrDowngrade = errors.New("downgrade is not allowed")

// Select chooses a version. [ocm.ErrNotFound] lists what there is, [ocm.ErrInvalid] names the field of the wish; [ErrDowngrade].
func (r *Resolver) Select(ctx context.Context, p Place, w Wish) (string, error) {
	return "", errors.ErrUnsupported
}

// Demand is a signature that must be there and good.
type Demand struct {
	Signature   string
	Key         []byte // PEM or armored OpenPGP; empty with Sigstore
	CA, TSA     []byte // PEM
	Issuer      string
	Fingerprint string
	Sigstore    *Sigstore
}

// Sigstore says who must have signed; see [ocm/sign/sigstore].
type Sigstore struct {
	TrustedRoot                                    []byte
	Identity, IdentityRegexp, Issuer, IssuerRegexp string
	PrivateInfrastructure                          bool
}

// Question asks for a component version.
type Question struct {
	Component, Version string
	// Digest of the normalised descriptor that must be found, as it stands in an [Answer]; nil: any.
	Digest  *ocm.Digest
	Demands []Demand // all must be met; none: the version is not verified
	Content bool     // read the content of the whole graph, too
}

// Key is equal for equal questions.
func (q Question) Key() string { return "" }

// Answer is a component version that was loaded with all that it references. It stays what it is.
type Answer struct {
	Component, Version string
	Digest             ocm.Digest // of the normalised descriptor
	Verified           bool
	Signers            []Signer
	Time               time.Time // of the verification
	Report             *graph.Report
}

// Signer is who made a signature that is good.
type Signer struct{ Signature, Algorithm, Name string }

// Size is about how many bytes the answer takes.
func (a *Answer) Size() int64 { return 0 }

// Version loads a component version and everything that it references, and verifies it. Digests of references are compared in any case.
// [ocm.ErrSignature] if a demand is not met or cannot be judged, [ocm.ErrDigest] if something is not what it should be.
func (r *Resolver) Version(ctx context.Context, p Place, q Question) (*Answer, error) {
	return nil, errors.ErrUnsupported
}

// Resource is a resource of a version below an answer.
type Resource struct {
	ocm.Resource
	Component, Version string     // that has it
	Digest             ocm.Digest // of that version's normalised descriptor
	Repository         ocm.Spec   // in which that version is
	// Artifact describes the content if it is an OCI artifact, pullable from where it is; nil if it is not.
	Artifact *ociv1.Descriptor
}

// Resource finds a resource by a path of references and an identity, each a part of what is to be found that must fit exactly one.
// [ocm.ErrNotFound] and [ocm.ErrInvalid] name the element of the path, and what there is.
func (a *Answer) Resource(ctx context.Context, path []ocm.Identity, id ocm.Identity) (*Resource, error) {
	return nil, errors.ErrUnsupported
}

// Check compares the content of a resource with its digest: all bytes of a blob; of an OCI artifact the manifest with the digest by which it is
// pulled. A resource without a digest is [ocm.ErrDigest].
func (r *Resource) Check(ctx context.Context) error { return errors.ErrUnsupported }

// Open opens the content, of at most limit bytes ([ocm.ErrLimit]), of which nothing is delivered that has not the digest: blobs as they
// are, charts in OCI artifacts as their archive. mediaType is that of what is delivered.
func (r *Resource) Open(ctx context.Context, limit int64) (content io.ReadCloser, mediaType string, err error) {
	return nil, "", errors.ErrUnsupported
}

// Copy is a transfer of a component version.
type Copy struct {
	Source   Place
	Question Question
	Target   Place
	// Recursive, CopyResources and UploadAs are those of a transfer.
	Recursive, CopyResources bool
	UploadAs                 string
	Report                   func(ocm.Event)
}

// Key is equal for equal copies.
func (c Copy) Key() string { return "" }

// Copied tells what a copy did.
type Copied struct {
	Version string
	Digest  ocm.Digest
	// Versions, and bytes moved and found.
	Versions, Moved, Found int64
}

// Copy copies, with what is attached to images. What was moved before it was interrupted is not moved again.
func (r *Resolver) Copy(ctx context.Context, c Copy) (*Copied, error) {
	return nil, errors.ErrUnsupported
}
