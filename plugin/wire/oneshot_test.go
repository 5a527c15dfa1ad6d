// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"ocm"
)

func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"secret":{"password":"s3cr3t"}}`, `{"secret":{"password":"s3cr3t"}} {}`, `{"secret":{"":"s3cr3t"}}`,
		`{"error":{"kind":"notFound","message":"none"}}`, `{"error":{"kind":"notFound","message":"none"},"secret":{"password":"s3cr3t"}}`, `{"error":null}`, `{"error":{}}`,
		`{"error":{"kind":"what","check":"\u001b[2J","message":"\u001b[2J\u202e"}}`, `{"secret":{"a":"1","a":"2"}}`, `{"secret":{"password":1}}`,
		`{"secret":{"s3cr3t\n":"1"}}`, "{\"secret\":{\"a\":\"\xff\"}}", `{"error":"s3cr3t"}`, `{"secret":` + strings.Repeat(`{"a":`, 1000), strings.Repeat("[", 20000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got Secret
		err := ReadAnswer(raw, &got)
		if err == nil {
			err = got.Check()
		}
		if err != nil {
			if text := err.Error(); text == "" || !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\x7f\u202e") || len(text) > 4*maxMessage {
				t.Errorf("%q", text)
			}
			return
		}
		if len(got.Secret) == 0 || len(got.Secret) > MaxProperties {
			t.Errorf("%d properties", len(got.Secret))
		}
		for name, value := range got.Secret {
			if name == "" || !utf8.ValidString(name+value) || strings.ContainsAny(name, "\n\x1b\x7f") {
				t.Errorf("%q", name)
			}
		}
	})
}

func TestSecretLimits(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	many := ocm.Secret{}
	for i := range MaxProperties + 1 {
		many[long(i+1)] = "v"
	}
	for name, tc := range map[string]struct {
		secret ocm.Secret
		kind   error
	}{
		"nothing":      {nil, ocm.ErrInvalid},
		"many":         {many, ocm.ErrLimit},
		"large":        {ocm.Secret{"a": long(MaxSecret)}, ocm.ErrLimit},
		"large in all": {ocm.Secret{"a": long(MaxSecret / 2), "b": long(MaxSecret / 2)}, ocm.ErrLimit},
		"long name":    {ocm.Secret{long(MaxPropertyName + 1): ""}, ocm.ErrInvalid},
		"no name":      {ocm.Secret{"": ""}, ocm.ErrInvalid},
		"escape":       {ocm.Secret{"a\x1b": ""}, ocm.ErrInvalid},
		"good":         {ocm.Secret{long(MaxPropertyName): long(MaxSecret - MaxPropertyName)}, nil},
	} {
		if err := (Secret{tc.secret}).Check(); !errors.Is(err, tc.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
