// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		d := ocm.Digest{HashAlgorithm: hash.String(), Value: hex.EncodeToString(tsatest.Sum(hash, []byte(content)))}
		ts, err := timestamp.Request(t.Context(), nil, a.URL, d)
		if err != nil {
			t.Fatal(err)
		}
		r, err := timestamp.Check(ts, d, a.Roots())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(ts.Value, "-----BEGIN TIMESTAMP-----\n") || ts.Time != r.Time.Format(time.RFC3339) || time.Since(r.Time) > time.Minute {
			t.Errorf("%s of %s, expected that of %s", ts.Value, ts.Time, r.Time)
		}
	}
}

// The imprint that is asked for is the digest's value, the nonce is new each time, and certificates are wanted.
func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	sum := tsatest.Sum(crypto.SHA256, []byte(content))
	seen := map[string]bool{}
	a.Change = func(k *tsatest.Token) {
		if k.Hash != crypto.SHA256 || !bytes.Equal(k.Imprint, sum) || len(k.Certs) != 2 || k.Nonce.BitLen() < 20 || seen[k.Nonce.String()] {
			t.Errorf("asked for %s %x, %d certificates, nonce %s", k.Hash, k.Imprint, len(k.Certs), k.Nonce)
		}
		seen[k.Nonce.String()] = true
	}
	for range 3 {
		if _, err := timestamp.Request(t.Context(), &ocm.Env{}, a.URL, stamped()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestAnswers(t *testing.T) {
	t.Parallel()
	other := tsatest.Sum(crypto.SHA256, []byte("other"))
	for name, c := range map[string]attack{
		"other nonce":            {func(k *tsatest.Token) { k.Nonce = new(big.Int).Add(k.Nonce, big.NewInt(1)) }, ocm.ErrInvalid, "another request"},
		"no nonce":               {func(k *tsatest.Token) { k.Nonce = nil }, ocm.ErrInvalid, "another request"},
		"other digest":           {func(k *tsatest.Token) { k.Imprint = other }, ocm.ErrDigest, "something else"},
		"the other imprint":      {func(k *tsatest.Token) { k.Imprint = tsatest.Sum(crypto.SHA256, k.Imprint) }, ocm.ErrDigest, "imprint"},
		"clock ahead":            {func(k *tsatest.Token) { k.Time = k.Time.Add(11 * time.Minute) }, ocm.ErrInvalid, "ahead of it"},
		"clock behind":           {func(k *tsatest.Token) { k.Time = k.Time.Add(-11 * time.Minute) }, ocm.ErrInvalid, "behind it"},
		"rejected":               {func(k *tsatest.Token) { k.Status = 2 }, ocm.ErrInvalid, "did not grant"},
		"without certificates":   {func(k *tsatest.Token) { k.Certs = nil }, ocm.ErrInvalid, "not among"},
		"signature of something": {func(k *tsatest.Token) { k.Edit = func(p *tsatest.Pieces) { p.Info = append(p.Info, 0) } }, ocm.ErrInvalid, "TSTInfo"},
		"too long":               {func(k *tsatest.Token) { k.Extensions = tsatest.TLV(0xa0, make([]byte, timestamp.MaxResponse)) }, ocm.ErrLimit, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			a := tsatest.New(t)
			a.Change = c.change
			ts, err := timestamp.Request(t.Context(), nil, a.URL, stamped())
			if ts != nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), a.URL) {
				t.Errorf("got %v, %v; expected %v because of %q", ts, err, c.kind, c.reason)
			}
		})
	}
}

// The clock that counts is the environment's.
func TestRequestWithAClockThatIsWrong(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	now := time.Now().Truncate(time.Second)
	a.Now = func() time.Time { return now }
	env := &ocm.Env{Now: func() time.Time { return now.Add(-24 * time.Hour) }}
	if _, err := timestamp.Request(t.Context(), env, a.URL, stamped()); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "24h0m0s ahead of it") {
		t.Errorf("got %v", err)
	}
	a.Now = env.Now
	if _, err := timestamp.Request(t.Context(), env, a.URL, stamped()); err != nil {
		t.Error(err)
	}
}

