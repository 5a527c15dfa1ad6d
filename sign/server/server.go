// SPDX-License-Identifier: Apache-2.0

// Package server signs with an RSA key that a signing server keeps: only the digest travels there, and
// a signature with the certificate of the signer comes back. It speaks the protocol of the
// signing server of the older tool, under that tool's names rsa-signingservice and
// rsapss-signingservice. What it returns is an RSA signature with a PEM value, which package
// ocm/sign/rsa verifies.
//
// # The protocol
//
// From the documentation of the server is: POST to /sign/rsassa-pkcs1-v1_5 with the query parameter
// hashAlgorithm, which is the name of the hash that was used ("SHA-256"; without it the data would be
// signed as it is); the header Content-Encoding: hex says that the body is hex text, and Accept:
// application/x-pem-file asks for PEM. Success is status 200, with the signature, the certificate
// of the signer and, as the server is configured, intermediates and roots. A body may have no
// more than 2048 bytes. Clients are told apart by TLS client certificates. (That is its README. A second
// document beside it tells of JSON that is sent to /sign, without certificates in the answer; the two do not
// go together, and the README's options and names are those of the server's own command line.)
//
// The documentation is silent on four things, where this is our reading: RSASSA-PSS is asked for
// at /sign/rsassa-pss; the body has the Content-Type text/plain; an answer may, beside
// application/x-pem-file, be called text/plain or nothing, as it is PEM that counts and not its name;
// and a SIGNATURE block need not name its algorithm, but if it does it is the right one.
//
// # The answer is not believed
//
// It is bounded in size and time; a redirect is not followed, to no host. The signature must fit the
// digest that was sent and the certificate that came with it, and what is stored is written anew from
// what was checked (see [rsa.Foreign]). The server's own word for it, TLS, counts for nothing more
// than to keep others from listening: https is required, except for this computer.
//
// # Credentials
//
// As the older tool documents them: consumer {type: Signingserver.gardener.cloud, hostname, port, scheme,
// path or pathprefix}, with the properties
//
//   - clientCert: certificate of the client, followed by its intermediates.
//   - privateKey: the key for it.
//   - caCerts: roots that the server's TLS certificate must lead to, instead of those of the system.
//
// All are PEM text and optional; of the first two there is none or both. Each has a variant with
// the ending File (clientCertFile and so on; our addition) that names a file, relative to
// the current directory. Inline text wins. A configuration with both, server and certificates:
//
//	type: generic.config.ocm.software/v1
//	configurations:
//	- type: signing.config.ocm.software/v1alpha1
//	  signer: {type: rsa-signingservice, url: https://signing.example.com:8443}
//	- type: credentials.config.ocm.software
//	  consumers:
//	  - identity: {type: Signingserver.gardener.cloud, hostname: signing.example.com, port: "8443"}
//	    credentials:
//	    - type: Credentials/v1
//	      properties: {clientCertFile: client.pem, privateKeyFile: client.key, caCertsFile: ca.pem}
package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ocm"
	"ocm/sign/rsa"
)

// Configuration types, which are the names that the older tool gives to its handlers.
const (
	PKCS1v15 = "rsa-signingservice"
	PSS      = "rsapss-signingservice"
)

// ConfigTypes are the names under which [Handler] is registered as signer.
var ConfigTypes = []string{PKCS1v15, PSS}

// IdentityType is the type of the consumer identity that certificates are asked for with.
const IdentityType = "Signingserver.gardener.cloud"

// MaxAnswerSize is the greatest length of an answer in bytes.
const MaxAnswerSize = 256 << 10

// DefaultTimeout is how long an answer may take where the environment does not say: a server may have
// to wait for the hardware that holds its key.
const DefaultTimeout = time.Minute

// maxExcerpt bounds what is quoted of a server's explanation, in bytes.
const maxExcerpt = 300

// Config is the signer's configuration.
type Config struct {
	Type string `json:"type"` // PKCS1v15 or PSS
	URL  string `json:"url" need:"yes" about:"address of the server, with the path that it lives under; https, or http on this computer"`
}

// Handler is the [ocm.Signer] that asks a server. The zero value is ready.
type Handler struct{}

var _ ocm.Signer = Handler{}

// Sign lets the server that the [Config] in s names sign the digest. The name of the signature is not
// told to it: which key signs is the server's choice. [ocm.ErrInvalid] for a configuration or
// digest that is unfit, [ocm.ErrDenied] if the server wants another client, [ocm.ErrSignature], [ocm.ErrInvalid] or
// [ocm.ErrLimit] for an answer that is no good signature.
func (Handler) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	v, err := sign(ctx, env, d, s)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q by a server: %w", name, err)
	}
	return v, nil
}

