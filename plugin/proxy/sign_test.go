// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/wire"
)

// answering is a plugin that answers every question with the same text.
type answering string

func (a answering) Call(context.Context, *ocm.Env) (Call, error) { return a, nil }
func (a answering) Offer(c ocm.Content, h string) wire.Content   { return wire.Describe(c, h) }
func (a answering) End()                                         {}

func (a answering) Ask(_ string, _, answer any, _ bool) error {
	if err := json.Unmarshal([]byte(a), answer); err != nil {
		return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return nil
}

func (a answering) Stream(string, any) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader(string(a))), int64(len(a)), nil
}

// counting is a plugin that remembers what may be asked twice.
type counting struct {
	answering
	again map[string]bool
}

func (c counting) Call(context.Context, *ocm.Env) (Call, error) { return c, nil }

func (c counting) Ask(path string, _, _ any, again bool) error {
	c.again[path] = again
	return wire.ErrBroken
}

// A signature is asked for once: a key may count what it signs. A verdict may be asked for again.
func TestSignIsNotRepeated(t *testing.T) {
	t.Parallel()
	p := counting{again: map[string]bool{}}
	if v, err := Signer(p, mine, nil).Sign(t.Context(), nil, "one", ocm.Digest{}, ocm.Spec{}); !errors.Is(err, wire.ErrBroken) {
		t.Errorf("%+v %v", v, err)
	}
	if found, err := Verifier(p, mine).Verify(t.Context(), nil, ocm.Signature{}, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, wire.ErrBroken) {
		t.Errorf("%+v %v", found, err)
	}
	if len(p.again) != 2 || p.again[wire.SignPath] || !p.again[wire.VerifyPath] {
		t.Error(p.again)
	}
}

var mine = ocm.Type{Names: []string{"MineSigningConfiguration/v1", "MINE"}, Origin: "plugin mine"}

func signed(answer string) (ocm.SignatureValue, error) {
	return Signer(answering(answer), mine, []string{"MINE", strings.Repeat("a\n", 10000)}).Sign(context.Background(), nil, "one", ocm.Digest{}, ocm.Spec{})
}

func verified(answer string) ([]ocm.Finding, error) {
	sig := ocm.Signature{Name: "one", Signature: ocm.SignatureValue{Algorithm: "MINE"}}
	return Verifier(answering(answer), mine).Verify(context.Background(), nil, sig, ocm.Spec{})
}

// What a plugin answers as a signature goes into descriptors only if it can be one.
func TestSignatureOfPlugin(t *testing.T) {
	t.Parallel()
	const good = `{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"-----BEGIN\n\tab\n"}}`
	if v, err := signed(good); err != nil || v.Value != "-----BEGIN\n\tab\n" {
		t.Fatalf("%+v %v", v, err)
	}
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"nothing":             {`{}`, ocm.ErrInvalid},
		"no object":           {`[]`, ocm.ErrInvalid},
		"null":                {`{"signature":null}`, ocm.ErrInvalid},
		"another algorithm":   {`{"signature":{"algorithm":"RSASSA-PSS","mediaType":"text/plain","value":"ab"}}`, ocm.ErrInvalid},
		"two algorithms":      {`{"signature":{"algorithm":"RSASSA-PSS","algorithm":"MINE","mediaType":"text/plain","value":"ab"}}`, ocm.ErrInvalid},
		"no value":            {`{"signature":{"algorithm":"MINE","mediaType":"text/plain"}}`, ocm.ErrInvalid},
		"no media type":       {`{"signature":{"algorithm":"MINE","value":"ab"}}`, ocm.ErrInvalid},
		"control characters":  {`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"\u001b[2J"}}`, ocm.ErrInvalid},
		"lines as media type": {`{"signature":{"algorithm":"MINE","mediaType":"text\nplain","value":"ab"}}`, ocm.ErrInvalid},
		"direction":           {`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"ab","issuer":"\u202eecila"}}`, ocm.ErrInvalid},
		"more members":        {`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"ab","extra":1}}`, ocm.ErrInvalid},
		"a long value":        {`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"` + strings.Repeat("a", wire.MaxSignature+1) + `"}}`, ocm.ErrLimit},
		"a long media type":   {`{"signature":{"algorithm":"MINE","mediaType":"` + strings.Repeat("a", wire.MaxSignatureName+1) + `","value":"ab"}}`, ocm.ErrLimit},
		"a long issuer":       {`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"ab","issuer":"` + strings.Repeat("a", wire.MaxIssuer+1) + `"}}`, ocm.ErrLimit},
	} {
		if v, err := signed(c.answer); !errors.Is(err, c.want) || v.Value != "" || len(err.Error()) > 2000 {
			t.Errorf("%s: %.200q %.200v", name, v.Value, err)
		}
	}
}

