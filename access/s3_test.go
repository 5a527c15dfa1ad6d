// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/credentials"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

// bucket is a real S3 gateway with a bucket named team.
type bucket struct {
	t   *testing.T
	url string
}

func newBucket(t *testing.T) bucket {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "buckets", "team"), 0o700); err != nil {
		t.Fatal(err)
	}
	return bucket{t, gateway(t, dir)}
}

func gateway(t *testing.T, dir string) string {
	t.Helper()
	url, stop, err := fixture.VersityGW(dir)
	if errors.Is(err, fixture.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// put sends a signed request and returns the headers of the answer.
func (b bucket) put(method, path string, header map[string]string, body string) http.Header {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+"/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(body))
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(hash[:]))
	for name, value := range header {
		req.Header.Set(name, value)
	}
	awsKeys{id: fixture.S3Access, secret: fixture.S3Secret}.sign(req, fixture.S3Region, time.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		b.t.Fatalf("%s %s: %s %v %s", method, path, resp.Status, err, answer)
	}
	return resp.Header
}

func sumOf(body string) string {
	hash := sha256.Sum256([]byte(body))
	return base64.StdEncoding.EncodeToString(hash[:])
}

// keysAt are credentials as a configuration has them.
func keysAt(t *testing.T, identity, properties string) *ocm.Env {
	t.Helper()
	entry := `{"type":"credentials.config.ocm.software","consumers":[{"identity":{` + identity + `},"credentials":[{"type":"Credentials/v1","properties":{` + properties + `}}]}]}`
	found, err := credentials.New([]ocm.Spec{specOf(t, entry)}, credentials.Options{NoDocker: true, Home: t.TempDir(), Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	return &ocm.Env{Credentials: found}
}

func specOf(t testing.TB, raw string) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

const goodKeys = `"accessKeyId":"` + fixture.S3Access + `","secretAccessKey":"` + fixture.S3Secret + `"`

func atHost(url string) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	return `"hostname":"` + host + `","port":"` + port + `","scheme":"http"`
}

func TestS3(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("PUT", "team/some%20folder/a%2Bb.txt", map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Amz-Checksum-Sha256": sumOf("content")}, "content")
	accesstest.Run(t, accesstest.Case{
		Method: S3,
		Env:    keysAt(t, `"type":"S3Bucket",`+atHost(b.url), goodKeys),
		Good: map[string]any{
			"bucketName": "team", "objectKey": "some folder/a+b.txt", "endpoint": b.url, "region": fixture.S3Region, "usePathStyle": true, "other": 1,
		},
		Want:     []byte("content"),
		WantType: "text/plain",
		Missing:  []map[string]any{{"objectKey": "some folder/none.txt"}, {"bucketName": "nobodys"}},
		Wrong: []map[string]any{
			{"bucketName": "../team"}, {"bucketName": "te/am"}, {"objectKey": strings.Repeat("k", 1025)}, {"region": "evil.example/"},
			{"endpoint": "ftp://h"}, {"endpoint": "h"}, {"endpoint": "http://user:pw@h"}, {"endpoint": "http://h?a=b"}, {"endpoint": "http://h#f"},
		},
		Host:    func(hostport string) map[string]any { return map[string]any{"endpoint": "http://" + hostport} },
		Locked:  keysAt(t, `"type":"S3Bucket",`+atHost(b.url), `"accessKeyId":"`+fixture.S3Access+`","secretAccessKey":"not-the-secret"`),
		Secrets: []string{fixture.S3Secret, "not-the-secret"},
	})
}

// TestS3Spellings are the field sets of all names; a transport leads what is for Amazon to the gateway.
func TestS3Spellings(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("PUT", "team/a/b", map[string]string{"Content-Type": "text/plain"}, "content")
	for _, c := range []struct {
		method ocm.Method
		good   map[string]any
	}{
		{S3V1, map[string]any{"bucket": "team", "key": "a/b", "region": fixture.S3Region}},
		{S3V2, map[string]any{"bucketName": "team", "objectKey": "a/b", "region": fixture.S3Region, "mediaType": "text/plain"}},
		{S3, map[string]any{"bucketName": "team", "objectKey": "a/b", "region": fixture.S3Region}},
	} {
		t.Run(c.method.Names[0], func(t *testing.T) {
			env := keysAt(t, `"type":"S3","pathprefix":"team/a"`, `"awsAccessKeyID":"`+fixture.S3Access+`","awsSecretAccessKey":"`+fixture.S3Secret+`"`)
			env.HTTP = &amazon{t: t, store: b.url, regions: map[string]string{"team": fixture.S3Region}}
			accesstest.Run(t, accesstest.Case{Method: c.method, Env: env, Good: c.good, Want: []byte("content"), WantType: "text/plain"})
		})
	}
}

// amazon leads requests for hosts of Amazon to a gateway, with a signature for it in place of the one for
// Amazon. It answers in the wrong region as Amazon does.
type amazon struct {
	t       *testing.T
	store   string
	regions map[string]string // by bucket
	mu      sync.Mutex
	asked   []string // "METHOD host path"
}

func (a *amazon) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.asked = append(a.asked, req.Method+" "+req.URL.Host+req.URL.Path)
	a.mu.Unlock()
	name, rest, _ := strings.Cut(req.URL.Host, ".s3.")
	path := "/" + name + req.URL.EscapedPath()
	if strings.HasPrefix(req.URL.Host, "s3.") {
		rest, path = strings.TrimPrefix(req.URL.Host, "s3."), req.URL.EscapedPath()
		name = strings.Split(path, "/")[1]
	}
	region := a.regions[name]
	if rest != region+".amazonaws.com" {
		return &http.Response{Status: "301 Moved", StatusCode: 301, Header: http.Header{"X-Amz-Bucket-Region": {region}}, Body: http.NoBody, Request: req}, nil
	}
	auth := req.Header.Get("Authorization")
	to, err := http.NewRequest(req.Method, a.store+path+"?"+req.URL.RawQuery, nil)
	if err != nil {
		return nil, err
	}
	to.Header = req.Header.Clone()
	if auth != "" {
		if !strings.Contains(auth, "/"+region+"/s3/") {
			a.t.Errorf("signed for another region: %s", auth)
		}
		awsKeys{id: fixture.S3Access, secret: fixture.S3Secret}.sign(to, fixture.S3Region, time.Now())
	}
	return http.DefaultTransport.RoundTrip(to)
}

func TestS3Region(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("PUT", "team/k", nil, "content")
	env := keysAt(t, `"type":"S3Bucket","hostname":"s3.amazonaws.com"`, goodKeys)
	amz := &amazon{t: t, store: b.url, regions: map[string]string{"team": "eu-central-1"}}
	env.HTTP = amz
	c, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","region":"us-west-2"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "content" {
		t.Errorf("found %q", got)
	}
	want := "HEAD team.s3.us-west-2.amazonaws.com/k|HEAD team.s3.us-west-2.amazonaws.com/k|HEAD team.s3.eu-central-1.amazonaws.com/k|GET team.s3.eu-central-1.amazonaws.com/k"
	if got := strings.Join(amz.asked, "|"); got != want {
		t.Errorf("expected %s\nfound %s", want, got)
	}
	// what Amazon would say must not become another host
	for _, region := range []string{"evil.example/", "evil.example", "evil_1"} {
		amz.regions["team"] = region
		if _, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k"}`)); err == nil || strings.Contains(strings.Join(amz.asked, " "), "evil") {
			t.Errorf("asked %s: %v", amz.asked, err)
		}
	}
}

