// SPDX-License-Identifier: Apache-2.0

package git

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"ocm"
	"ocm/web"
)

// maxAddress bounds the address of a repository, in bytes.
const maxAddress = 2048

// Address says where a repository is.
type Address struct {
	URL  *url.URL // scheme https, http, git, ssh or file; of file only the path counts
	path string   // as the server is told, which for ssh may be relative to somebody's home
}

// ParseAddress reads what git's users write: https://, http://, git:// and ssh:// addresses, host:path, which
// means ssh, and file:// or a path for a repository on this machine. Secrets have no place in it:
// a password, or any user name but that of ssh, is [ocm.ErrInvalid], and so is a query.
func ParseAddress(s string) (Address, error) {
	if len(s) > maxAddress || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return Address{}, fmt.Errorf("expected at most %d bytes of text without control characters: %w", maxAddress, ocm.ErrInvalid)
	}
	if !strings.Contains(s, "://") {
		return parseShort(s)
	}
	u, err := url.Parse(s)
	if err != nil { // the error of the parser repeats the address, which may have a password
		return Address{}, fmt.Errorf("not an address: %w", ocm.ErrInvalid)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	_, secret := u.User.Password()
	switch {
	case secret || u.User != nil && u.Scheme != "ssh":
		return Address{}, fmt.Errorf("%s://%s is written with a user or password; put these into the configuration of credentials: %w", u.Scheme, u.Host, ocm.ErrInvalid)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Address{}, fmt.Errorf("%s://%s%s is followed by ? or #, which do not belong to the address of a repository: %w", u.Scheme, u.Host, u.Path, ocm.ErrInvalid)
	case u.Scheme == "file" && u.Host == "":
		return Address{URL: u, path: u.Path}, nil
	}
	a := Address{URL: u, path: u.Path}
	if strings.HasPrefix(a.path, "/~") {
		a.path = a.path[1:]
	}
	return a, a.check()
}

// parseShort reads addresses without scheme: [user@]host:path, or a path if no colon is before the first slash.
func parseShort(s string) (Address, error) {
	host, path, ok := strings.Cut(s, ":")
	if !ok || strings.Contains(host, "/") {
		return Address{URL: &url.URL{Scheme: "file", Path: s}, path: s}, nil
	}
	if strings.HasPrefix(path, ":") { // names a program of git's own, which could be any
		return Address{}, fmt.Errorf("%.20s:: is a helper of git, which is never run: %w", host, ocm.ErrInvalid)
	}
	u := &url.URL{Scheme: "ssh", Host: host, Path: "/" + strings.TrimPrefix(path, "/")}
	if user, name, ok := strings.Cut(host, "@"); ok {
		u.User, u.Host = url.User(user), name
	}
	a := Address{URL: u, path: path}
	return a, a.check()
}

// check refuses what a server, or the shell in front of it, could take for something else
// than a path (CVE-2017-1000117).
func (a Address) check() error {
	switch a.URL.Scheme {
	case "https", "http", "git", "ssh":
	default:
		return fmt.Errorf("scheme %.20q: expected https, http, ssh or git: %w", a.URL.Scheme, ocm.ErrInvalid)
	}
	host, user := a.URL.Hostname(), a.URL.User.Username()
	if host == "" || strings.HasPrefix(host, "-") || strings.ContainsAny(host, "@/\\ '\"") {
		return fmt.Errorf("host %.200q: expected a host name: %w", host, ocm.ErrInvalid)
	}
	if err := web.CheckHost(host); err != nil {
		return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	if strings.ContainsFunc(a.path+user, unicode.IsControl) { // as %00, behind which git's own protocol has the next field
		return fmt.Errorf("path or user behind %s: control characters in it: %w", host, ocm.ErrInvalid)
	}
	if strings.ContainsFunc(a.path+user+host, unicode.IsControl) { // written as %00: the git protocol ends a path with it
		return fmt.Errorf("path or user behind %s: expected no control characters: %w", a.URL.Scheme, ocm.ErrInvalid)
	}
	if strings.Trim(a.path, "/") == "" || strings.HasPrefix(a.path, "-") || strings.HasPrefix(user, "-") {
		return fmt.Errorf("expected the path of a repository behind %s: %w", host, ocm.ErrInvalid)
	}
	return nil
}

// Local reports whether the repository is on this machine.
func (a Address) Local() bool { return a.URL.Scheme == "file" }

// Path is where the repository is on its host.
func (a Address) Path() string { return a.path }

// String is the address for messages.
func (a Address) String() string {
	if a.Local() {
		return a.path
	}
	return a.URL.Scheme + "://" + a.URL.Host + "/" + strings.TrimPrefix(a.path, "/")
}

// hostport is where to connect to.
func (a Address) hostport(port string) string {
	if p := a.URL.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(a.URL.Hostname(), port)
}
