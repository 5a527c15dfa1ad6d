// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// FuzzCapabilities reads documents of plugins, and holds specifications against the schemas in them.
func FuzzCapabilities(f *testing.F) {
	schema := `{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/Repository","$defs":{"Repository":{"properties":{"type":{"type":"string",` +
		`"pattern":"^([a-zA-Z0-9][a-zA-Z0-9.]*)(?:/(v[0-9]+(?:alpha[0-9]+|beta[0-9]+)?))?"},"baseUrl":{"type":"string"},"list":{"type":"array","items":{"$ref":"#/$defs/Repository"}}},` +
		`"additionalProperties":false,"type":"object","required":["type","baseUrl"]}}}`
	encoded := base64.StdEncoding.EncodeToString([]byte(schema))
	for _, doc := range []string{
		`{"capabilities":[{"type":"signingHandler","supportedSigningSpecTypes":[{"type":"DummyRepository/v1","aliases":null,"jsonSchema":"` + encoded + `"}]}],"supportedConfigTypes":["custom.config/v1"]}`,
		`{"capabilities":[{"type":"credentialRepository","supportedConsumerIdentityTypes":["A/v1"],"supportedCredentialRepositorySpecTypes":[{"type":"A/v1","jsonSchema":""}],"customCredentialTypes":[{"type":"x"}]}]}`,
		`{"capabilities":[{"type":"componentVersionRepository","supportedRepositorySpecTypes":[{"type":"R","aliases":["S","R"],"jsonSchema":` + schema + `}]},{"type":"componentLister","supportedRepositorySpecTypes":["S"]}]}`,
		`{"capabilities":[{"type":"resourceRepository","supportedAccessTypes":[{"type":"E","jsonSchema":{"$ref":"#/$defs/x","$defs":{"x":{"$ref":"#/$defs/x"}},"additionalProperties":{"enum":[1,"a",{}]}}}]}]}`,
		`{"protocol":"ocm.software/plugin/v1","capabilities":[]}`, `{"capabilities":null}`, `{}`, `[]`, ``,
	} {
		f.Add([]byte(doc), []byte(`{"type":"DummyRepository/v1","baseUrl":"x","list":[{"type":"y","baseUrl":null}]}`))
	}
	f.Fuzz(func(t *testing.T, raw, text []byte) {
		doc, ok, err := Parse(raw)
		if !ok || err != nil {
			if err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		kit := ocm.NewKit()
		p := New("fuzz", doc, Options{Start: func(_, _ []string) (Process, error) { return nil, errors.New("not here") }})
		_ = p.Register(kit) // types may be there twice
		var s ocm.Spec
		if s.UnmarshalJSON(text) != nil {
			return
		}
		for _, c := range doc.capabilities {
			for _, typ := range c.types() {
				if err := typ.check(s); err != nil && !errors.Is(err, ocm.ErrInvalid) {
					t.Errorf("an error of no kind: %v", err)
				}
			}
		}
	})
}

// FuzzAnswer reads what plugins answer: where content is, credentials, signatures. Whatever they say, only regular files below the folders that
// are meant for that are opened.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		`{"location":{"type":"localFile","value":"DIR/file","mediaType":"text/plain"}}`, `{"location":{"type":"localFile","value":"DIR/../../etc/passwd"}}`,
		`{"location":{"type":"localFile","value":"DIR/link"}}`, `{"location":{"type":"localFile","value":"DIR/sub/file"},"resource":{"name":"x","access":{"type":"y"}}}`,
		`{"location":null,"resource":{"name":"x","version":"1","type":"blob","relation":"local","access":{"type":"localBlob/v1"}}}`,
		`{"type":"DirectCredentials/v1","properties":{"username":"u","password":"p"}}`, `{"type":"OCICredentials/v1","username":"u","password":null}`,
		`{"signature":{"algorithm":"rsa","value":"sig","mediaType":"text/plain"}}`, `{"identity":{"type":"x","hostname":"y"}}`,
	} {
		f.Add([]byte(answer))
	}
	dir := f.TempDir()
	inside := filepath.Join(dir, "inside")
	if err := errors.Join(os.MkdirAll(filepath.Join(inside, "sub"), 0o700), os.WriteFile(filepath.Join(inside, "file"), []byte("in"), 0o600),
		os.WriteFile(filepath.Join(inside, "sub", "file"), []byte("in"), 0o600), os.WriteFile(filepath.Join(dir, "out"), []byte("outside"), 0o600),
		os.Symlink(filepath.Join(dir, "out"), filepath.Join(inside, "link"))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d delivered
		if json.Unmarshal(raw, &d) == nil && d.Location != nil {
			if rest, ok := cutDir(d.Location.Value); ok {
				d.Location.Value = inside + rest
			}
			if file, err := (taking{process: &process{dir: inside}, began: time.Now().Add(time.Hour)}).take(*d.Location); err == nil {
				if file.size != 2 {
					t.Errorf("%q: a file of %d bytes", d.Location.Value, file.size)
				}
				file.release()
			}
		}
		var members map[string]ocm.RawJSON
		if json.Unmarshal(raw, &members) == nil {
			_, _ = secretOf(members) // whatever it is
		}
		var v *valueBody
		if json.Unmarshal(raw, &v) == nil {
			_ = v.check() // likewise
		}
	})
}

func cutDir(value string) (string, bool) {
	if len(value) < 3 || value[:3] != "DIR" {
		return "", false
	}
	return value[3:], true
}