func readAll(t testing.TB, c ocm.Content) string {
	t.Helper()
	rc, err := blob.OpenContent(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	all, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// readErr is the error of opening or reading.
func readErr(t testing.TB, c ocm.Content) error {
	t.Helper()
	rc, err := blob.OpenContent(context.Background(), c)
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(io.Discard, rc)
	return err
}

func TestS3Versions(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("PUT", "team?versioning", nil, `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`)
	b.put("PUT", "team/k", map[string]string{"X-Amz-Checksum-Sha256": sumOf("first")}, "first")
	env := keysAt(t, `"type":"S3Bucket",`+atHost(b.url)+`,"path":"team"`, goodKeys)
	good := `{"type":"S3Bucket/v1","bucketName":"team","objectKey":"k","region":"` + fixture.S3Region + `","endpoint":"` + b.url + `","other":{"a":1}}`
	c, err := S3.Open(t.Context(), env, specOf(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if c.Root.Digest != digest.FromString("first") || c.Root.Size != 5 || c.Pinned == nil || !strings.Contains(string(c.Pinned.Raw), `"other":{"a":1}`) || !strings.Contains(string(c.Pinned.Raw), `"version":"`) {
		t.Errorf("found %+v, pinned %s", c.Root, c.Pinned)
	}
	b.put("PUT", "team/k", nil, "second version")
	again, err := S3.Open(t.Context(), env, *c.Pinned)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c) + " " + readAll(t, again); got != "first first" || again.Pinned != nil {
		t.Errorf("found %q", got)
	}
	now, err := S3.Open(t.Context(), env, specOf(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, now); got != "second version" {
		t.Errorf("found %q", got)
	}
}

// TestS3ChangedObject: without versions, what was described is what is read, or nothing.
func TestS3ChangedObject(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("PUT", "team/k", nil, "first")
	env := keysAt(t, `"type":"S3Bucket",`+atHost(b.url), goodKeys)
	c, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","region":"`+fixture.S3Region+`","endpoint":"`+b.url+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	b.put("PUT", "team/k", nil, "other")
	if err := readErr(t, c); err == nil || !strings.Contains(err.Error(), "412") {
		t.Errorf("found %v", err)
	}
}

// TestS3Keys are keys that signatures and addresses must escape alike.
func TestS3Keys(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	env := keysAt(t, `"type":"S3Bucket",`+atHost(b.url), goodKeys)
	for _, key := range []string{"a+b", "a b", "ü/ñ", "100%41~*'()", "a=b&c;d", "#?", "x:y@z", `"<>^|{}[]$,!`, "...", "-_.~"} {
		b.put("PUT", "team/"+awsEscape(key, "/"), nil, key)
		s, err := ocm.NewSpec(map[string]any{"type": "S3Bucket", "bucketName": "team", "objectKey": key, "region": fixture.S3Region, "endpoint": b.url})
		if err != nil {
			t.Fatal(err)
		}
		c, err := S3.Open(t.Context(), env, s)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if got := readAll(t, c); got != key {
			t.Errorf("expected %q, found %q", key, got)
		}
	}
}

func TestS3StoredCompressed(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	zipped := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00"
	b.put("PUT", "team/k", map[string]string{"Content-Encoding": "gzip", "Content-Type": "text/plain"}, zipped)
	env := keysAt(t, `"type":"S3Bucket",`+atHost(b.url), goodKeys)
	c, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","region":"`+fixture.S3Region+`","endpoint":"`+b.url+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != zipped {
		t.Errorf("found %q", got)
	}
}

func TestS3Anonymous(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", fixture.S3Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", fixture.S3Secret)
	b := newBucket(t)
	b.put("PUT", "team/public/k", nil, "content")
	b.put("PUT", "team/private/k", nil, "content")
	b.put("PUT", "team?policy", nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::team/public/*"}]}`)
	good := `{"type":"S3Bucket","bucketName":"team","objectKey":"%s/k","endpoint":"` + b.url + `"}`
	c, err := S3.Open(t.Context(), &ocm.Env{}, specOf(t, fmt.Sprintf(good, "public")))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "content" {
		t.Errorf("found %q", got)
	}
	// the variables of the process are nobody's order
	if _, err := S3.Open(t.Context(), &ocm.Env{}, specOf(t, fmt.Sprintf(good, "private"))); !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("found %v", err)
	}
}

// s3ProtocolServer answers as little as S3 does, and notes who signed.
func s3ProtocolServer(t *testing.T, header map[string]string, body func(w http.ResponseWriter)) (url string, signed func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization")+r.Header.Get("X-Amz-Security-Token"))
		mu.Unlock()
		for name, value := range header {
			w.Header().Set(name, value)
		}
		if r.Method != http.MethodHead {
			body(w)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []string { mu.Lock(); defer mu.Unlock(); return seen }
}

// TestCVE202648978SignatureForAnotherHost: the endpoint in a descriptor says who is asked, not who gets signatures (compare
// CVE-2026-48978, where a server said it).
func TestCVE202648978SignatureForAnotherHost(t *testing.T) {
	t.Parallel()
	evil, signed := s3ProtocolServer(t, map[string]string{"Content-Length": "1"}, func(w http.ResponseWriter) { io.WriteString(w, "x") })
	s := specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"`+evil+`"}`)
	port := evil[strings.LastIndex(evil, ":")+1:]
	for _, identity := range []string{
		`"type":"S3Bucket"`, `"type":"S3Bucket","path":"team"`, `"type":"S3","pathprefix":"team"`, `"type":"S3Bucket","hostname":"s3.amazonaws.com"`,
		`"type":"S3Bucket","hostname":"127.0.0.1"`, `"type":"S3Bucket","hostname":"127.0.0.1","scheme":"https","port":"` + port + `"`,
		`"type":"S3Bucket","hostname":"team"`, `"type":"Wget","hostname":"127.0.0.1","port":"` + port + `"`,
		`"type":"S3Bucket","hostname":"127.0.0.1","port":"` + port + `","path":"other"`,
	} {
		if _, err := S3.Open(t.Context(), keysAt(t, identity, goodKeys+`,"sessionToken":"session"`), s); err != nil {
			t.Error(err)
		}
	}
	for _, got := range signed() {
		if got != "" {
			t.Errorf("a signature went to somebody for whom there are no credentials: %s", got)
		}
	}
	if _, err := S3.Open(t.Context(), keysAt(t, `"type":"S3Bucket","hostname":"127.0.0.1","port":"`+port+`"`, goodKeys+`,"token":"session"`), s); err != nil {
		t.Error(err)
	}
	if all := signed(); !strings.Contains(all[len(all)-1], "Credential="+fixture.S3Access) || !strings.HasSuffix(all[len(all)-1], "session") {
		t.Errorf("with credentials for the host: found %q", all[len(all)-1])
	}
}

// TestS3PlainHTTP: a descriptor cannot lead a signature over a connection that others can read.
func TestS3PlainHTTP(t *testing.T) {
	t.Parallel()
	env := keysAt(t, `"type":"S3Bucket","hostname":"s3.acme.example","port":"8080"`, goodKeys)
	env.HTTP = roundTrip(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, errors.New("no") })
	_, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"http://s3.acme.example:8080"}`))
	if !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "plain http") {
		t.Errorf("found %v", err)
	}
	// nor by writing out the port that http has anyway
	env.Credentials = keysAt(t, `"type":"S3Bucket","hostname":"s3.acme.example"`, goodKeys).Credentials
	_, err = S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"http://s3.acme.example:80"}`))
	if !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "plain http") {
		t.Errorf("port 80: found %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestS3HalfSecret(t *testing.T) {
	t.Parallel()
	env := keysAt(t, `"type":"S3Bucket","hostname":"h"`, `"secretAccessKey":"very-secret"`)
	_, err := S3.Open(t.Context(), env, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"https://h"}`))
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "accessKeyId") || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("found %v", err)
	}
}

