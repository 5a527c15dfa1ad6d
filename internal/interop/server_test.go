// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"ocm"
	"ocm/graph"
)

// A version is signed by a signing server, the way a configuration says, and verified as any other with an RSA
// signature. The server is no real one: sign/server tells what is documented of those.
func TestSigningServerSignsAVersion(t *testing.T) {
	t.Parallel()
	p := newParty()
	known := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/sign/rsassa-pss" || string(body) != known {
			http.Error(w, fmt.Sprintf("%s %s %v", r.URL, body, err), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-pem-file")
		fmt.Fprint(w, p.pemOver(known), certs(p.leaf, p.inter, p.root))
	}))
	t.Cleanup(s.Close)
	b := newBench(t)
	d, _ := b.digest()
	known = d.Value
	spec, err := ocm.NewSpec(map[string]string{"type": "rsapss-signingservice", "url": s.URL})
	if err != nil {
		t.Fatal(err)
	}
	b.sign("served", graph.SignOptions{Spec: spec}, "none", nil)
	if err := b.verify("served", "RSA/v1alpha1", ocm.Secret{"caCertPEM": certs(p.root)}); err != nil {
		t.Error(err)
	}
	if err := b.verify("served", "RSA/v1alpha1", ocm.Secret{"caCertPEM": certs(p.alone)}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("by another authority: %v", err)
	}
	known = hex.EncodeToString(make([]byte, 32)) // now the server refuses, and nothing is stored
	before := len(b.open().Descriptor().Signatures)
	b.env.Credentials = nil
	if _, err := b.trySign(graph.SignOptions{Name: "again", Spec: spec}); !errors.Is(err, ocm.ErrInvalid) || len(b.open().Descriptor().Signatures) != before {
		t.Errorf("%d signatures, expected %d: %v", len(b.open().Descriptor().Signatures), before, err)
	}
}
