// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// What a plugin pins is written into descriptors in place of the access: it may lead elsewhere by that type only, and not to a file or an
// address of a type that nobody has chosen.
func TestPinnedByAnotherType(t *testing.T) {
	t.Parallel()
	offered := source(true)
	for pinned, bad := range map[string]bool{`{"type":"mine/v1","at":"1"}`: false, `{"type":"file","path":"/etc/passwd"}`: true, `{"at":"1"}`: true, `{"type":"mine/v1\u001b"}`: true} {
		p := &answers{text: `{"handle":"h","root":{"mediaType":"text/plain","digest":"","size":-1},"pinned":` + pinned + `}`, offered: &offered}
		_, err := proxy.Opener(p, wire.AccessMethod).Open(t.Context(), nil, ocm.Spec{Type: "mine/v1"})
		if bad {
			fixture.WantErr(t, err, ocm.ErrInvalid, "it pins an access")
		} else if err != nil {
			t.Errorf("%s: %v", pinned, err)
		}
	}
}