// TestS3EndlessObject: what never ends, ends where the store said that it would.
func TestS3EndlessObject(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter) {
		w.Header().Del("Content-Length")
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for what, header := range map[string]map[string]string{
		"size":   {"Content-Length": "70000"},
		"digest": {"Content-Length": "70000", "X-Amz-Checksum-Sha256": sumOf("content")},
	} {
		url, _ := s3ProtocolServer(t, header, endless)
		c, err := S3.Open(t.Context(), &ocm.Env{}, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"`+url+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := readErr(t, c); !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "70000") {
			t.Errorf("%s: found %v", what, err)
		}
	}
}

func TestS3WrongChecksum(t *testing.T) {
	t.Parallel()
	url, _ := s3ProtocolServer(t, map[string]string{"Content-Length": "5", "X-Amz-Checksum-Sha256": sumOf("right")}, func(w http.ResponseWriter) { io.WriteString(w, "wrong") })
	c, err := S3.Open(t.Context(), &ocm.Env{}, specOf(t, `{"type":"S3Bucket","bucketName":"team","objectKey":"k","endpoint":"`+url+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := readErr(t, c); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("found %v", err)
	}
}

func TestWholeSHA256(t *testing.T) {
	t.Parallel()
	whole := sumOf("x")
	for _, c := range []struct {
		sum, typ string
		want     digest.Digest
	}{
		{whole, "FULL_OBJECT", digest.FromString("x")}, {whole, "", digest.FromString("x")}, {whole, "COMPOSITE", ""}, {whole + "-2", "", ""}, {"", "", ""}, {"AAAA", "", ""},
	} {
		if got := wholeSHA256(http.Header{"X-Amz-Checksum-Sha256": {c.sum}, "X-Amz-Checksum-Type": {c.typ}, "Etag": {`"x"`}}); got != c.want {
			t.Errorf("%+v: found %s", c, got)
		}
	}
}

func TestS3Addresses(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]object{
		"https://team.s3.us-east-1.amazonaws.com/a/b%20c?versionId=v%2F1": {bucket: "team", key: "a/b c", version: "v/1"},
		"https://s3.eu-west-1.amazonaws.com/my.team/k":                    {bucket: "my.team", key: "k", region: "eu-west-1"},
		"https://s3.eu-west-1.amazonaws.com/team/k":                       {bucket: "team", key: "k", region: "eu-west-1", pathStyle: true},
		"https://team.s3.cn-north-1.amazonaws.com.cn//k/../%3F":           {bucket: "team", key: "/k/../?", region: "cn-north-1"},
		"https://team.store.acme.org:8443/base/k":                         {bucket: "team", key: "k", endpoint: "https://store.acme.org:8443/base/"},
		"http://10.1.2.3:9000/team/k":                                     {bucket: "team", key: "k", endpoint: "http://10.1.2.3:9000"},
		"http://localhost:9000/team/k":                                    {bucket: "team", key: "k", endpoint: "http://localhost:9000"},
		"https://store.acme.org/My_team/k":                                {bucket: "My_team", key: "k", endpoint: "https://store.acme.org"},
	} {
		base, err := o.base(ocm.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		if got := o.url(base).String(); got != want {
			t.Errorf("expected %s, found %s", want, got)
		}
	}
}

// FuzzS3: no access leads anywhere but to the host that it names, or to S3 of Amazon.
func FuzzS3(f *testing.F) {
	f.Add("team", "k", "eu-west-1", "", "v", false)
	f.Add("my.team", "a/../b?#%", "", "https://h.example:1/x", "", true)
	f.Add("00", "0", "", "http://A:", "0", true)
	f.Add("..", "\xff", "evil.example/", "http://u:p@h", "", false)
	f.Fuzz(func(t *testing.T, bucket, key, region, endpoint, version string, pathStyle bool) {
		env := &ocm.Env{HTTP: roundTrip(func(req *http.Request) (*http.Response, error) {
			host := req.URL.Hostname()
			if endpoint == "" && !strings.HasSuffix(host, ".amazonaws.com") && !strings.HasSuffix(host, ".amazonaws.com.cn") {
				t.Errorf("asked %s", req.URL)
			}
			if endpoint == "" && !strings.HasPrefix(strings.TrimPrefix(host, bucket+"."), "s3.") {
				t.Errorf("asked %s", req.URL)
			}
			if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || !strings.HasSuffix(req.URL.Hostname(), u.Hostname())) {
				t.Errorf("asked %s", req.URL)
			}
			return nil, errors.New("no")
		})}
		s, err := ocm.NewSpec(map[string]any{"type": "S3Bucket", "bucketName": bucket, "objectKey": key, "region": region, "endpoint": endpoint, "version": version, "usePathStyle": pathStyle})
		if err != nil {
			return
		}
		if _, err := S3.Open(t.Context(), env, s); err == nil {
			t.Error("there is nothing to open")
		}
	})
}