func TestRequestHTTP(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	reply := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			w.Write([]byte("\x1b[2Jtext"))
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		kind    error
		reason  string
	}{
		"unauthorised":   {reply(401), ocm.ErrDenied, "401"},
		"forbidden":      {reply(403), ocm.ErrDenied, "403"},
		"not there":      {reply(404), ocm.ErrNotFound, "404"},
		"broken":         {reply(500), ocm.ErrInvalid, "500"},
		"moved":          {reply(307, "Location", a.URL), ocm.ErrInvalid, a.URL},
		"moved for good": {reply(301, "Location", a.URL), ocm.ErrInvalid, "not followed"},
		"web page":       {reply(200, "Content-Type", "text/html"), ocm.ErrInvalid, `"text/html"`},
		"no type":        {reply(200, "Content-Type", ""), ocm.ErrInvalid, "expected application/timestamp-reply"},
		"rubbish":        {reply(200, "Content-Type", "application/timestamp-reply"), ocm.ErrInvalid, "DER"},
		"no content":     {reply(204, "Content-Type", "application/timestamp-reply"), ocm.ErrInvalid, "204"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.handler)
			defer s.Close()
			_, err := timestamp.Request(t.Context(), nil, s.URL+"/tsa", stamped())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("got %q, expected %v because of %q", err, c.kind, c.reason)
			}
		})
	}
	t.Run("created, with a parameter in the type", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			a.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", "Application/Timestamp-Reply; charset=binary")
			w.WriteHeader(201)
			w.Write(rec.Body.Bytes())
		}))
		defer s.Close()
		if _, err := timestamp.Request(t.Context(), nil, s.URL, stamped()); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "tsa.example.com", "http://tsa.example.com", "http://127.0.0.1.example.com", "http://10.0.0.1/", "ftp://127.0.0.1/",
		"file:///etc/passwd", "https:", "https:tsa", "http://user:secret@tsa.example.com/", "://", "http://[::ffff:10.0.0.1]/", "http://\x00:secret@x/"} {
		none := &ocm.Env{HTTP: roundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s was asked", r.URL)
			return nil, errors.New("no")
		})}
		_, err := timestamp.Request(t.Context(), none, address, stamped())
		if !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
	asked := 0
	for _, address := range []string{"https://tsa.example.com/tsr", "http://localhost:1/", "http://127.0.0.2/", "http://[::1]:8080/x"} {
		env := &ocm.Env{HTTP: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked++
			return nil, errors.New("as far as that")
		})}
		if _, err := timestamp.Request(t.Context(), env, address, stamped()); err == nil || !strings.Contains(err.Error(), "as far as that") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times, expected 4", asked)
	}
	if _, err := timestamp.Request(t.Context(), nil, "http://127.0.0.1:1", ocm.Digest{HashAlgorithm: "MD5"}); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that never answers, or never ends its answer, is left after env.Timeout.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hang := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write([]byte{0x30})
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer hang.Close()
	env := &ocm.Env{Timeout: 50 * time.Millisecond}
	for _, address := range []string{"http://" + l.Addr().String(), hang.URL} {
		start := time.Now()
		if _, err := timestamp.Request(t.Context(), env, address, stamped()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := timestamp.Request(ctx, nil, hang.URL, stamped()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An answer without end is not read to the end.
func TestRequestEndlessAnswer(t *testing.T) {
	t.Parallel()
	const chunks = 1024 // of 64 KiB
	sent := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/timestamp-reply")
		for chunk := make([]byte, 64<<10); sent < chunks; sent++ {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	_, err := timestamp.Request(t.Context(), nil, s.URL, stamped())
	s.Close() // waits for the handler
	if !errors.Is(err, ocm.ErrLimit) || sent == chunks {
		t.Errorf("%v, after %d of %d chunks", err, sent, chunks)
	}
}
