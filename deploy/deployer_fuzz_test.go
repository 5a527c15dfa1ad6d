// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"errors"
	"testing"

	"ocm"
)

// What is kept of a revision is read again from a Secret that tenants may write.
func FuzzRevision(f *testing.F) {
	r := chartResult()
	k := &kept{Namespace: "team", Objects: r.Objects, Release: "team/app"}
	data, err := k.pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := expand(data); err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Error(err)
		}
	})
}

// Values and the paths at which they are put come from tenants.
func FuzzValues(f *testing.F) {
	f.Add("a: {b: 1}", "a.b", "x")
	f.Add("a: &x [1]\nb: *x", `a\.b.c`, "")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, text, path, value string) {
		values := map[string]any{}
		if err := readValues([]byte(text), values); err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Error(err)
		}
		if err := setText(values, path, value); err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Error(err)
		}
		merge(values, map[string]any{"a": map[string]any{"b": 2}})
	})
}
