// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"

	"ocm"
)

// Questions on signatures, which a plugin answers.
const (
	SignPath   = "/v1/sign"   // Sign → Signed; never asked twice: whoever keeps the key may count or pay
	VerifyPath = "/v1/verify" // Verify → Verdict; that a signature is not good is an answer, and no error of the protocol
)

// Limits of what a plugin says of signatures, in bytes unless it says otherwise.
const (
	MaxSignature     = 256 << 10 // of a value, with certificates
	MaxSignatureName = 255       // of algorithm and media type
	MaxIssuer        = 1024
	MaxFindings      = 64 // how many
	MaxCheck         = 100
	MaxDetail        = 4096
)

// Sign asks for a signature over a digest. The key is that of the signature's name.
type Sign struct {
	Name   string     `json:"name"`
	Digest ocm.Digest `json:"digest"`
	Spec   ocm.Spec   `json:"spec"` // of one of the signer's types
	Env    Env        `json:"env,omitzero"`
}

// Signed is the signature that was made.
type Signed struct {
	Signature ocm.SignatureValue `json:"signature"`
}

// Verify asks whether a signature over its digest is good. Whether the digest is the right one is the host's business.
type Verify struct {
	Signature ocm.Signature `json:"signature"`
	Spec      ocm.Spec      `json:"spec,omitzero"` // null or missing: nothing is configured
	Env       Env           `json:"env,omitzero"`
}

// Verdict is what became of it. A signature is good if Verified is true, there is no error, and one finding tells the signer: nothing
// else is.
type Verdict struct {
	Verified bool      `json:"verified"`
	Findings []Finding `json:"findings,omitempty"` // what was established, also before an error
	Error    *Error    `json:"error,omitempty"`
}

// Finding is an [ocm.Finding].
type Finding struct {
	Check  string    `json:"check"`
	Detail string    `json:"detail,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}
