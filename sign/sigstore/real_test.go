// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sigstore_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"ocm"
	"ocm/sign/sigstore"
)

// alone is set in the process that has a network of its own: loopback and nothing else. Its servers listen also on
// ports that cannot be chosen, and nothing can leave it.
const alone = "OCM_TEST_NETWORK"

// TestRealServers signs with a real certificate authority, log and timestamp server, and verifies offline.
// "make sigstore-servers" builds them.
func TestRealServers(t *testing.T) {
	for _, name := range []string{"fulcio-server", "rekor-server", "timestamp-server"} {
		if _, err := os.Stat(server(name)); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: run make sigstore-servers", err)
			}
			t.Skipf("NOT TESTED with real Sigstore servers: %v: run make sigstore-servers", err)
		}
	}
	if os.Getenv(alone) == "" && again(t) {
		return
	}
	in := startInstallation(t)
	t.Run("keyless", in.keyless)
	t.Run("keyless without a log", in.withoutLog)
	t.Run("signing config", in.signingConfig)
	t.Run("key", in.key)
	t.Run("refused token", in.refusedToken)
	t.Run("a root of somebody else", in.foreignRoot)
}

func server(name string) string { return filepath.Join("..", "..", "bin", name) }

// again runs this test in a network namespace. It returns false where none can be made.
func again(t *testing.T) bool {
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	c.Env = append(os.Environ(), alone+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Start()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		t.Logf("no network namespace (%v): the servers listen on all interfaces", err)
		return false
	}
	if err == nil {
		err = c.Wait()
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in its own network: %v\n%s", err, out.String())
	}
	t.Logf("in its own network:\n%s", out.String())
	return true
}

// loopback brings lo up in a new namespace.
func loopback(t *testing.T) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		t.Fatal(err)
	}
}

// installation is a Sigstore installation on loopback.
type installation struct {
	*issuer
	fulcio, rekor, tsa string
	root               string // trusted root, JSON
	port               int    // the last one that was given to a server
}

func startInstallation(t *testing.T) *installation {
	if os.Getenv(alone) != "" {
		loopback(t)
	}
	in := &installation{issuer: newIssuer(t), port: 20000 + mathrand.IntN(10000)}
	dir := t.TempDir()
	config := filepath.Join(dir, "fulcio.yaml")
	write(t, config, fmt.Sprintf("oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: email\n", in.URL))
	port := in.freePort(t)
	in.fulcio = "http://127.0.0.1:" + port
	run(t, in.fulcio+"/api/v2/trustBundle", "fulcio-server", "serve", "--ca=ephemeralca", "--ct-log-url=", "--config-path="+config, "--host=127.0.0.1", "--port="+port,
		"--grpc-host=127.0.0.1", "--grpc-port="+in.freePort(t), "--metrics-port="+in.freePort(t), "--legacy-unix-domain-socket="+filepath.Join(dir, "fulcio.sock"))

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "rekor.pem")
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	port = in.freePort(t)
	in.rekor = "http://127.0.0.1:" + port
	run(t, in.rekor+"/healthz", "rekor-server", "serve", "--hostname=rekor.lab", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--http-port="+port, "--grpc-port="+in.freePort(t),
		"--http-metrics-port="+in.freePort(t), "--signer-filepath="+key, "--storage-dir="+filepath.Join(dir, "log"), "--checkpoint-interval=1s", "--batch-max-age=100ms")

	port = in.freePort(t)
	base := "http://127.0.0.1:" + port
	in.tsa = base + "/api/v1/timestamp"
	run(t, base+"/api/v1/timestamp/certchain", "timestamp-server", "serve", "--host=127.0.0.1", "--port="+port, "--timestamp-signer=memory", "--disable-ntp-monitoring")

	var bundle struct {
		Chains []struct {
			Certificates []string `json:"certificates"`
		} `json:"chains"`
	}
	if err := jsonv2.Unmarshal(get(t, in.fulcio+"/api/v2/trustBundle"), &bundle); err != nil || len(bundle.Chains) != 1 {
		t.Fatal(bundle, err)
	}
	in.root = trustedRoot(t, rootParts{
		cas:  [][]*x509.Certificate{certificates(t, strings.Join(bundle.Chains[0].Certificates, "\n"))},
		tsas: [][]*x509.Certificate{certificates(t, string(get(t, base+"/api/v1/timestamp/certchain")))},
		logs: []logPart{{url: "http://rekor.lab", key: public, id: checkpointID(t, "rekor.lab", public)}},
	})
	return in
}

