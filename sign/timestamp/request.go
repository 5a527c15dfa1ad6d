// SPDX-License-Identifier: Apache-2.0

package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"ocm"
)

const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"

	defaultTimeout = 30 * time.Second // for the whole exchange, if the environment says nothing else
	maxShown       = 200              // bytes of a foreign text in a message
)

// Request asks the time stamping authority at the address for a timestamp over the digest. The imprint is the digest's
// value itself, see the package's comment.
//
// The answer must be for this digest and this request (a random nonce says so), be signed by a certificate for time
// stamping, and its time must be that of env within [MaxSkew]. Whether the authority is one to trust is for [Check] to say.
//
// The address must have https, or http on this computer; redirections are not followed, so that nobody else gets
// the request. It must be answered within env.Timeout, 30 seconds by default.
//
// [ocm.ErrInvalid]: the digest, the address or the answer is not usable, or a clock is wrong. [ocm.ErrDenied] and
// [ocm.ErrNotFound]: HTTP says so. [ocm.ErrLimit]: the answer is larger than [MaxResponse]. [ocm.ErrDigest]: the answer
// is for something else.
func Request(ctx context.Context, env *ocm.Env, address string, d ocm.Digest) (*ocm.Timestamp, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("address of the time stamping authority is not one, expected https://host/path: %w", ocm.ErrInvalid)
	}
	ts, err := request(ctx, env, u, d)
	if err != nil {
		return nil, fmt.Errorf("timestamp from %s: %w", u.Redacted(), err)
	}
	return ts, nil
}

func request(ctx context.Context, env *ocm.Env, u *url.URL, d ocm.Digest) (ts *ocm.Timestamp, err error) {
	defer noPanic(&err)
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("expected https (http is for this computer only): %w", ocm.ErrInvalid)
	}
	hash, sum, err := hashed(d)
	if err != nil {
		return nil, err
	}
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63)) // some authorities take no more
	if err != nil {
		return nil, err
	}
	query, err := buildQuery(hash, sum, nonce)
	if err != nil {
		return nil, err
	}
	reply, err := post(ctx, env, u, query)
	if err != nil {
		return nil, err
	}
	tok, _, err := open(reply, d)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tok.imprint, sum) {
		return nil, fmt.Errorf("the answer is for the imprint %x, expected %x: %w", tok.imprint, sum, ocm.ErrDigest)
	}
	if tok.nonce == nil || tok.nonce.Cmp(nonce) != 0 {
		return nil, fmt.Errorf("the answer is for another request: nonce %v, expected %v: %w", tok.nonce, nonce, ocm.ErrInvalid)
	}
	now := env.Time()
	if diff := tok.time.Sub(now); diff.Abs() > MaxSkew {
		way := "ahead of"
		if diff < 0 {
			way = "behind"
		}
		return nil, fmt.Errorf("the authority's clock says %s and the clock here says %s: the authority is %s %s it, accepted are %s; set the clock of this computer if it is the wrong one, or ask another authority: %w",
			tok.time.Format(time.RFC3339), now.UTC().Format(time.RFC3339), diff.Abs().Round(time.Second), way, MaxSkew, ocm.ErrInvalid)
	}
	return &ocm.Timestamp{
		Value: string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: reply})),
		Time:  tok.time.Format(time.RFC3339),
	}, nil
}

// buildQuery makes a TimeStampReq (RFC 3161, 2.4.1) that wants the certificates too.
func buildQuery(hash crypto.Hash, sum []byte, nonce *big.Int) ([]byte, error) {
	oid := map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidSHA256, crypto.SHA384: oidSHA384, crypto.SHA512: oidSHA512}[hash]
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(sum)
		})
		b.AddASN1BigInt(nonce)
		b.AddASN1Boolean(true)
	})
	return b.Bytes()
}

// post sends a query and returns the bounded body of a good answer.
func post(ctx context.Context, env *ocm.Env, u *url.URL, query []byte) ([]byte, error) {
	timeout := defaultTimeout
	if env != nil && env.Timeout > 0 {
		timeout = env.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", queryType)
	req.Header.Set("Accept", replyType)
	client := &http.Client{
		Transport:     env.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if err == nil {
		err = req.Context().Err() // a server that sees us hang up may still end its answer as if it were whole
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if err := accepted(resp, body); err != nil {
		return nil, err
	}
	return body, nil
}

// accepted judges what HTTP says about an answer.
func accepted(resp *http.Response, body []byte) error {
	shown := body[:min(len(body), maxShown)]
	switch code := resp.StatusCode; {
	case code == http.StatusOK || code == http.StatusCreated:
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("HTTP status %d, %q: %w", code, shown, ocm.ErrDenied)
	case code == http.StatusNotFound:
		return fmt.Errorf("HTTP status %d, %q, look at the address: %w", code, shown, ocm.ErrNotFound)
	case code >= 300 && code < 400:
		return fmt.Errorf("HTTP status %d to %.*q, which is not followed: use the right address, if that is it: %w", code, maxShown, resp.Header.Get("Location"), ocm.ErrInvalid)
	default:
		return fmt.Errorf("HTTP status %d, %q: %w", code, shown, ocm.ErrInvalid)
	}
	if len(body) > MaxResponse {
		return fmt.Errorf("the answer has more than %d bytes: %w", MaxResponse, ocm.ErrLimit)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != replyType {
		return fmt.Errorf("the answer is %.*q, expected %s: %w", maxShown, resp.Header.Get("Content-Type"), replyType, ocm.ErrInvalid)
	}
	return nil
}

// isLoopback tells hosts of this computer by their name, without asking anybody.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
