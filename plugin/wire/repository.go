// SPDX-License-Identifier: Apache-2.0

package wire

import (
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Questions about component repositories, which a plugin answers. A repository, a version and a draft have handles, which [Close] gives
// back. Contents of a version are read by [Fetch]; what is added to a draft the plugin fetches from the host.
const (
	RepositoryPath = "/v1/repository" // OpenRepository → OpenedRepository
	VersionPath    = "/v1/version"    // OpenVersion → Version
	VersionsPath   = "/v1/versions"   // List → Listed
	BlobPath       = "/v1/blob"       // Blob → Content
	DraftPath      = "/v1/draft"      // Begin → Draft
	AddPath        = "/v1/add"        // Add → Stored
	CommitPath     = "/v1/commit"     // Commit → Version

	ComponentsPath = "/v1/components" // List → Listed; if the repository can [CanList]
	FinishPath     = "/v1/finish"     // Finish → Empty; [CanFinish]
	ReferencePath  = "/v1/reference"  // Publish without content → Reference; [CanPublish]
	PublishPath    = "/v1/publish"    // Publish → Stored; [CanPublish]
)

// What a repository may be able to do, beyond what each can.
const (
	CanList    = "list"    // its components
	CanFinish  = "finish"  // what was committed is visible only then, or is so already
	CanPublish = "publish" // artifacts in places of their own
)

// Limits of repositories.
const (
	MaxListed   = 500_000 // versions or components in one answer
	MaxVersions = 256     // open versions that a plugin keeps: the host opens others again, by their digest
)

// OpenRepository asks for a repository.
type OpenRepository struct {
	Spec ocm.Spec `json:"spec"`
	Env  Env      `json:"env,omitzero"`
}

// OpenedRepository is one.
type OpenedRepository struct {
	Handle string   `json:"handle"`
	Name   string   `json:"name"`          // where it is, for messages; no secrets, no queries
	Can    []string `json:"can,omitempty"` // what it can do besides
}

// OpenVersion asks for a component version: ref is its version, or the digest of its manifest.
type OpenVersion struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`
	Ref        string `json:"ref"`
}

// Version is one state of a component version, which its manifest pins: what is opened by the digest of that is the same state.
type Version struct {
	Handle     string           `json:"handle"`
	Manifest   ociv1.Descriptor `json:"manifest"`
	Descriptor Document         `json:"descriptor"`
	Can        []string         `json:"can,omitzero"` // as of a [Content], about the manifest
}

// Document is a component descriptor, byte for byte as it is stored.
type Document struct {
	MediaType string `json:"mediaType"`
	Bytes     []byte `json:"bytes"` // in base64
}

// List asks for the versions of a component, or for the components of a repository.
type List struct {
	Repository string `json:"repository"`
	Name       string `json:"name,omitempty"` // of the component
}

// Listed is what there is, each once.
type Listed struct {
	Names []string `json:"names"`
}

// Blob asks for the content of an access that is relative to the repository.
type Blob struct {
	Version string   `json:"version"`
	Access  ocm.Spec `json:"access"`
}

// Begin asks for a draft of a component version. Without a base there must be no such version.
type Begin struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Base       string `json:"base,omitempty"` // handle of the version that is replaced
}

// Draft is a version that is being written. One that is gone is lost; nobody begins it again.
type Draft struct {
	Handle string `json:"handle"`
}

// Add stores a content under a draft. One that is there already need not be fetched.
type Add struct {
	Draft   string  `json:"draft"`
	Content Content `json:"content"`
	Hint    string  `json:"hint,omitempty"`
}

// Stored says where a content is now: what it is, with media type, digest and size, and what leads to it.
type Stored struct {
	Root   ociv1.Descriptor `json:"root"`
	Access ocm.Spec         `json:"access"`
}

// Commit makes the version visible, as the last thing.
type Commit struct {
	Draft      string   `json:"draft"`
	Descriptor Document `json:"descriptor"`
}

// Finish makes visible what was committed. The plugin may fetch contents that were added before and that it did not read yet.
type Finish struct {
	Repository string `json:"repository"`
}

// Publish stores an artifact under a name, path[:tag], or asks for the address that it would get.
type Publish struct {
	Repository string  `json:"repository"`
	Name       string  `json:"name"`
	Content    Content `json:"content,omitzero"`
	Overwrite  bool    `json:"overwrite,omitzero"` // the tag may lead to something else, and is moved
}

// Reference is an address.
type Reference struct {
	Reference string `json:"reference"`
}