// As in CVE-2026-39395 (cosign), where an answer that could not be read was "Verified OK", and CVE-2022-35929, where nothing was found and
// nothing was missed: only a verdict that is clear is a good one.
func TestCVE_2026_39395_VerdictOfPluginIsClear(t *testing.T) {
	t.Parallel()
	const good = `{"verified":true,"findings":[{"check":"signing time","detail":"by its clock","time":"2026-01-02T03:04:05Z"},{"check":"signer","detail":"me"}]}`
	found, err := verified(good)
	if err != nil || len(found) != 2 || found[0].Time.Year() != 2026 || found[1].Detail != "me" {
		t.Fatalf("%+v %v", found, err)
	}
	many := strings.Repeat(`{"check":"x"},`, wire.MaxFindings)
	for name, answer := range map[string]string{
		"nothing":               `{}`,
		"no object":             `true`,
		"null":                  `null`,
		"a text":                `{"verified":"true","findings":[{"check":"signer","detail":"me"}]}`,
		"a number":              `{"verified":1,"findings":[{"check":"signer","detail":"me"}]}`,
		"another case":          `{"Verified":true,"findings":[{"check":"signer","detail":"me"}]}`,
		"twice":                 `{"verified":false,"verified":true,"findings":[{"check":"signer","detail":"me"}]}`,
		"not said":              `{"findings":[{"check":"signer","detail":"me"}]}`,
		"not good":              `{"verified":false,"findings":[{"check":"signer","detail":"me"}]}`,
		"good and an error":     `{"verified":true,"findings":[{"check":"signer","detail":"me"}],"error":{"message":"no"}}`,
		"good and empty error":  `{"verified":true,"findings":[{"check":"signer","detail":"me"}],"error":{}}`,
		"an error":              `{"findings":[{"check":"signer","detail":"me"}],"error":{"kind":"signature","message":"no"}}`,
		"no findings":           `{"verified":true}`,
		"no signer":             `{"verified":true,"findings":[{"check":"signature value","detail":"me"}]}`,
		"a signer without name": `{"verified":true,"findings":[{"check":"signer"}]}`,
		"a signer of spaces":    `{"verified":true,"findings":[{"check":"signer","detail":" \n\t "}]}`,
		"two signers":           `{"verified":true,"findings":[{"check":"signer","detail":"me"},{"check":"signer","detail":"you"}]}`,
		"too many findings":     `{"verified":true,"findings":[` + many + `{"check":"signer","detail":"me"}]}`,
		"cut off":               good[:len(good)-1],
		"something behind it":   good + `{}`,
	} {
		if found, err := verified(answer); !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%s: %+v %v", name, found, err)
		}
	}
}

// An error that says nothing is one.
func TestErrorWithoutMessage(t *testing.T) {
	t.Parallel()
	found, err := verified(`{"verified":false,"findings":[{"check":"signer","detail":"me"}],"error":{}}`)
	if !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "failed without a message") {
		t.Errorf("%+v %v", found, err)
	}
}

// What was found before an error is told, and the check that failed; neither can write what it likes on a terminal.
func TestFindingsOfPlugin(t *testing.T) {
	t.Parallel()
	found, err := verified(`{"findings":[{"check":"identity\u001b[1m","detail":"a\nsigner: b\u202e","time":"2026-01-02T03:04:05Z"}],
		"error":{"kind":"notFound","check":"certificate chain","message":"no\u0007 anchor"}}`)
	if len(found) != 1 || strings.ContainsAny(found[0].Check+found[0].Detail, "\x1b\n\u202e") || !found[0].Time.IsZero() {
		t.Errorf("%q", found)
	}
	check := (*ocm.CheckError)(nil)
	if !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, ocm.ErrNotFound) || !errors.As(err, &check) || check.Check != ocm.FoundChain ||
		strings.Contains(err.Error(), "\a") {
		t.Errorf("%q", err)
	}
	found, _ = verified(`{"findings":[{"check":"` + strings.Repeat("c", 1000) + `","detail":"` + strings.Repeat("d", 10000) + `"}]}`)
	if len(found) != 1 || len(found[0].Check) > wire.MaxCheck+10 || len(found[0].Detail) > wire.MaxDetail+10 {
		t.Errorf("%d findings", len(found))
	}
}

func FuzzSigned(f *testing.F) {
	f.Add(`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"ab","issuer":"me"}}`)
	f.Add(`{"signature":{"algorithm":"MINE","mediaType":"text/plain","value":"ab","x":[{}]}}`)
	f.Add(`{"signature":null}`)
	f.Fuzz(func(t *testing.T, answer string) {
		v, err := signed(answer)
		if err != nil {
			return
		}
		if v.Algorithm != "MINE" || v.Value == "" || v.MediaType == "" || len(v.Unknown) > 0 || len(v.Value) > wire.MaxSignature ||
			strings.ContainsAny(v.Value+v.MediaType+v.Issuer, "\x1b\a\x00\r\u009b\u202e") {
			t.Errorf("%q becomes %+v", answer, v)
		}
	})
}

func FuzzVerdict(f *testing.F) {
	f.Add(`{"verified":true,"findings":[{"check":"signing time","detail":"by its clock","time":"2026-01-02T03:04:05Z"},{"check":"signer","detail":"me"}]}`)
	f.Add(`{"verified":false,"error":{"kind":"signature","check":"identity","message":"no"}}`)
	f.Add(`{"verified":true,"findings":[{"check":"signer","detail":"\u001b"}],"error":{}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		found, err := verified(answer)
		signers := 0
		for _, g := range found {
			if strings.ContainsAny(g.Check+g.Detail, "\x1b\a\x00\r\n\t\u009b\u202e") || len(g.Check) > wire.MaxCheck+10 || len(g.Detail) > 3*wire.MaxDetail {
				t.Errorf("%q: %+v", answer, g)
			}
			if g.Check == ocm.FoundSigner && g.Detail != "" {
				signers++
			}
		}
		if err == nil && signers != 1 || err != nil && !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%q: %+v %v", answer, found, err)
		}
		if err == nil && !strings.Contains(answer, "true") {
			t.Errorf("%q says nothing, and is taken for good", answer)
		}
	})
}