func sign(ctx context.Context, env *ocm.Env, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	algorithm, at, err := parseConfig(s)
	if err != nil {
		return none, err
	}
	if err := checkDigest(d); err != nil {
		return none, err
	}
	timeout := DefaultTimeout
	if env != nil && env.Timeout > 0 {
		timeout = env.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no whole answer in %s: %w", timeout, context.DeadlineExceeded))
	defer cancel()
	answer, err := ask(ctx, env, at, algorithm, d)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return none, fmt.Errorf("%s: %w", at, err)
	}
	v, err := rsa.Foreign(algorithm, string(answer), d, env.Time())
	if err != nil {
		return none, fmt.Errorf("%s: answer: %w", at, err)
	}
	return v, nil
}

// parseConfig returns the signature algorithm and the place of the server.
func parseConfig(s ocm.Spec) (algorithm string, at *url.URL, err error) {
	var c Config
	switch s.Type {
	case PKCS1v15:
		algorithm = rsa.PKCS1v15
	case PSS:
		algorithm = rsa.PSS
	default:
		return "", nil, fmt.Errorf("configuration type %q is not one for a signing server, expected %s: %w", s.Type, strings.Join(ConfigTypes, " or "), ocm.ErrUnknownType)
	}
	if err := s.Decode(&c); err != nil {
		return "", nil, err
	}
	if c.URL == "" {
		return "", nil, fmt.Errorf("which server is not said: set url in the signer's configuration of type %s: %w", s.Type, ocm.ErrInvalid)
	}
	if at, err = url.Parse(c.URL); err != nil { // the error quotes the text, in which there may be a password
		return "", nil, fmt.Errorf("url is malformed: %w", ocm.ErrInvalid)
	}
	switch {
	case at.User != nil || at.RawQuery != "" || at.ForceQuery || at.Fragment != "":
		err = fmt.Errorf("url of host %q has a user, query or fragment, expected scheme, host and path only: %w", at.Host, ocm.ErrInvalid)
	case at.Hostname() == "" || at.Scheme != "https" && at.Scheme != "http":
		err = fmt.Errorf("url %q, expected https://host[:port][/path]: %w", at, ocm.ErrInvalid)
	case at.Scheme == "http" && !isLoopback(at.Hostname()):
		err = fmt.Errorf("url %q: anybody on the way could answer, expected https: %w", at, ocm.ErrInvalid)
	}
	return algorithm, at, err
}

// isLoopback tells this computer by its name, without asking anybody.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkDigest lets nothing but a hash out of the house.
func checkDigest(d ocm.Digest) error {
	size, ok := map[string]int{ocm.SHA256: 32, "SHA-384": 48, ocm.SHA512: 64}[d.HashAlgorithm]
	if !ok {
		return fmt.Errorf("digest: hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	if _, err := hex.DecodeString(d.Value); err != nil || len(d.Value) != 2*size {
		return fmt.Errorf("digest: value is not %d hex digits, as %s needs: %w", 2*size, d.HashAlgorithm, ocm.ErrInvalid)
	}
	return nil
}

// ask sends the digest and returns the answer, bounded and unread.
func ask(ctx context.Context, env *ocm.Env, at *url.URL, algorithm string, d ocm.Digest) ([]byte, error) {
	client, err := dial(ctx, env, at)
	if err != nil {
		return nil, err
	}
	defer client.close()
	u := at.JoinPath("sign", strings.ToLower(algorithm))
	u.RawQuery = url.Values{"hashAlgorithm": {d.HashAlgorithm}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(strings.ToLower(d.Value)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Content-Encoding", "hex")
	req.Header.Set("Accept", rsa.MediaTypePEM)
	// A round trip and not a client: there are no redirects and no cookies.
	resp, err := client.transport.RoundTrip(req)
	if err != nil {
		return nil, client.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswerSize+1))
	if err == nil {
		err = ctx.Err() // a server that sees us hang up may still end its answer as if it were whole
	}
	if err != nil {
		return nil, client.explain(err)
	}
	if err := checkAnswer(resp.StatusCode, resp.Header.Get("Content-Type"), body); err != nil {
		return nil, client.explain(err)
	}
	return body, nil
}

// checkAnswer refuses what cannot be an answer, before it is read.
func checkAnswer(status int, contentType string, body []byte) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("status %d%s: %w", status, excerpt(body), ocm.ErrDenied)
	case status >= 300 && status < 400:
		return fmt.Errorf("status %d: a redirect is not followed, set url to where the server is: %w", status, ocm.ErrInvalid)
	case status != http.StatusOK:
		return fmt.Errorf("status %d, expected 200%s: %w", status, excerpt(body), ocm.ErrInvalid)
	case len(body) > MaxAnswerSize:
		return fmt.Errorf("answer has more than %d bytes: %w", MaxAnswerSize, ocm.ErrLimit)
	}
	if contentType == "" {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || !slices.Contains([]string{rsa.MediaTypePEM, "text/plain"}, mediaType) {
		return fmt.Errorf("answer has the content type %q, expected %s: %w", contentType, rsa.MediaTypePEM, ocm.ErrInvalid)
	}
	return nil
}

// excerpt quotes the beginning of a server's explanation.
func excerpt(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.*q)", maxExcerpt, body)
}
