// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// What anybody writes into an error ends in a status as it will be read again.
func FuzzClip(f *testing.F) {
	for _, s := range []string{"", "a", "é\xff\n", strings.Repeat("€", 2000)} {
		f.Add(s, 1024)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 64 + max(n, -n)%8192
		got := clip(s, n)
		if len(got) > n || !utf8.ValidString(got) || clip(got, n) != got {
			t.Errorf("%q became %q", s, got)
		}
		raw, err := json.Marshal(got)
		var again string
		if err != nil || json.Unmarshal(raw, &again) != nil || again != got {
			t.Errorf("%q is stored as %s", got, raw)
		}
		for _, e := range failedEvents(&v1alpha1.ComponentInfo{Component: "a"}, errors.Join(errors.New(s), errors.New(s))) {
			if len(e.ID) > 256 || len(e.Name) > 256 || len(e.Error) > MaxNote {
				t.Errorf("%+v", e)
			}
		}
	})
}

func FuzzRepositorySpec(f *testing.F) {
	for _, s := range []string{"", "null", "[]", `{"type":1}`, `{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`, `{"type":"x"} {}`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, err := repositorySpec(raw)
		if err == nil && (spec.Type == "" || !json.Valid(spec.Raw)) {
			t.Errorf("%q is %+v", raw, spec)
		}
		if err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
