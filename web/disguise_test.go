// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ocm"
	"ocm/credentials"
	"ocm/internal/fault"
	"ocm/web"
)

// Addresses of this computer and of metadata services, in forms that something between us and the wire takes for them:
// the resolver, net/http's mapping of names, a translator of IPv6.
var disguised = []string{
	"ｌocalhost", "127.0.0.１", "１２７.0.0.1", "127。0。0。1", "169.254.169.２５４", "ⓜetadata.google.internal",
	"localhost..", "127.0.0.1.", "127.0.0.99999999999999999999999", "0X7F.1", "0177.1", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]",
	"[::127.0.0.1]", "[fd00:0ec2:0:0::254]", "[::ffff:100.100.100.200]", "[64:ff9b::6464:64c8]",
}

func TestGHSA_vh4v_2xq2_g5cg_DisguisedAddresses(t *testing.T) {
	t.Parallel()
	for _, host := range disguised {
		evil := answer("x")
		at := "https://" + host + "/x"
		env := &ocm.Env{HTTP: fault.Hosts{"files.example.org": to(at), address(t, at).Host: evil}}
		_, err := get(t, env, "https://files.example.org/a")
		wantErr(t, err, ocm.ErrDenied)
		// what a document of the server names is no better than a redirect
		_, err = client(t, env, "https://files.example.org/a").Read(t.Context(), web.Request{URL: address(t, at)}, 10)
		wantErr(t, err, ocm.ErrDenied)
		if len(evil.requests()) > 0 {
			t.Errorf("%s was contacted", host)
		}
	}
	for _, host := range []string{"cdn.example", "10.0.0.1", "3com", "a1.b2", "[64:ff9b::808:808]", "[2001:db8::1]", "xn--mller-kva.example"} {
		if err := web.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A port that is written out does not make another place of one: without scheme and port the credentials are for https.
func TestDowngradeByPort(t *testing.T) {
	t.Parallel()
	secrets := func(identity string) ocm.Credentials {
		entry, err := ocm.NewSpec(ocm.RawJSON(`{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"Wget",` + identity + `},"credentials":[{"type":"Credentials/v1","properties":{"token":"s3cr3t"}}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		store, err := credentials.New([]ocm.Spec{entry}, credentials.Options{NoDocker: true})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	for _, at := range []string{"http://files.example.org/a", "http://files.example.org:80/a", "http://FILES.example.org:80/a"} {
		_, err := web.For(t.Context(), &ocm.Env{Credentials: secrets(`"hostname":"files.example.org"`)}, address(t, at), "Wget")
		wantErr(t, err, ocm.ErrDenied, "plain http")
		for _, identity := range []string{`"hostname":"files.example.org","scheme":"http"`, `"hostname":"files.example.org","port":"80"`} {
			c, err := web.For(t.Context(), &ocm.Env{Credentials: secrets(identity)}, address(t, at), "Wget")
			if err != nil || c.Secret()["token"] == "" {
				t.Errorf("%s, %s: what is meant for http is refused: %v", at, identity, err)
			}
		}
	}
}

// A server that sends a byte now and then is never silent, and never done.
func TestDocumentInDrops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drops := &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(web.StallTimeout / 2)
			}
		})}
		began := time.Now()
		_, err := get(t, &ocm.Env{HTTP: fault.Hosts{"files.example.org": drops}}, "https://files.example.org/a")
		wantErr(t, err, web.ErrSilent, "not complete")
		if took := time.Since(began); took > 20*time.Minute {
			t.Errorf("it took %v", took)
		}
		time.Sleep(web.StallTimeout) // the server notices that nobody listens
	})
}
