// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"fmt"
	"regexp"

	"ocm"
)

// MaxNameLength is the longest component name, in bytes. Versions are not longer, either.
const MaxNameLength = 255

var (
	componentName = regexp.MustCompile(`^[a-z][-a-z0-9]*([.][a-z][-a-z0-9]*)*[.][a-z]{2,}(/[a-z][-a-z0-9_]*([.][a-z][-a-z0-9_]*)*)+$`)
	version       = regexp.MustCompile(`^v?` + number0 + `(\.` + number0 + `)?(\.` + number0 + `)?(-` + pre + `(\.` + pre + `)*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)
	elementName   = regexp.MustCompile(`^[a-z0-9]([-_+a-z0-9]*[a-z0-9])$`)
	identityKey   = regexp.MustCompile(`^[a-z0-9]([-_+a-z0-9]*[a-z0-9])?$`)
	labelVersion  = regexp.MustCompile(`^v[0-9]+$`)
	algorithmName = regexp.MustCompile(`^[a-z][a-z0-9/_-]+$`)
)

const (
	number0 = `(0|[1-9][0-9]*)`                              // a number without leading zero
	pre     = `(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)` // one part of a pre-release
)

// CheckName says whether s can be the name of a component: a DNS domain, then at
// least one path segment, all lower case, at most [MaxNameLength] bytes. The error
// wraps [ocm.ErrInvalid].
func CheckName(s string) error {
	if len(s) > MaxNameLength {
		return fmt.Errorf("component name %.40q… has %d bytes, at most %d are accepted: %w", s, len(s), MaxNameLength, ocm.ErrInvalid)
	}
	if !componentName.MatchString(s) {
		return fmt.Errorf("component name %q: expected domain/name in lower case, such as acme.org/app: %w", s, ocm.ErrInvalid)
	}
	return nil
}

// CheckVersion says whether s is a version: semantic versioning, where a leading "v"
// is allowed and minor and patch may be missing, at most [MaxNameLength] bytes. The
// error wraps [ocm.ErrInvalid].
func CheckVersion(s string) error {
	if len(s) > MaxNameLength {
		return fmt.Errorf("version %.40q… has %d bytes, at most %d are accepted: %w", s, len(s), MaxNameLength, ocm.ErrInvalid)
	}
	if !version.MatchString(s) {
		return fmt.Errorf("version %.80q: expected a semantic version, such as 1.2.3 or v1.2: %w", s, ocm.ErrInvalid)
	}
	return nil
}
