// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"unicode"

	"ocm"
)

// CredentialsPath asks a credential source: [Credentials] → [Secret].
const CredentialsPath = "/v1/credentials"

// Limits of a secret.
const (
	MaxProperties   = 100
	MaxPropertyName = 255     // bytes
	MaxSecret       = 1 << 20 // bytes of all names and values
)

// Credentials asks for what the place that is described has for a consumer. An error of kind notFound says that it has nothing.
type Credentials struct {
	Spec     ocm.Spec     `json:"spec"`
	Identity ocm.Identity `json:"identity"`
	Env      Env          `json:"env,omitzero"`
}

// Check finds what no secret is: nothing, names that are none, and more than is accepted. No error repeats anything of it.
func (s Secret) Check() error {
	if len(s.Secret) == 0 {
		return fmt.Errorf("a secret without properties; where there is none, the answer is the error notFound: %w", ocm.ErrInvalid)
	}
	if len(s.Secret) > MaxProperties {
		return fmt.Errorf("a secret of more than %d properties: %w", MaxProperties, ocm.ErrLimit)
	}
	size := 0
	for name, value := range s.Secret {
		if name == "" || len(name) > MaxPropertyName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("a secret with a property whose name is none: %w", ocm.ErrInvalid)
		}
		if size += len(name) + len(value); size > MaxSecret {
			return fmt.Errorf("a secret of more than %d bytes: %w", MaxSecret, ocm.ErrLimit)
		}
	}
	return nil
}
