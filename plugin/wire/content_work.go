// SPDX-License-Identifier: Apache-2.0

package wire

import "ocm"

// Questions that a plugin answers about contents of the host, which it reads by [FetchPath] while it works.
const (
	UploadPath    = "/v1/upload"    // Upload → Stored
	TransformPath = "/v1/transform" // Transform → Content
)

// Upload asks to store a content of the host where the specification says.
type Upload struct {
	Content Content  `json:"content"`
	Spec    ocm.Spec `json:"spec"`
	Hint    string   `json:"hint,omitempty"` // the name that the content had in a registry
	Env     Env      `json:"env,omitzero"`
}

// Transform asks for other content that is made of a content of the host. That is offered in this call, and again, under the same
// handle, in each call that fetches what was made.
type Transform struct {
	Content Content  `json:"content"`
	Spec    ocm.Spec `json:"spec"`
	Env     Env      `json:"env,omitzero"`
}
