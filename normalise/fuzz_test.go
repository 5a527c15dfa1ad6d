// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gowebpki/jcs"

	"ocm"
	"ocm/descriptor"
	"ocm/normalise"
)

// Two implementations of RFC 8785 must agree on what they accept, and on its bytes.
// One difference is known: jsontext makes a number beyond the range of a double the
// largest double.
func FuzzJCS(f *testing.F) {
	for _, s := range []string{
		`{"b":1,"a":[1.50,1e21,1e-7,-0,0.1,9007199254740993,123456789012345678901234567890,5e-324,1e-400]}`,
		`{"\ud83d\ude00":1,"\uffff":2,"é":"\u0000\b\f\n\r\t\u001f\u007f\u2028<>&/\/"}`, `{"a":1,"a":2}`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"",
		`1e400`, `[1,]`, `01`, `+1`, `{"a":1,"\u0061":2}`, ` [ ] `, `{} {}`, `null`, "\ufeff1", `{"aa":1,"a":2,"":3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if jsontext.NewDecoder(bytes.NewReader(raw)).PeekKind() == 0 || bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) > 1000 {
			return
		}
		one, err1 := jcs.Transform(raw)
		two := jsontext.Value(bytes.Clone(raw))
		err2 := two.Canonicalize()
		if err1 != nil && strings.Contains(err1.Error(), "out of range") {
			return
		}
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("one accepts it: %v, %v", err1, err2)
		}
		if err1 == nil && !bytes.Equal(one, two) {
			t.Fatalf("they differ:\n%s\n%s", one, two)
		}
	})
}

// Whatever can be decoded is normalised without a panic, to the same bytes after it
// was written anew, and to JSON that has nothing of what moves with the content.
func FuzzNormalise(f *testing.F) {
	for _, s := range []string{document(), v3alpha1, read(f, "testdata/vectors/t2.yaml"), read(f, "testdata/vectors/t4.yaml"), read(f, "testdata/vectors/t6.yaml")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := descriptor.Decode("", raw)
		if err != nil {
			return
		}
		text, err := descriptor.JSON(d)
		if err != nil {
			return
		}
		again, err := descriptor.Decode("", text)
		if err != nil {
			t.Fatal(err)
		}
		again.Meta = d.Meta // V1 looks at the schema it came with
		_ = normalise.Quirks(d)
		for _, a := range algorithms {
			checkNormal(t, d, again, a)
		}
	})
}

func checkNormal(t *testing.T, d, again *ocm.Descriptor, algorithm string) {
	forms, err := normalise.Candidates(d, algorithm)
	if err != nil {
		return
	}
	if len(forms) > 5 {
		t.Fatalf("%s: %d forms", algorithm, len(forms))
	}
	raw, err := normalise.Normalise(again, algorithm)
	if err != nil || !bytes.Equal(raw, forms[0]) {
		t.Fatalf("%s: changed by writing it anew: %v\n%s\n%s", algorithm, err, forms[0], raw)
	}
	if !json.Valid(raw) {
		t.Fatalf("%s: no JSON: %s", algorithm, raw)
	}
	digest, err := normalise.Digest(d, ocm.SHA256, algorithm)
	if err != nil || normalise.Matches(again, digest) != nil {
		t.Fatalf("%s: does not match itself: %v", algorithm, err)
	}
}
