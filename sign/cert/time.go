// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"ocm"
)

// TimeCheck judges a timestamp over a digest: its token must lead to one of the roots. It returns the
// time that the token tells, and who says so.
type TimeCheck func(ts *ocm.Timestamp, d ocm.Digest, roots []*x509.Certificate) (at time.Time, by string, err error)

// MaxClockSkew is by how much a timestamp may be ahead of our clock: clocks differ a little. It is also what a signer accepts of an
// authority, so that what was signed here can be verified here.
const MaxClockSkew = time.Minute

// stampRoots are the roots of timestamps, and where they are from.
type stampRoots struct {
	certs []*x509.Certificate
	from  string
}

// signingTime decides the time at which a signature is judged: that of its timestamp if there are roots to
// judge it by, else now. The finding is nil if there is nothing to tell.
func signingTime(sig ocm.Signature, roots stampRoots, now time.Time, check TimeCheck) (time.Time, *ocm.Finding, error) {
	ts := sig.Timestamp
	if ts == nil {
		return now, nil, nil
	}
	ignored := func(why string) (time.Time, *ocm.Finding, error) {
		detail := fmt.Sprintf("%s, our clock: the timestamp of the signature was not judged, because %s", now.UTC().Format(time.RFC3339), why)
		return now, &ocm.Finding{Check: ocm.FoundTime, Detail: detail}, nil
	}
	switch {
	case ts.Value == "":
		return ignored("it is plain text without a token")
	case len(roots.certs) == 0:
		return ignored("no root for it is configured (tsaCertPEM)")
	case check == nil:
		return now, nil, failed(ocm.FoundTime, fmt.Errorf("a timestamp cannot be judged here: %w", errors.ErrUnsupported))
	}
	at, by, err := check(ts, sig.Digest, roots.certs)
	if err != nil {
		return now, nil, failed(ocm.FoundTime, fmt.Errorf("timestamp, judged by %s: %w", roots.from, err))
	}
	if at.After(now.Add(MaxClockSkew)) {
		return now, nil, failed(ocm.FoundTime, fmt.Errorf("timestamp is of %s, but this machine's clock says %s, accepted are %s: one of them is wrong: set the clock if it is: %w",
			at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), MaxClockSkew, ocm.ErrInvalid))
	}
	if err := agrees(ts.Time, at); err != nil {
		return now, nil, failed(ocm.FoundTime, err)
	}
	return at, &ocm.Finding{Check: ocm.FoundTime, Time: at, Detail: fmt.Sprintf("%s, by the timestamp of %s", at.UTC().Format(time.RFC3339), by)}, nil
}

// Stamped judges the timestamp of a signature without certificates, by the roots in tsaCertPEM. The finding is nil
// if there is none; without roots it says that nothing was judged. Errors are those of a bad timestamp.
func Stamped(sig ocm.Signature, s ocm.Secret, now time.Time, check TimeCheck) (*ocm.Finding, error) {
	roots, err := tsaCertProperty().certificates(s)
	if err != nil {
		return nil, err
	}
	_, finding, err := signingTime(sig, stampRoots{roots, "tsaCertPEM"}, now, check)
	return finding, err
}

// agrees compares the text beside a token with the token's time, which may have fractions of a second that
// the text has not.
func agrees(text string, at time.Time) error {
	if text == "" {
		return nil
	}
	told, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("time beside the timestamp: %q is no time as RFC 3339 writes it: %w", text, ocm.ErrInvalid)
	}
	if d := at.Sub(told); d <= -time.Second || d >= time.Second {
		return fmt.Errorf("the text beside the timestamp says %s, but the timestamp is of %s: %w", told.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339), ocm.ErrInvalid)
	}
	return nil
}
