// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"sync" // what most repositories have beside their files

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/web"
)

const (
	maxMavenDocument = 4 << 20 // bytes of a listing or of maven-metadata.xml
	maxMavenDepth    = 32      // nested elements of maven-metadata.xml
	maxMavenSum      = 4 << 10 // bytes of a file with a checksum
)

// mavenRepository is where files are. Names are slash-separated paths without anything to escape but "+" and "~".
type mavenRepository interface {
	// list returns names in a folder, also of what is no file; none if it cannot.
	list(ctx context.Context, folder string) ([]string, error)
	// read returns a document, ErrNotFound if there is none.
	read(ctx context.Context, name string, limit int64) ([]byte, error)
	// file describes a file with its size, ErrNotFound if there is none.
	file(ctx context.Context, name string) (ocm.Content, error)
}

// mavenFile is a file that is compared with what lies beside it.
func mavenFile(ctx context.Context, env *ocm.Env, repo mavenRepository, name string) (ocm.Content, error) {
	c, err := repo.file(ctx, name)
	if err != nil {
		return c, err
	}
	for _, h := range []struct {
		name string
		hash func() hash.Hash
	}{{"sha256", sha256.New}, {"sha512", sha512.New}, {"sha1", sha1.New}} {
		raw, err := repo.read(ctx, name+"."+h.name, maxMavenSum)
		if errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrDenied) { // so object stores say that there is none
			continue
		}
		if err != nil {
			return c, err
		}
		want, err := mavenSum(string(raw), h.hash().Size())
		if err != nil {
			return c, fmt.Errorf("%s.%s: %w", name, h.name, err)
		}
		if h.name == "sha256" {
			c.Root.Digest = digest.NewDigestFromBytes(digest.SHA256, want)
		}
		return compared(c, sum{h.name, h.hash, [][]byte{want}}), nil
	}
	env.Logger().Warn("the Maven repository has no checksum of a file", "file", name)
	return compared(c), nil
}

// mavenSum finds a checksum of a number of bytes in its file, which may have the name of the other file, too.
func mavenSum(text string, size int) ([]byte, error) {
	for _, field := range strings.Fields(text) {
		if raw, err := hex.DecodeString(field); err == nil && len(raw) == size {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("expected a checksum of %d hexadecimal digits: %w", 2*size, ocm.ErrInvalid)
}

// mavenMetadata is what maven-metadata.xml tells about the builds of a SNAPSHOT.
type mavenMetadata struct {
	Snapshot struct {
		Timestamp string `xml:"timestamp"`
		Number    string `xml:"buildNumber"`
	} `xml:"versioning>snapshot"`
	Files []struct {
		Classifier string `xml:"classifier"`
		Extension  string `xml:"extension"`
		Value      string `xml:"value"`
	} `xml:"versioning>snapshotVersions>snapshotVersion"`
}

// mavenBuild finds the version of the build that a SNAPSHOT leads to now; the SNAPSHOT itself where each build
// replaces the one before.
func mavenBuild(ctx context.Context, repo mavenRepository, folder string, g GAV) (string, error) {
	raw, err := repo.read(ctx, folder+"/maven-metadata.xml", maxMavenDocument)
	if errors.Is(err, ocm.ErrNotFound) {
		return g.Version, nil
	}
	if err != nil {
		return "", err
	}
	m, err := readMavenMetadata(string(raw))
	if err != nil {
		return "", fmt.Errorf("maven-metadata.xml: %w", err)
	}
	build := g.Version
	if m.Snapshot.Timestamp != "" {
		build = strings.TrimSuffix(g.Version, "SNAPSHOT") + m.Snapshot.Timestamp + "-" + m.Snapshot.Number
	}
	for _, f := range m.Files { // one file may be of an earlier build than others
		if g.Classifier != nil && g.Extension != nil && f.Classifier == *g.Classifier && f.Extension == *g.Extension && f.Value != "" {
			build = f.Value
		}
	}
	if s := mavenSnapshot().FindStringSubmatch(build); build != g.Version && (!mavenName().MatchString(build) || s == nil || s[1]+"-SNAPSHOT" != g.Version) {
		return "", fmt.Errorf("maven-metadata.xml: expected a build of %s, found %.200q: %w", g.Version, build, ocm.ErrInvalid)
	}
	return build, nil
}

// readMavenMetadata reads XML without declarations of types, whose entities could be anything.
func readMavenMetadata(text string) (m mavenMetadata, err error) {
	dec := xml.NewDecoder(strings.NewReader(text))
	for depth := 0; ; {
		tok, err := dec.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return m, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
		}
		switch tok.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.Directive:
			return m, fmt.Errorf("a declaration <!…> is not accepted: %w", ocm.ErrInvalid)
		}
		if depth > maxMavenDepth {
			return m, fmt.Errorf("elements nested more than %d deep: %w", maxMavenDepth, ocm.ErrLimit)
		}
	}
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	return m, nil
}

