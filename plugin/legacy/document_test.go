// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/plugin/legacy"
	"ocm/plugin/wire"
)

func TestParse(t *testing.T) {
	t.Parallel()
	of := func(types string) string {
		return `{"capabilities":[{"type":"resourceRepository","supportedAccessTypes":[` + types + `]}]}`
	}
	for text, want := range map[string]struct {
		ok  bool
		err error
	}{
		`{"protocol":"ocm.software/plugin/v1","capabilities":[]}`: {false, nil},
		``: {false, nil}, `nonsense`: {false, nil}, `[]`: {false, nil}, `{}`: {false, nil}, `{"capabilities":null}`: {false, nil}, `{"capabilities":{}}`: {false, nil},
		`{"capabilities":[]}`:                               {true, nil},
		of(`{"type":"a","aliases":null,"jsonSchema":"%%"}`): {true, nil},
		of(`"a"`):                                         {true, nil},
		of(`{"type":""}`):                                 {true, ocm.ErrInvalid},
		of(`{"type":"a\u001b[2J"}`):                       {true, ocm.ErrInvalid},
		of(`{"type":"a","aliases":["b c"]}`):              {true, ocm.ErrInvalid},
		of(`{"type":"` + strings.Repeat("a", 256) + `"}`): {true, ocm.ErrInvalid},
		of(`7`): {true, ocm.ErrInvalid},
		of(`"a","b` + strings.Join(strings.Split(strings.Repeat("x", wire.MaxTypes), ""), `","b`) + `"`): {true, nil}, // the same name counts once
		strings.Repeat(" ", wire.MaxCapabilities+1):                                                      {false, ocm.ErrLimit},
	} {
		if _, ok, err := legacy.Parse([]byte(text)); ok != want.ok || !errors.Is(err, want.err) || err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%.100s: %v %v", text, ok, err)
		}
	}
}
