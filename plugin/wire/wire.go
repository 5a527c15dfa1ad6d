// SPDX-License-Identifier: Apache-2.0

// Package wire is what host and plugin say to each other: the shapes of protocol ocm.software/plugin/v1, the same errors on both sides,
// and contents, which either side offers and the other one reads. PROTOCOL.md of package plugin tells the whole story.
//
// Both sides are HTTP servers on a unix socket. The host asks the plugin to do something; while that lasts, the plugin asks the host
// for the contents that it was offered and for credentials. A question is a POST with one JSON object, an answer is a JSON object, or the
// bytes of a content.
package wire

import (
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// Protocol names what is spoken here, in the document that a plugin prints and in the line by which it says that it serves.
const Protocol = "ocm.software/plugin/v1"

// Variables of a plugin's environment. Without the first a program was not started as a plugin.
const (
	PluginSocket = "OCM_PLUGIN_SOCKET" // where the plugin listens
	HostSocket   = "OCM_HOST_SOCKET"   // where the host listens
)

// CallHeader carries the secret of a call, which a plugin repeats in the questions that it asks on behalf of it.
const CallHeader = "Ocm-Call"

// ErrorTrailer carries an [Error] of a stream that has begun.
const ErrorTrailer = "Ocm-Error"

// Limits of what is read from the other side.
const (
	MaxAnswer       = 32 << 20 // bytes of a JSON object: a descriptor in base64 fits in
	MaxCapabilities = 1 << 20  // bytes of the document that a plugin prints
	MaxTypes        = 256      // of one plugin
	MaxContents     = 4096     // that one side keeps for the other
)

// Kinds of what a plugin can be.
const (
	AccessMethod     = "accessMethod"
	Input            = "input"
	Repository       = "repository"
	Uploader         = "uploader"
	Transformer      = "transformer"
	Signer           = "signer"
	Verifier         = "verifier"
	CredentialSource = "credentialSource"
)

// Capabilities is the document that a plugin prints when it is called with the one argument "capabilities".
type Capabilities struct {
	Protocol     string       `json:"protocol"`
	Name         string       `json:"name"`
	Version      string       `json:"version,omitempty"`
	About        string       `json:"about,omitempty"`
	OneShot      bool         `json:"oneShot,omitzero"` // it is started for each question: see [OneShotArgument]
	Capabilities []Capability `json:"capabilities"`
}

// Capability is one thing that a plugin can do, for specifications with one of the names as type.
type Capability struct {
	Kind string `json:"type"`
	ocm.Type
}

// Env is what a call may use of the host's surroundings.
type Env struct {
	Dir      string    `json:"dir,omitempty"`     // base of relative paths of inputs
	Temp     string    `json:"temp,omitempty"`    // folder for temporary files
	Time     time.Time `json:"time,omitzero"`     // what the host takes for the time; missing: the clock is right
	Durable  bool      `json:"durable,omitzero"`  // what is written waits for the disk
	Confined bool      `json:"confined,omitzero"` // what belongs to the user of this process must not be used
}

// Content is a content that one side offers. The other one reads it with Fetch.
type Content struct {
	Handle string           `json:"handle"`
	Root   ociv1.Descriptor `json:"root"` // digest "" and size -1: not known before it is read
	Name   string           `json:"name,omitempty"`
	Hint   string           `json:"hint,omitempty"`
	Alone  bool             `json:"alone,omitzero"`
	Pinned *ocm.Spec        `json:"pinned,omitempty"`
	// Partial says that entries of indexes stay behind; [Skip] asks which.
	Partial bool `json:"partial,omitzero"`
	// Can says what else can be asked about it: [CanAttached]. Missing: who offers it does not know of such questions.
	Can []string `json:"can,omitzero"`
}

// CanAttached says that [AttachedPath] is answered. Whoever knows of the question and does not say this has nothing attached.
const CanAttached = "attached"

// Questions that both sides answer.
const (
	FetchPath    = "/v1/fetch"    // Fetch: the bytes of a part of a content
	AttachedPath = "/v1/attached" // AskAttached → Attached, about what can do that: [CanAttached]
)

// Fetch asks for the bytes of a descriptor: the root of a content or something below it.
type Fetch struct {
	Handle     string           `json:"handle"`
	Descriptor ociv1.Descriptor `json:"descriptor"`
	Env        Env              `json:"env,omitzero"`
}

// AskAttached asks what is attached to a manifest of a content, or to the one of a version.
type AskAttached struct {
	Handle string        `json:"handle"`
	Digest digest.Digest `json:"digest"`
}

// Attached is what is attached to it.
type Attached struct {
	Attached []oci.Attached `json:"attached"`
}

// Questions that a host answers, besides.
const (
	ResolvePath = "/v1/resolve" // Resolve → Secret
	SkipPath    = "/v1/skip"    // Fetch → Skipped
)

// Resolve asks for the credentials of a consumer.
type Resolve struct {
	Identity ocm.Identity `json:"identity"`
}

// Secret is what was found.
type Secret struct {
	Secret ocm.Secret `json:"secret"`
}

// Skipped tells whether an entry of an index stays behind.
type Skipped struct {
	Skip bool `json:"skip"`
}

// Questions that a plugin answers.
const (
	OpenPath  = "/v1/open"  // Open → Content
	ClosePath = "/v1/close" // Close: the host needs something no longer
)

// Open asks for the content of a specification.
type Open struct {
	Kind string   `json:"kind"` // AccessMethod or Input
	Spec ocm.Spec `json:"spec"`
	Env  Env      `json:"env,omitzero"`
}

// Close names what is needed no longer. A handle that is not known is no error.
type Close struct {
	Handle string `json:"handle"`
}

// Empty is an answer that says no more than that it was done.
type Empty struct{}
