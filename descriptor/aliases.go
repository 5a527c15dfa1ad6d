// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v2"

	"ocm"
)

// CheckAliases refuses YAML whose aliases make more of it than limit bytes ([ocm.ErrLimit]). The
// parser bounds how many values aliases become, not how large these are: one long text and a few
// thousand aliases of it fill any memory. It is for files that are turned into JSON by a library;
// descriptors are bounded while they are converted. What is no YAML is left to the parser.
func CheckAliases(raw []byte, limit int) error {
	if bytes.IndexByte(raw, '*') < 0 || bytes.IndexByte(raw, '&') < 0 {
		return nil
	}
	var v any
	if yaml.Unmarshal(raw, &v) != nil {
		return nil //nolint:nilerr // what is wrong is told by the parser that reads it for real
	}
	if expanded(v, limit) < 0 {
		return fmt.Errorf("YAML: more than %d bytes with aliases expanded: %w", limit, ocm.ErrLimit)
	}
	return nil
}

// expanded returns what is left of a number of bytes after v is written; below zero it stops.
func expanded(v any, left int) int {
	left--
	switch v := v.(type) {
	case string:
		left -= len(v)
	case []any:
		for i := 0; i < len(v) && left >= 0; i++ {
			left = expanded(v[i], left)
		}
	case map[any]any:
		for k, e := range v {
			if left = expanded(e, expanded(k, left)); left < 0 {
				break
			}
		}
	}
	return left
}