// run starts a server and waits until it answers.
func run(t *testing.T, url, name string, args ...string) {
	t.Helper()
	path, err := filepath.Abs(server(name))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr, c.Dir = &out, &out, t.TempDir()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
	})
	deadline := time.After(30 * time.Second)
	for {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", name, err, out.String())
		case <-deadline:
			t.Fatalf("%s does not answer at %s", name, url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePort is another one each time, which the system does not promise of those that are free, and none of those that it gives to clients.
func (in *installation) freePort(t *testing.T) string {
	for range 1000 {
		in.port++
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", in.port)); err == nil {
			l.Close()
			return strconv.Itoa(in.port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

func get(t *testing.T, url string) []byte {
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (in *installation) signing() sigstore.SigningConfig {
	return sigstore.SigningConfig{Type: "SigstoreSigningConfiguration/v1alpha1", FulcioURL: in.fulcio, RekorURL: in.rekor, TSAURL: in.tsa}
}

func (in *installation) expecting(who string) sigstore.VerificationConfig {
	return sigstore.VerificationConfig{Type: "SigstoreVerificationConfiguration/v1alpha1", Issuer: in.URL, Identity: who}
}

func (in *installation) signer() map[string]string {
	return ocm.Secret{"token": in.token(alice, time.Now().Add(time.Minute), "")}
}

func (in *installation) keyless(t *testing.T) {
	began := time.Now()
	v := sign(t, secrets{signer: in.signer(), verifier: ocm.Secret{"trustedRootJSON": in.root}}, in.signing())
	t.Logf("signed in %s", time.Since(began))
	began = time.Now()
	found, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, v, in.expecting(alice))
	t.Logf("verified in %s: %v", time.Since(began), found)
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundLog, ocm.FoundTime, ocm.FoundChain, ocm.FoundIdentity, ocm.FoundValue, ocm.FoundSigner)
	_, err = verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, v, in.expecting("bob@example.com"))
	wantCheck(t, err, ocm.FoundIdentity, "bob@example.com")
	other := signatureOf(v)
	other.Digest.Value = strings.Repeat("ab", 32)
	_, err = judge(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, other, in.expecting(alice))
	wantCheck(t, err, ocm.FoundValue, "changed")
}

func (in *installation) withoutLog(t *testing.T) {
	c := in.signing()
	c.RekorURL = ""
	v := sign(t, secrets{signer: in.signer(), verifier: ocm.Secret{"trustedRootJSON": in.root}}, c)
	expect := in.expecting(alice)
	_, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, v, expect)
	wantCheck(t, err, ocm.FoundLog, "0 entries")
	expect.PrivateInfrastructure = true
	found, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, v, expect)
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundTime, ocm.FoundChain, ocm.FoundIdentity, ocm.FoundValue, ocm.FoundSigner)
}

// signingConfig takes all addresses from the file of an installation.
func (in *installation) signingConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing_config.json")
	service := `[{"url":%q,"majorApiVersion":%d,"validFor":{"start":"2024-01-01T00:00:00Z"},"operator":"lab"}]`
	write(t, path, fmt.Sprintf(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":`+service+`,"oidcUrls":`+service+`,"rekorTlogUrls":`+service+`,
		"tsaUrls":`+service+`,"rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}}`, in.fulcio, 1, in.URL, 1, in.rekor, 2, in.tsa, 1))
	v := sign(t, secrets{signer: in.signer()}, sigstore.SigningConfig{Type: sigstore.Algorithm, SigningConfig: path})
	if _, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": in.root}}, v, in.expecting(alice)); err != nil {
		t.Error(err)
	}
}

// key signs with keys of every kind, published in the log.
func (in *installation) key(t *testing.T) {
	for name, pair := range keyPairs(t) {
		c := in.signing()
		c.FulcioURL = ""
		trust := ocm.Secret{"trustedRootJSON": in.root, "publicKeyPEM": pair.public}
		v := sign(t, secrets{signer: ocm.Secret{"privateKeyPEM": pair.private}, verifier: trust}, c)
		found, err := verify(t, secrets{verifier: trust}, v, sigstore.VerificationConfig{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantFindings(t, found, ocm.FoundLog, ocm.FoundValue, ocm.FoundSigner)
		trust["publicKeyNotAfter"] = "2020-01-01T00:00:00Z"
		_, err = verify(t, secrets{verifier: trust}, v, sigstore.VerificationConfig{})
		wantCheck(t, err, ocm.FoundTime, "validity")
		trust["publicKeyNotAfter"] = time.Now().Add(time.Hour).Format(time.RFC3339)
		if _, err = verify(t, secrets{verifier: trust}, v, sigstore.VerificationConfig{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refusedToken has a token that is well formed, but for somebody else.
func (in *installation) refusedToken(t *testing.T) {
	other := newIssuer(t)
	token := other.token(alice, time.Now().Add(time.Minute), "")
	_, err := trySign(t, secrets{signer: ocm.Secret{"token": token}}, in.signing(), sigstore.Handler{})
	if err == nil || !strings.Contains(err.Error(), "certificate authority") {
		t.Fatalf("found %v", err)
	}
	noToken(t, err, token)
}

// foreignRoot signs with a trusted root that does not know the services: the signer notices.
func (in *installation) foreignRoot(t *testing.T) {
	_, err := trySign(t, secrets{signer: in.signer(), verifier: ocm.Secret{"trustedRootJSON": newLab(t).root(t)}}, in.signing(), sigstore.Handler{})
	if err == nil || !strings.Contains(err.Error(), "the new signature is not good") {
		t.Fatalf("found %v", err)
	}
}
