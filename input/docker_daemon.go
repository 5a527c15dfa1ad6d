// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

const (
	defaultDockerSocket = "/var/run/docker.sock"
	// dockerWait is how long a daemon may take before it begins to answer: it looks for an image, which is quick.
	dockerWait = 2 * time.Minute
	// maxDockerMessage bounds the text of a daemon's error, in bytes.
	maxDockerMessage = 4 << 10
)

// imageName is what Docker accepts as name or ID of an image; none of its characters means anything in a path.
var imageName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]{32,128})?$`)
})

const maxImageName = 512

// fromDaemon asks a Docker daemon for an image. What it sends cannot be asked for again with the same bytes,
// and has its list at the end: so it is kept in a temporary file, which has no name any more when this
// returns and is gone with its last reader.
func fromDaemon(ctx context.Context, env *ocm.Env, name string) (ocm.Content, error) {
	if len(name) > maxImageName || !imageName().MatchString(name) {
		return ocm.Content{}, fmt.Errorf("expected the name of an image, or a file that ends with .tar, .tar.gz or .tgz: %w", ocm.ErrInvalid)
	}
	socket, err := dockerSocket(os.Getenv("DOCKER_HOST"))
	if err != nil {
		return ocm.Content{}, err
	}
	body, err := askDocker(ctx, socket, tagged(name))
	if err != nil {
		return ocm.Content{}, err
	}
	defer body.Close()
	archive, err := spool(ctx, env, body)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("docker daemon %s: image %s: %w", socket, name, err)
	}
	return blob.DockerArchive(ctx, archive, name)
}

// tagged adds the tag that Docker takes if none is said: otherwise a daemon saves all that it has.
func tagged(name string) string {
	if strings.Contains(name, "@") || strings.LastIndexByte(name, ':') > strings.LastIndexByte(name, '/') {
		return name
	}
	return name + ":latest"
}

// dockerSocket is the path of the daemon's socket. A daemon at a TCP address is not asked: without TLS
// anybody on the way could exchange the image, and the archive of docker save does as well.
func dockerSocket(host string) (string, error) {
	if host == "" {
		return defaultDockerSocket, nil
	}
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok || !strings.HasPrefix(path, "/") {
		scheme, _, _ := strings.Cut(host, "://")
		return "", fmt.Errorf("DOCKER_HOST is a %.20q address, only unix:///path is asked; write the image into a file by docker save: %w", scheme, errors.ErrUnsupported)
	}
	return path, nil
}

// askDocker begins to read the archive of an image.
func askDocker(ctx context.Context, socket, name string) (io.ReadCloser, error) {
	client := http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
			DisableKeepAlives:     true, // one answer, and nothing is left open
			DisableCompression:    true,
			ResponseHeaderTimeout: dockerWait,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	at := url.URL{Scheme: "http", Host: "docker", Path: "/images/" + name + "/get"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, dockerError(socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	kind := errors.New("unexpected answer")
	switch resp.StatusCode {
	case http.StatusNotFound:
		kind = ocm.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = ocm.ErrDenied
	}
	var m struct {
		Message string      `json:"message"`
		Rest    ocm.RawJSON `json:",embed"`
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxDockerMessage)) // it only makes the error clearer
	if jsonv2.Unmarshal(raw, &m) != nil {
		m.Message = ""
	}
	return nil, fmt.Errorf("docker daemon %s: image %s: status %d %.300q: %w", socket, name, resp.StatusCode, m.Message, kind)
}

// dockerError says what to do about a daemon that cannot be asked.
func dockerError(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("docker daemon %s does not answer; start it, set DOCKER_HOST=unix:///path, or name a file that docker save has written: %w: %w", socket, err, ocm.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("docker daemon %s: %w: %w", socket, err, ocm.ErrDenied)
	}
	return fmt.Errorf("docker daemon %s: %w", socket, err)
}

// spool keeps a stream in a temporary file without a name.
func spool(ctx context.Context, env *ocm.Env, r io.Reader) (ocm.Content, error) {
	f, err := os.CreateTemp(env.TempDir(), "ocm-docker-*")
	if err != nil {
		return ocm.Content{}, err
	}
	err = os.Remove(f.Name())
	var n int64
	if err == nil {
		n, err = io.Copy(f, io.LimitReader(r, blob.MaxArchive+1))
	}
	switch {
	case err == nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && n > blob.MaxArchive:
		err = fmt.Errorf("more than %d bytes: %w", int64(blob.MaxArchive), ocm.ErrLimit)
	}
	if err != nil {
		f.Close()
		return ocm.Content{}, err
	}
	return ocm.Content{Root: ociv1.Descriptor{MediaType: "application/x-tar", Size: n}, From: spooled{f, n}}, nil
}

// spooled is a temporary file that any number of readers share; the system closes it when nobody refers to
// it any more.
type spooled struct {
	f    *os.File
	size int64
}

// Fetch implements [ocm.Fetcher].
func (s spooled) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return section{io.NewSectionReader(s.f, 0, s.size), s.f}, nil
}

// section holds on to the file that it reads.
type section struct {
	*io.SectionReader
	f *os.File
}

// Close leaves the file to the other readers.
func (section) Close() error { return nil }
