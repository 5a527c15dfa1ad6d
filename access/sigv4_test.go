// SPDX-License-Identifier: Apache-2.0

package access

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignatureVectors are the examples that Amazon publishes in the API reference of S3, "Authenticating
// Requests: Using the Authorization Header", with its example keys.
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	keys := awsKeys{id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for url, want := range map[string]string{
		"/test.txt":             "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		"/?lifecycle":           "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		"/?max-keys=2&prefix=J": "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	} {
		req, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com"+url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if url == "/test.txt" {
			req.Header.Set("Range", "bytes=0-9")
		}
		keys.sign(req, "us-east-1", now)
		if got := req.Header.Get("Authorization"); !strings.HasSuffix(got, ",Signature="+want) || !strings.Contains(got, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,") {
			t.Errorf("%s: expected signature %s, found %s", url, want, got)
		}
	}
}

func TestSignedAgain(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequest(http.MethodGet, "https://h/b/k?versionId=a%2Bb", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := awsKeys{id: "id", secret: "s", session: "token"}
	keys.sign(req, "r", time.Unix(0, 0))
	first := req.Header.Get("Authorization")
	keys.sign(req, "r", time.Unix(0, 0))
	if req.Header.Get("Authorization") != first || !strings.Contains(first, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,") {
		t.Errorf("found %s, then %s", first, req.Header.Get("Authorization"))
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	if got := awsEscape("a b/ü+~*'(%", "/"); got != "a%20b/%C3%BC%2B~%2A%27%28%25" {
		t.Errorf("found %s", got)
	}
}