// mavenServer is a repository behind HTTP.
type mavenServer struct {
	client *web.Client
	base   *url.URL
	log    *slog.Logger
}

func (r mavenServer) request(name string) web.Request {
	u := *r.base
	u.Path, u.RawPath = r.base.Path+"/"+name, r.base.EscapedPath()+"/"+awsEscape(name, "/")
	return web.Request{URL: &u, Header: http.Header{"Accept-Encoding": {"identity"}}}
}

// href finds links in a page that lists a folder.
var href = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\bhref\s*=\s*["']?([^"'<>\s]+)`) })

func (r mavenServer) list(ctx context.Context, folder string) ([]string, error) {
	req := r.request(folder + "/")
	page, err := r.client.Read(ctx, req, maxMavenDocument)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, ocm.ErrLimit) {
			return nil, err
		}
		r.log.Debug("the Maven repository does not list a folder", "folder", folder, "error", err)
		return nil, nil
	}
	return mavenLinks(string(page), req.URL), nil
}

// mavenLinks are the names of what a page links to right below its own address.
func mavenLinks(page string, at *url.URL) (names []string) {
	for _, m := range href().FindAllStringSubmatch(page, -1) {
		link, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
		if err != nil {
			continue
		}
		if link = at.ResolveReference(link); !web.SameOrigin(link, at) {
			continue
		}
		if name, ok := strings.CutPrefix(link.Path, at.Path); ok && name != "" && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names
}

func (r mavenServer) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	return r.client.Read(ctx, r.request(name), limit)
}

func (r mavenServer) file(ctx context.Context, name string) (ocm.Content, error) {
	req := r.request(name)
	head := req
	head.Method = http.MethodHead
	resp, err := r.client.Do(ctx, head)
	if err != nil {
		return ocm.Content{}, err
	}
	resp.Body.Close()
	c := r.client.Content(req, ociv1.Descriptor{MediaType: mavenType(name)})
	c.Root.Size = resp.ContentLength
	return c, nil
}

// mavenFolder is a local repository: the folder name below dir.
type mavenFolder struct{ dir, name string }

func (r mavenFolder) list(_ context.Context, folder string) (names []string, err error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), path.Join(r.name, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (r mavenFolder) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	c, err := r.file(ctx, name)
	if err != nil {
		return nil, err
	}
	rc, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return blob.ReadDocument(rc, c.Root.Size, limit)
}

func (r mavenFolder) file(_ context.Context, name string) (ocm.Content, error) {
	return blob.FileIn(r.dir, path.Join(r.name, name), mavenType(name))
}

// mavenType is a media type by the extension of a file.
func mavenType(name string) string {
	switch path.Ext(name) {
	case ".jar", ".war", ".ear", ".aar":
		return "application/java-archive"
	case ".pom", ".xml":
		return "application/xml"
	case ".json", ".module":
		return "application/json"
	case ".tgz", ".gz":
		return "application/gzip"
	case ".zip":
		return "application/zip"
	case ".tar":
		return "application/x-tar"
	case ".yaml", ".yml":
		return "application/x-yaml"
	case ".txt":
		return "text/plain"
	}
	return "application/octet-stream"
}
