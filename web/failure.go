// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"ocm"
)

// failure is a request that did not succeed, with the status of the answer, 0 if there was none.
type failure struct {
	text  string
	code  int
	cause error // nil: no kind fits
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.text
	}
	return f.text + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// Status is the status of the answer that an error of a [Client] tells of, 0 if there was no answer.
func Status(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return 0
}

// passing tells failures that may be gone the next time.
func passing(err error) bool {
	var f *failure
	return errors.As(err, &f) && (PassingStatus(f.code) || f.code == 0 && (Passes(nil, err) || errors.Is(err, ErrSilent)))
}

// refusal makes an error of an answer that is no success. sent tells whether credentials went along.
func (c *Client) refusal(req *http.Request, resp *http.Response, sent bool) error {
	f := &failure{code: resp.StatusCode, text: fmt.Sprintf("%s %s: status %d", req.Method, Place(req.URL), resp.StatusCode)}
	elsewhere := !SameOrigin(resp.Request.URL, req.URL)
	if elsewhere {
		f.text = fmt.Sprintf("%s %s: redirected to %s, which answers with status %d", req.Method, Place(req.URL), resp.Request.URL.Host, resp.StatusCode)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		f.cause = ocm.ErrNotFound
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		f.cause = ocm.ErrDenied
		switch {
		case elsewhere:
			f.text += "; credentials are never sent there"
		case sent:
			f.text += "; credentials were sent: check them, and whether they allow this (" + c.explain() + ")"
		default:
			f.text += "; no credentials were sent: see what is configured by " + c.explain()
		}
	case PassingStatus(resp.StatusCode):
		f.text += "; the server is busy or down, try again later"
	}
	return f
}

// explain is the command that tells which credentials there are.
func (c *Client) explain() string {
	command := "ocm auth explain " + Place(c.origin)
	if c.as != "" && c.as != "Wget" { // which is what the command takes a web address for
		command += " --as " + c.as
	}
	return command
}

// unreachable makes an error of a request that got no usable answer.
func unreachable(req *http.Request, err error) error {
	err = WithoutURL(err)
	f := &failure{text: fmt.Sprintf("%s %s%s", req.Method, Place(req.URL), Hint(req, err)), cause: err}
	if req.Context().Err() != nil {
		f.cause = context.Cause(req.Context())
	}
	return f
}

// validity tells a certificate of another time from a clock that is wrong, which look the same to a program: on a
// machine without a network, it is often the clock.
func validity(c *x509.Certificate, now time.Time) string {
	what := "certificate"
	if c.IsCA {
		what = "certificate of the authority"
	}
	wrong := "has expired: renew it"
	if now.Before(c.NotBefore) {
		wrong = "is not valid yet"
	}
	return fmt.Sprintf(": this machine's clock says %s; the %s %.100q is valid from %s to %s: if the clock is wrong, set it, else the certificate %s",
		now.UTC().Format(time.RFC3339), what, c.Subject, c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), wrong)
}

// Hint tells what may be wrong with a request that got no answer, to be appended to a text; perhaps nothing.
func Hint(req *http.Request, err error) string {
	var cert *tls.CertificateVerificationError
	var outdated x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var dial *net.OpError
	switch {
	case req.Context().Err() != nil:
		return ""
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return ": the server speaks http, not https; if that is intended, write http:// in front of the host"
	case errors.As(err, &outdated) && outdated.Reason == x509.Expired:
		return validity(outdated.Cert, time.Now())
	case errors.As(err, &name):
		return ": the certificate is not for this name: ask for the server by a name that it has"
	case errors.As(err, &cert):
		return ": the certificate is not trusted; add its authority to the system's, or name it by caFiles in http.config.ocm.software or by SSL_CERT_FILE"
	case errors.As(err, &dial) && dial.Op == "proxyconnect":
		return ": the proxy does not answer: see proxy in http.config.ocm.software, and HTTPS_PROXY and HTTP_PROXY"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nobody listens on " + req.URL.Host
	}
	return ""
}
