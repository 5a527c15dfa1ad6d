// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validity of certificates: longer than any test.
const validity = 24 * time.Hour

// authority is the cluster's own certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate with its key, as PEM.
type pair struct{ cert, key []byte }

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, cert: template(pkix.Name{CommonName: "test cluster"})}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.cert, err = x509.ParseCertificate(der) // with its key identifier
	return a, err
}

func template(name pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails with this reader
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: name, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature}
}

// issue makes a certificate: of a server if it has hosts, else of a client, whose common name is the user and whose
// organizations are the user's groups.
func (a *authority) issue(name pkix.Name, hosts ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	t := template(name)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyPEM, err := encodeKey(key)
	return pair{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: keyPEM}, err
}

// encodeKey writes a key in the one form that every part reads, also where it wants the public half of it.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// makeIdentities makes everything that the servers need to know each other by, chooses the address of the API server, and makes the
// users of the parts and the administrator.
func (c *Cluster) makeIdentities() error {
	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for name, key := range map[string]*ecdsa.PrivateKey{"ca.key": c.ca.key, "sa.key": accounts} {
		text, err := encodeKey(key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.pki(name), text, 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.pki("ca.crt"), c.ca.pem, 0o600); err != nil {
		return err
	}
	server := pkix.Name{CommonName: "kube-apiserver"}
	if err := c.writePair("apiserver", server, "127.0.0.1", c.address.String(), "10.96.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	server.Organization = []string{"system:masters"}
	if err := c.writePair("client", server); err != nil { // to kubelet
		return err
	}
	if c.apiAddr, err = freeAddressOf(c.address.String()); err != nil {
		return err
	}
	if c.admin, err = c.identify(admin, "system:masters"); err != nil {
		return err
	}
	for _, part := range []string{"system:kube-controller-manager", "system:kube-scheduler"} {
		if _, err := c.identify(part); err != nil {
			return err
		}
	}
	return nil
}

// writePair writes a certificate and its key, as [authority.issue] makes them.
func (c *Cluster) writePair(file string, name pkix.Name, hosts ...string) error {
	p, err := c.ca.issue(name, hosts...)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(c.pki(file+".crt"), p.cert, 0o600), os.WriteFile(c.pki(file+".key"), p.key, 0o600))
}

func (c *Cluster) pki(name string) string { return filepath.Join(c.dir, "pki", name) }

// kubeconfig is the file that a part uses to be a user.
func (c *Cluster) kubeconfig(user string) string { return c.pki(user + ".kubeconfig") }

// identify makes a user, and the file by which a part is that user.
func (c *Cluster) identify(user string, groups ...string) (*rest.Config, error) {
	cfg, err := c.identity(user, groups...)
	if err != nil {
		return nil, err
	}
	return cfg, c.writeKubeconfig(c.kubeconfig(user), cfg, "")
}

// identity is the configuration of a client with a certificate of a user.
func (c *Cluster) identity(user string, groups ...string) (*rest.Config, error) {
	p, err := c.ca.issue(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return nil, err
	}
	cfg := c.anonymous()
	cfg.CertData, cfg.KeyData = p.cert, p.key
	return cfg, nil
}

// anonymous knows the cluster, and is nobody. Requests are not slowed down by the client.
func (c *Cluster) anonymous() *rest.Config {
	return &rest.Config{Host: "https://" + c.apiAddr, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem}}
}

func (c *Cluster) writeKubeconfig(path string, cfg *rest.Config, namespace string) error {
	k := clientcmdapi.NewConfig()
	k.Clusters["test"] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	k.AuthInfos["user"] = &clientcmdapi.AuthInfo{ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, Token: cfg.BearerToken}
	k.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "user", Namespace: namespace}
	k.CurrentContext = "test"
	return clientcmd.WriteToFile(*k, path)
}
