// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"errors"
	"testing"
)

// A member of the wrong kind is named, in the words of the description of types.
func TestDecodeNamesTheMember(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"type":"x","key":true}`:         "type x: key: expected text, found true (text that looks like a number, yes or no needs quotes): invalid",
		`{"type":"x","key":1.0}`:          "type x: key: expected text, found number (text that looks like a number, yes or no needs quotes): invalid",
		`{"type":"x","key":{}}`:           "type x: key: expected text, found object: invalid",
		`{"type":"x","on":"yes"}`:         "type x: on: expected bool, found text: invalid",
		`{"type":"x","in":{"names":"a"}}`: "type x: in.names: expected list of text, found text: invalid",
	} {
		var s Spec
		if err := s.UnmarshalJSON([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Key string `json:"key"`
			On  bool   `json:"on"`
			In  struct {
				Names []string `json:"names"`
			} `json:"in"`
		}
		if err := s.Decode(&v); !errors.Is(err, ErrInvalid) || err.Error() != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
