// SPDX-License-Identifier: Apache-2.0

package cert_test

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
)

// stamped judges a timestamp of which the token is the time and the name of the root that it leads to.
func stamped(ts *ocm.Timestamp, d ocm.Digest, roots []*x509.Certificate) (time.Time, string, error) {
	text, root, _ := strings.Cut(ts.Value, " ")
	if d.Value != digest().Value {
		return time.Time{}, "", errors.New("timestamp of another digest")
	}
	for _, r := range roots {
		if r.Subject.CommonName == root {
			at, err := time.Parse(time.RFC3339Nano, text)
			return at, "Clock", err
		}
	}
	return time.Time{}, "", errors.New("timestamp by somebody else")
}

func withStamp(sig ocm.Signature, at time.Time, root string) ocm.Signature {
	sig.Timestamp = &ocm.Timestamp{Value: at.Format(time.RFC3339Nano) + " " + root}
	return sig
}

// A certificate that has expired since is good for what was signed before, one that has not begun
// or was over then is not, whatever our clock says.
func TestCVE_2026_54787_time_of_signature_and_validity(t *testing.T) {
	t.Parallel()
	tsa := issue(t, "TSA", edKey(t), nil, isCA)
	for _, c := range []struct {
		name  string
		inter edit
		leaf  edit
		at    time.Duration // of the timestamp, from now
		text  string
	}{
		{"signer expired since", valid(-time.Hour, time.Hour), valid(-time.Hour, -soon), -40 * time.Minute, ""},
		{"intermediate expired since", valid(-time.Hour, -soon), valid(-time.Hour, time.Hour), -40 * time.Minute, ""},
		{"signer expired then", valid(-time.Hour, time.Hour), valid(-time.Hour, -soon), -20 * time.Minute, "expired"},
		{"signer valid now, not yet then", valid(-time.Hour, time.Hour), valid(-time.Minute, time.Hour), -soon, "not yet valid"},
		{"intermediate valid now, not yet then", valid(-time.Minute, time.Hour), valid(-time.Hour, time.Hour), -soon, "not yet valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuthority(t, []edit{c.inter}, []edit{c.leaf})
			secret := a.anchored()
			secret["tsaCertPEM"] = certPEM(tsa)
			found, err := verify(secret, withStamp(a.signed(t), now.Add(c.at), "TSA"), stamped)
			if c.text != "" {
				failed(t, err, ocm.FoundChain, c.text)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			when := now.Add(c.at).Format(time.RFC3339)
			if found[0].Check != ocm.FoundTime || found[0].Detail != when+", by the timestamp of Clock" || !strings.HasSuffix(found[1].Detail, "judged at "+when) {
				t.Errorf("found %v", found)
			}
		})
	}
}

// The clock is put to where the certificate was valid. Without a timestamp that cannot be seen; with one
// the clock decides nothing, and a timestamp of its future gives it away.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	tsa := issue(t, "TSA", edKey(t), nil, isCA)
	a := newAuthority(t, nil, []edit{valid(-time.Hour, -soon)})
	secret := a.anchored()
	secret["tsaCertPEM"] = certPEM(tsa)
	back := now.Add(-40 * time.Minute)
	for after, text := range map[time.Duration]string{time.Hour: "one of them is wrong", cert.MaxClockSkew + time.Second: "one of them is wrong", cert.MaxClockSkew: "", 0: ""} {
		_, err := verifyAt(secret, withStamp(a.signed(t), back.Add(after), "TSA"), back, stamped)
		if text == "" && err != nil {
			t.Errorf("%v ahead: %v", after, err)
		}
		if text != "" {
			failed(t, err, ocm.FoundTime, text)
		}
	}
	_, err := verifyAt(secret, withStamp(a.signed(t), now.Add(-20*time.Minute), "TSA"), now.AddDate(1, 0, 0), stamped)
	failed(t, err, ocm.FoundChain, "expired") // when it was stamped it was over, and it is
}

// A clock that is ten years off, without a timestamp and with one, judges by what others say or says what is wrong.
func TestClockYearsOff(t *testing.T) {
	t.Parallel()
	tsa := issue(t, "TSA", edKey(t), nil, isCA)
	a := newAuthority(t, nil, nil)
	secret := a.anchored()
	secret["tsaCertPEM"] = certPEM(tsa)
	dated := withStamp(a.signed(t), now, "TSA")
	for _, years := range []int{-10, 10} {
		at := now.AddDate(years, 0, 0)
		clock := "this machine's clock says " + at.UTC().Format(time.RFC3339)
		_, err := verifyAt(secret, a.signed(t), at, stamped)
		failed(t, err, ocm.FoundChain, clock+": set the clock if it is wrong")
		_, err = verifyAt(secret, dated, at, stamped)
		switch {
		case years < 0:
			failed(t, err, ocm.FoundTime, clock)
		case err != nil:
			t.Errorf("%d years ahead, and the timestamp does not count: %v", years, err)
		}
	}
}

