// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// awsKeys sign requests to Amazon S3 and to what speaks like it.
type awsKeys struct{ id, secret, session string }

// emptyPayload is the digest of no bytes: the requests that are signed here have no body.
const emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sign puts a signature of version 4 into the headers of a request, as "Authenticating Requests: Using the
// Authorization Header" of the API reference of Amazon S3 has it. The path must be escaped already
// ([awsEscape]). Host, Range and all x-amz- headers are signed; a request is signed anew each time it is sent.
func (k awsKeys) sign(req *http.Request, region string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	req.Header.Set("X-Amz-Date", stamp)
	if req.Header.Get("X-Amz-Content-Sha256") == "" {
		req.Header.Set("X-Amz-Content-Sha256", emptyPayload)
	}
	if k.session != "" {
		req.Header.Set("X-Amz-Security-Token", k.session)
	}
	headers, signed := canonicalHeaders(req)
	canonical := strings.Join([]string{
		req.Method, cmp.Or(req.URL.EscapedPath(), "/"), canonicalQuery(req.URL.Query()), headers, signed, req.Header.Get("X-Amz-Content-Sha256"),
	}, "\n")
	digest := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(digest[:])

	key := []byte("AWS4" + k.secret)
	for _, part := range append(strings.Split(scope, "/"), text) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+k.id+"/"+scope+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(key))
}

// canonicalHeaders lists the headers that are signed, one per line, and their names.
func canonicalHeaders(req *http.Request) (lines, names string) {
	all := map[string]string{"host": cmp.Or(req.Host, req.URL.Host)}
	for name, values := range req.Header {
		if name = strings.ToLower(name); name == "range" || strings.HasPrefix(name, "x-amz-") {
			all[name] = strings.Join(strings.Fields(strings.Join(values, ",")), " ")
		}
	}
	var sorted []string
	for name := range all {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		lines += name + ":" + all[name] + "\n"
	}
	return lines, strings.Join(sorted, ";")
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, awsEscape(name, "")+"="+awsEscape(value, ""))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// awsEscape escapes all but letters, digits, the four marks of RFC 3986 and the characters in keep.
func awsEscape(s, keep string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
