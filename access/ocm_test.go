// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"context"
	"errors"
	"testing"

	"ocm"
	"ocm/access"
)

// FuzzOCM: whatever an access says, it is refused as invalid before anything is opened, or it names a resource.
func FuzzOCM(f *testing.F) {
	f.Add([]byte(`{"type":"ocm","ocmRepository":{"type":"OCIRegistry","baseUrl":"acme.org"},"component":"acme.org/a","version":"1","resourceRef":{"resource":{"name":"x","os":"linux"},"referencePath":[{"name":"y"}]}}`))
	f.Add([]byte(`{"type":"ocm","ocmRepository":{"type":"x"},"resourceRef":{"name":"x","extraIdentity":{"os":"linux"}}}`))
	f.Add([]byte(`{"type":"ocm","resourceRef":{"resource":{"extraIdentity":7}}}`))
	opened := errors.New("opened")
	m := access.OCM(access.Components{Repository: func(context.Context, *ocm.Env, ocm.Spec) (ocm.Repository, error) { return nil, opened }})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s ocm.Spec
		if s.UnmarshalJSON(raw) != nil {
			return
		}
		if _, err := m.Open(t.Context(), &ocm.Env{Job: ocm.NewJob(1)}, s); !errors.Is(err, opened) && !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", raw, err)
		}
	})
}
