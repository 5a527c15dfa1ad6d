// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"time"

	"ocm"
)

// Foreign takes a PEM value that a signing server, say, made over d with an RSA key, and returns what was checked
// of it; see [cert.Family.Foreign].
func Foreign(algorithm, value string, d ocm.Digest, now time.Time) (ocm.SignatureValue, error) {
	return family().Foreign(algorithm, value, d, now)
}
