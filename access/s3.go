// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/web"
)

const (
	consumerS3    = "S3Bucket" // credentials for the older S3 are found by it, too
	awsDomain     = ".amazonaws.com"
	defaultRegion = "us-east-1"
	maxS3Key      = 1024 // bytes
)

var (
	s3Region = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`) }) // it becomes part of a host name
	s3Bucket = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$`) })
	s3Label  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`) })
)

var s3Notes = []string{
	"Requests are signed with credentials for a consumer of type S3Bucket (accessKeyId, secretAccessKey, sessionToken) whose hostname is the one that is asked; for Amazon also s3.amazonaws.com or none, with bucket/key as path. Without any they are sent as they are. Variables of the environment such as AWS_ACCESS_KEY_ID are not read.",
	"The version of an object is pinned where the bucket keeps versions. A SHA-256 of the whole object is compared if the store tells it; an ETag is no digest.",
	"A bucket of Amazon that is in another region is asked there.",
}

// S3 is an object in a bucket, in the current spelling.
var S3 = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "S3Bucket", "s3Bucket"),
		About:     "An object in a bucket of Amazon S3 or of a server that speaks like it.",
		Fields:    ocm.FieldsOf(s3Spec{}),
		Pins:      "object to version",
		Consumers: []string{"S3Bucket"},
		Notes:     s3Notes,
	},
	Opener: ocm.OpenerFunc(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var a s3Spec
		if err := s.Members(&a); err != nil {
			return ocm.Content{}, err
		}
		o := object{a.Region, a.BucketName, a.ObjectKey, a.Version, a.MediaType, a.Endpoint, a.UsePathStyle}
		return o.open(ctx, env, s, "bucketName", "objectKey", func(version string) any { a.Version = version; return a })
	}),
}

type s3Spec struct {
	Type         string      `json:"type"`
	Region       string      `json:"region,omitempty" about:"region of the bucket; default us-east-1"`
	BucketName   string      `json:"bucketName" need:"yes" about:"name of the bucket"`
	ObjectKey    string      `json:"objectKey" need:"yes" about:"key of the object"`
	Version      string      `json:"version,omitempty" about:"version of the object; default the current one, which is pinned"`
	MediaType    string      `json:"mediaType,omitempty" about:"media type; default what the store says"`
	Endpoint     string      `json:"endpoint,omitempty" about:"address of a store that is not Amazon's, https://host[:port][/path]"`
	UsePathStyle bool        `json:"usePathStyle,omitzero" about:"put the bucket into the path, not into the host name; so it is where it cannot be part of one, and for addresses of numbers"`
	Rest         ocm.RawJSON `json:",embed"`
}

// S3V1 is an object in a bucket of Amazon, in the older tool's first spelling.
var S3V1 = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "s3", "S3"),
		About:     "An object in a bucket of Amazon S3; an older spelling of S3Bucket.",
		Fields:    ocm.FieldsOf(s3V1Spec{}),
		Pins:      "object to version",
		Consumers: []string{"S3Bucket"},
		Notes:     s3Notes,
	},
	Opener: ocm.OpenerFunc(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var a s3V1Spec
		if err := s.Members(&a); err != nil {
			return ocm.Content{}, err
		}
		o := object{region: a.Region, bucket: a.Bucket, key: a.Key, version: a.Version, mediaType: a.MediaType}
		return o.open(ctx, env, s, "bucket", "key", func(version string) any { a.Version = version; return a })
	}),
}

type s3V1Spec struct {
	Type      string      `json:"type"`
	Region    string      `json:"region,omitempty" about:"region of the bucket; default us-east-1"`
	Bucket    string      `json:"bucket" need:"yes" about:"name of the bucket"`
	Key       string      `json:"key" need:"yes" about:"key of the object"`
	Version   string      `json:"version,omitempty" about:"version of the object; default the current one, which is pinned"`
	MediaType string      `json:"mediaType,omitempty" about:"media type; default what the store says"`
	Rest      ocm.RawJSON `json:",embed"`
}

// S3V2 is an object in a bucket of Amazon, in the older tool's second spelling.
var S3V2 = ocm.Method{
	Type: ocm.Type{
		Names:     []string{"s3/v2", "S3/v2"},
		About:     "An object in a bucket of Amazon S3; an older spelling of S3Bucket.",
		Fields:    ocm.FieldsOf(s3V2Spec{}),
		Pins:      "object to version",
		Consumers: []string{"S3Bucket"},
		Notes:     s3Notes,
	},
	Opener: ocm.OpenerFunc(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var a s3V2Spec
		if err := s.Members(&a); err != nil {
			return ocm.Content{}, err
		}
		o := object{region: a.Region, bucket: a.BucketName, key: a.ObjectKey, version: a.Version, mediaType: a.MediaType}
		return o.open(ctx, env, s, "bucketName", "objectKey", func(version string) any { a.Version = version; return a })
	}),
}

type s3V2Spec struct {
	Type       string      `json:"type"`
	Region     string      `json:"region,omitempty" about:"region of the bucket; default us-east-1"`
	BucketName string      `json:"bucketName" need:"yes" about:"name of the bucket"`
	ObjectKey  string      `json:"objectKey" need:"yes" about:"key of the object"`
	Version    string      `json:"version,omitempty" about:"version of the object; default the current one, which is pinned"`
	MediaType  string      `json:"mediaType,omitempty" about:"media type; default what the store says"`
	Rest       ocm.RawJSON `json:",embed"`
}

// object is what all spellings mean.
type object struct {
	region, bucket, key, version, mediaType, endpoint string

	pathStyle bool
}

// open asks for the object's head. bucketField and keyField are what the spelling calls them; pin is the access
// with a version.
func (o object) open(ctx context.Context, env *ocm.Env, s ocm.Spec, bucketField, keyField string, pin func(version string) any) (ocm.Content, error) {
	switch {
	case o.region != "" && !s3Region().MatchString(o.region):
		return ocm.Content{}, fmt.Errorf("type %s: region %.100q: expected a name such as eu-central-1: %w", s.Type, o.region, ocm.ErrInvalid)
	case !s3Bucket().MatchString(o.bucket):
		return ocm.Content{}, fmt.Errorf("type %s: %s %.100q: expected letters, digits, dots and hyphens: %w", s.Type, bucketField, o.bucket, ocm.ErrInvalid)
	case len(o.key) > maxS3Key || !utf8.ValidString(o.key):
		return ocm.Content{}, fmt.Errorf("type %s: %s %.100q: expected at most %d bytes of text: %w", s.Type, keyField, o.key, maxS3Key, ocm.ErrInvalid)
	}
	client, at, head, err := o.head(ctx, env, s)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("object in bucket %s, region %s: %w", o.bucket, o.signingRegion(), err)
	}
	root := ociv1.Descriptor{MediaType: o.mediaType, Digest: wholeSHA256(head.header), Size: head.size}
	if root.MediaType == "" {
		root.MediaType = plainType(head.header.Get("Content-Type"))
	}
	get := web.Request{URL: at, Header: http.Header{"Accept-Encoding": {"identity"}}} // what is stored compressed stays so
	var pinned *ocm.Spec
	switch version := head.header.Get("X-Amz-Version-Id"); {
	case o.version != "":
	case version != "" && version != "null":
		spec, err := ocm.NewSpec(pin(version))
		if err != nil {
			return ocm.Content{}, err
		}
		o.version, pinned = version, &spec
		get.URL = o.at(at)
	case head.header.Get("ETag") != "": // the object that was described, or none
		get.Header.Set("If-Match", head.header.Get("ETag"))
	}
	c := client.Content(get, root)
	c.Root.Size = root.Size // an object may be empty
	c.Pinned = pinned
	return compared(c), nil
}

// s3Head is what a store says about an object.
type s3Head struct {
	header http.Header
	size   int64
}

// head describes the object, in the region where its bucket is.
func (o *object) head(ctx context.Context, env *ocm.Env, s ocm.Spec) (client *web.Client, at *url.URL, h s3Head, err error) {
	ask := func() error {
		base, err := o.base(s)
		if err != nil {
			return err
		}
		at = o.url(base)
		if client, err = o.client(ctx, env, base, at); err != nil {
			return err
		}
		resp, err := client.Do(ctx, web.Request{URL: at, Method: http.MethodHead, Header: http.Header{
			"Accept-Encoding": {"identity"}, "X-Amz-Checksum-Mode": {"ENABLED"},
		}})
		if err != nil {
			return err
		}
		resp.Body.Close()
		h = s3Head{resp.Header, resp.ContentLength}
		return nil
	}
	err = ask()
	if err != nil && o.endpoint == "" && !errors.Is(err, ocm.ErrNotFound) && ctx.Err() == nil {
		if region := regionOf(ctx, env, at); region != "" && region != o.signingRegion() {
			o.region = region
			err = ask()
		}
	}
	return client, at, h, err
}

// regionOf asks Amazon for the region of a bucket, which it tells everybody with any answer, also with errors.
func regionOf(ctx context.Context, env *ocm.Env, at *url.URL) string {
	note := &regionNote{next: web.TransportOf(env)}
	client, err := web.For(ctx, &ocm.Env{HTTP: note}, at)
	if err != nil {
		return ""
	}
	if resp, err := client.Do(ctx, web.Request{URL: at, Method: http.MethodHead, NoRedirect: true}); err == nil {
		resp.Body.Close()
	}
	return note.region
}

// regionNote is a transport that notes the region in answers.
type regionNote struct {
	next   http.RoundTripper
	mu     sync.Mutex
	region string
}

// RoundTrip implements [http.RoundTripper].
func (n *regionNote) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.next.RoundTrip(req)
	if err == nil {
		if region := resp.Header.Get("X-Amz-Bucket-Region"); s3Region().MatchString(region) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.region = region
		}
	}
	return resp, err
}

func (o object) signingRegion() string {
	if o.region == "" {
		return defaultRegion
	}
	return o.region
}

// base is the address of the store, without the bucket.
func (o object) base(s ocm.Spec) (*url.URL, error) {
	if o.endpoint != "" {
		return baseURL(s, "endpoint", o.endpoint)
	}
	host := "s3." + o.signingRegion() + awsDomain
	if strings.HasPrefix(o.region, "cn-") {
		host += ".cn"
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

// virtual reports whether the bucket is part of the host name.
func (o object) virtual(base *url.URL) bool {
	return !o.pathStyle && s3Label().MatchString(o.bucket) && strings.Contains(base.Hostname(), ".") && net.ParseIP(base.Hostname()) == nil
}

func (o object) url(base *url.URL) *url.URL {
	u := *base
	if o.virtual(base) {
		u.Host = o.bucket + "." + u.Host
	} else {
		u.Path += "/" + o.bucket
	}
	u.Path += "/" + o.key
	u.RawPath = awsEscape(u.Path, "/") // the very bytes that are signed
	return o.at(&u)
}

// at is the address with the object's version.
func (o object) at(u *url.URL) *url.URL {
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if o.version != "" {
		u.RawQuery = "versionId=" + awsEscape(o.version, "")
	}
	return u
}

// client signs with the credentials for the store, if there are any.
func (o object) client(ctx context.Context, env *ocm.Env, base, at *url.URL) (*web.Client, error) {
	client, err := web.For(ctx, env, at)
	if err != nil {
		return nil, err
	}
	for _, id := range o.consumers(base, at) {
		keys, err := keysFor(ctx, env, id, at)
		if err != nil {
			return nil, err
		}
		if keys != nil {
			region := o.signingRegion()
			client.Sign = func(req *http.Request) error { keys.sign(req, region, env.Time()); return nil }
			break
		}
	}
	return client, nil
}

// consumers are the identities whose credentials may sign a request: the host that is asked, with the path that
// is asked; the store's host with bucket and key. Credentials without a host are Amazon's alone, or a
// descriptor could say with its endpoint who gets a signature.
func (o object) consumers(base, at *url.URL) []ocm.Identity {
	asked := web.Identity(consumerS3, at)
	ids := []ocm.Identity{asked}
	named := func(host string) {
		for _, path := range []string{o.bucket + "/" + o.key, o.bucket} {
			id := maps.Clone(asked)
			id["path"] = path
			if id["hostname"] = host; host == "" {
				id = ocm.Identity{"type": consumerS3, "path": path}
			}
			ids = append(ids, id)
		}
	}
	named(base.Hostname())
	if o.endpoint == "" {
		named("s3" + awsDomain)
		named("")
	}
	return ids
}

// keysFor are the keys of a consumer, nil if there are none.
func keysFor(ctx context.Context, env *ocm.Env, id ocm.Identity, at *url.URL) (*awsKeys, error) {
	secret, err := env.Resolve(ctx, id)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v := secret[name]; v != "" {
				return v
			}
		}
		return ""
	}
	keys := &awsKeys{
		id:      first("accessKeyId", "accessKeyID", "awsAccessKeyID", "awsAccessKeyId"),
		secret:  first("secretAccessKey", "awsSecretAccessKey"),
		session: first("sessionToken", "token"),
	}
	switch {
	case keys.id == "" && keys.secret == "": // somebody's else, such as Docker's for this host
		return nil, nil
	case keys.id == "" || keys.secret == "":
		return nil, fmt.Errorf("credentials for %s: expected both accessKeyId and secretAccessKey: %w", id, ocm.ErrInvalid)
	}
	if _, err := web.WithoutDowngrade(env, at.Scheme, at.Host).Resolve(ctx, id); err != nil {
		return nil, fmt.Errorf("address %s: %w", web.Place(at), err)
	}
	return keys, nil
}

// wholeSHA256 is the digest that a store tells for an object; empty if it tells none, or one that is made of
// the digests of parts.
func wholeSHA256(h http.Header) digest.Digest {
	raw, err := base64.StdEncoding.DecodeString(h.Get("X-Amz-Checksum-Sha256"))
	if err != nil || len(raw) != digest.SHA256.Size() || strings.EqualFold(h.Get("X-Amz-Checksum-Type"), "COMPOSITE") {
		return ""
	}
	return digest.NewDigestFromBytes(digest.SHA256, raw)
}