func TestTimestampThatIsBad(t *testing.T) {
	t.Parallel()
	tsa := issue(t, "TSA", edKey(t), nil, isCA)
	a := newAuthority(t, nil, nil)
	secret := a.anchored()
	secret["tsaCertPEM"] = certPEM(tsa)
	at := now.Add(-time.Minute)
	good := withStamp(a.signed(t), at.Add(300*time.Millisecond), "TSA")
	change := func(edit func(*ocm.Signature)) ocm.Signature {
		sig := good
		ts := *good.Timestamp
		sig.Timestamp = &ts
		edit(&sig)
		return sig
	}
	for text, ok := range map[string]bool{
		"": true, at.Format(time.RFC3339): true, at.In(time.FixedZone("", 7200)).Format(time.RFC3339): true,
		at.Add(-time.Second).Format(time.RFC3339): false, at.Add(2 * time.Second).Format(time.RFC3339): false, "yesterday": false,
	} {
		_, err := verify(secret, change(func(s *ocm.Signature) { s.Timestamp.Time = text }), stamped)
		if ok && err != nil {
			t.Errorf("time %q: %v", text, err)
		}
		if !ok {
			failed(t, err, ocm.FoundTime, "beside the timestamp")
		}
	}
	_, err := verify(secret, withStamp(a.signed(t), at, "Root"), stamped)
	failed(t, err, ocm.FoundTime, "by somebody else") // caCertPEM counts only if there is no tsaCertPEM
	_, err = verify(secret, change(func(s *ocm.Signature) { s.Digest.Value = strings.Repeat("cd", 32) }), stamped)
	failed(t, err, ocm.FoundTime, "another digest")
	_, err = verify(a.anchored(), good, stamped)
	failed(t, err, ocm.FoundTime, "judged by caCertPEM, because tsaCertPEM is not set: timestamp by somebody else")
	if _, err := verify(a.anchored(), withStamp(a.signed(t), at, "Root"), stamped); err != nil {
		t.Errorf("a timestamp of the same authority: %v", err)
	}
	_, err = verify(secret, good, nil)
	failed(t, err, ocm.FoundTime, "cannot be judged here")
}

// What is not judged decides nothing, and the findings say so.
func TestTimestampThatIsNotJudged(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, []edit{valid(-time.Hour, -soon)})
	then := now.Add(-40 * time.Minute)
	anchorless := ocm.Secret{"publicKeyPEM": certPEM(a.inter, a.root)}
	stamp := withStamp(a.signed(t), then, "Root")
	text := stamp
	text.Timestamp = &ocm.Timestamp{Time: then.Format(time.RFC3339)}
	for name, c := range map[string]struct {
		secret ocm.Secret
		sig    ocm.Signature
		check  cert.TimeCheck
		why    string
	}{
		"no root":      {anchorless, stamp, stamped, "no root for it is configured"},
		"no check":     {a.anchored(), stamp, nil, "no root for it is configured"},
		"text only":    {a.anchored(), text, stamped, "without a token"},
		"no timestamp": {a.anchored(), a.signed(t), stamped, ""},
	} {
		found, err := verify(c.secret, c.sig, c.check)
		failed(t, err, ocm.FoundChain, "expired")
		if c.why == "" {
			if len(found) != 0 {
				t.Errorf("%s: found %v", name, found)
			}
		} else if len(found) != 1 || found[0].Check != ocm.FoundTime || !strings.Contains(found[0].Detail, c.why) || !strings.Contains(found[0].Detail, "was not judged") {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

// Signatures with a bare key have a time, too, if roots for it are configured.
func TestTimestampOfPlainSignature(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	tsa := issue(t, "TSA", edKey(t), nil, isCA)
	secret := ocm.Secret{"publicKeyPEM": publicPEM(t, key), "tsaCertPEM": certPEM(tsa)}
	plain := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{Algorithm: ec.Ed25519, MediaType: ec.MediaTypeEd25519, Value: hex.EncodeToString(rawSignature(t, key))}}
	withCert := signed(t, ec.Ed25519, issue(t, "Own", key, nil, codeSigning))
	for _, sig := range []ocm.Signature{plain, withCert} {
		found, err := verify(secret, withStamp(sig, now, "TSA"), stamped)
		if err != nil || found[0].Check != ocm.FoundTime {
			t.Errorf("found %v, %v", found, err)
		}
		_, err = verify(secret, withStamp(sig, now, "Evil"), stamped)
		failed(t, err, ocm.FoundTime, "somebody else")
		_, err = verify(secret, withStamp(sig, now.AddDate(1, 0, 0), "TSA"), stamped)
		failed(t, err, ocm.FoundTime, "one of them is wrong")
		found, err = verify(ocm.Secret{"publicKeyPEM": publicPEM(t, key)}, withStamp(sig, now, "TSA"), stamped)
		if err != nil || !strings.Contains(found[0].Detail, "was not judged") {
			t.Errorf("found %v, %v", found, err)
		}
	}
	// authorities of signers judge a timestamp only beside a chain
	found, err := verify(ocm.Secret{"publicKeyPEM": publicPEM(t, key), "caCertPEM": certPEM(tsa)}, withStamp(plain, now, "TSA"), stamped)
	if err != nil || !strings.Contains(found[0].Detail, "was not judged") {
		t.Errorf("found %v, %v", found, err)
	}
}
