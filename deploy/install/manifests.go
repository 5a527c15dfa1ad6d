// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"ocm"
)

//go:embed manifests.yaml
var manifests []byte

// What stands in manifests.yaml where something is put in. Each is a name that Kubernetes would take, so that the file is good YAML.
const (
	placeRelease    = "release-placeholder"
	placeNamespace  = "namespace-placeholder"
	placeImage      = "image.placeholder/name:tag"
	placePullSecret = "pull-secret-placeholder"
	placeReplicas   = "replicas: 4242"
	placeVersion    = `app.kubernetes.io/version: "latest"`
	placeManager    = "app.kubernetes.io/managed-by: Helm"
)

// MaxReplicas is the greatest number of instances: one works, the others wait.
const MaxReplicas = 9

// Options of an installation.
type Options struct {
	Namespace string // default [DefaultNamespace]; it is created
	Release   string // default [DefaultRelease]; what names begin with
	// Image is the reference of the controller's image, as nodes pull it: host[:port]/path with tag, digest or both.
	Image      string
	PullSecret string // in the namespace; empty: none
	Replicas   int    // default 1
	Version    string // what labels say; default "latest"
}

// Manifests are the objects that bring the controllers into a cluster, in an order in which they can be applied at once. Equal options
// give equal bytes. [ocm.ErrInvalid] names the option that cannot be right.
func Manifests(o Options) ([]byte, error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.Release == "" {
		o.Release = DefaultRelease
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Version == "" {
		o.Version = "latest"
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	pull := []string{"      imagePullSecrets:\n      - name: " + placePullSecret + "\n", ""}
	if o.PullSecret != "" {
		pull = []string{placePullSecret, o.PullSecret}
	}
	r := strings.NewReplacer(append(pull,
		placeRelease, o.Release, placeNamespace, o.Namespace, placeImage, o.Image,
		placeReplicas, "replicas: "+strconv.Itoa(o.Replicas),
		placeVersion, `app.kubernetes.io/version: "`+label(o.Version)+`"`, placeManager, "app.kubernetes.io/managed-by: ocm")...)
	var out bytes.Buffer
	_, err := r.WriteString(&out, string(manifests))
	return out.Bytes(), err
}

// check makes sure that nothing can be more than what it stands for.
func (o *Options) check() error {
	switch {
	case !isLabel(o.Namespace, 63):
		return fmt.Errorf("namespace %q: expected lower case letters, digits and -, at most 63: %w", o.Namespace, ocm.ErrInvalid)
	case !isLabel(o.Release, 40):
		return fmt.Errorf("release %q: expected lower case letters, digits and -, at most 40: %w", o.Release, ocm.ErrInvalid)
	case o.PullSecret != "" && !isName(o.PullSecret):
		return fmt.Errorf("image pull secret %q: expected the name of a Secret: %w", o.PullSecret, ocm.ErrInvalid)
	case o.Replicas < 1 || o.Replicas > MaxReplicas:
		return fmt.Errorf("replicas %d: expected a number from 1 to %d: %w", o.Replicas, MaxReplicas, ocm.ErrInvalid)
	case o.Image == "":
		return fmt.Errorf("image: it is missing: %w", ocm.ErrInvalid)
	case strings.Contains(o.Image, "://"):
		return fmt.Errorf("image %q: nodes pull without a scheme, leave it out: %w", o.Image, ocm.ErrInvalid)
	case len(o.Image) > ocm.MaxReferenceLength || !imagePattern().MatchString(o.Image):
		return fmt.Errorf("image %.200q: expected [host[:port]/]path[:tag][@sha256:…]: %w", o.Image, ocm.ErrInvalid)
	}
	return nil
}

// imagePattern is a reference as the OCI distribution specification has it, with a digest by SHA-256.
var imagePattern = sync.OnceValue(func() *regexp.Regexp {
	const (
		host = `(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?`
		part = `[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*`
	)
	return regexp.MustCompile(`^(?:` + host + `/)?` + part + `(?:/` + part + `)*(?::[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`)
})

// isLabel reports whether s is a label of DNS (RFC 1123).
func isLabel(s string, max int) bool {
	if s == "" || len(s) > max || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isName reports whether s is labels between dots, as names of most objects are.
func isName(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isLabel(part, 63) {
			return false
		}
	}
	return len(s) <= 253
}

// label makes the value of a Kubernetes label of a version: + is not allowed there, and no more than 63 characters are.
func label(version string) string {
	out := []byte(version)
	for i, c := range out {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-':
		default:
			out[i] = '_'
		}
	}
	return strings.Trim(string(out[:min(len(out), 63)]), "._-")
}
