// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

const (
	// MaxSecrets is the greatest number of secrets in one manifest.
	MaxSecrets = 100

	kubeJSON  = ".dockerconfigjson" // the key of secrets of type kubernetes.io/dockerconfigjson
	kubeOlder = ".dockercfg"        // of type kubernetes.io/dockercfg: what is below "auths" today
)

// kubernetesSpec is a KubernetesSecret repository.
type kubernetesSpec struct {
	Path      string `json:"path" need:"yes" about:"a manifest with secrets (YAML or JSON), the folder in which a secret is mounted, or the file .dockerconfigjson in it; ~ is the home folder"`
	Propagate *bool  `json:"propagateConsumerIdentity" about:"false: answer only consumers that name a server of it by credentialsName"`
}

func kubernetesKind() kind {
	return kind{ocm.Type{
		Names:  ocm.Versioned("v1", "KubernetesSecret"),
		About:  "Pull secrets of Kubernetes (kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg): as manifest, or as they are mounted.",
		Fields: ocm.FieldsOf(kubernetesSpec{}),
		Notes: []string{
			"Secrets of other types in the manifest are passed over.",
			"Credential helpers that a secret names are not run.",
			"It is read when the configuration is read, and has to be there.",
		},
	}, openKubernetes}
}

func openKubernetes(s *Store, spec ocm.Spec) (source, error) {
	var v kubernetesSpec
	if err := decode(spec.Raw, &v); err != nil {
		return nil, err
	}
	if v.Path == "" {
		return nil, fmt.Errorf("path is missing: %w", ocm.ErrInvalid)
	}
	path := s.o.path(v.Path)
	texts, err := readKubernetes(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all := &several{}
	for _, text := range texts {
		d := &docker{inline: text, where: "Kubernetes secret " + path, passive: true, log: s.log}
		if _, err := d.load(); err != nil {
			return nil, err
		}
		all.list = append(all.list, d)
	}
	return all, nil
}

// readKubernetes returns the Docker configurations at a path.
func readKubernetes(path string) ([][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unwrapPath(err)
	}
	if info.IsDir() {
		for _, name := range []string{kubeJSON, kubeOlder} {
			text, err := readKubernetes(filepath.Join(path, name))
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return text, err
			}
		}
		return nil, fmt.Errorf("neither %s nor %s is in the folder: %w", kubeJSON, kubeOlder, ocm.ErrNotFound)
	}
	text, err := readBounded(path)
	if err != nil {
		return nil, unwrapPath(err)
	}
	switch filepath.Base(path) {
	case kubeJSON:
		return [][]byte{text}, nil
	case kubeOlder:
		return [][]byte{underAuths(text)}, nil
	}
	return parseSecrets(text)
}

// unwrapPath leaves out the path, which callers name.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func underAuths(text []byte) []byte {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	return slices.Concat([]byte(`{"auths":`), text, []byte(`}`))
}

// kubeObject is what all objects have, and a List.
type kubeObject struct {
	Kind  string        `json:"kind"`
	Items []ocm.RawJSON `json:"items"`
}

// kubeSecret is a Secret.
type kubeSecret struct {
	Type       string            `json:"type"`
	Data       map[string]string `json:"data"`       // base64
	StringData map[string]string `json:"stringData"` // wins
}

// parseSecrets reads a manifest: documents of YAML or JSON with secrets, and perhaps other objects, in them.
func parseSecrets(text []byte) ([][]byte, error) {
	if len(text) > MaxDockerConfigSize {
		return nil, fmt.Errorf("more than %d bytes: %w", MaxDockerConfigSize, ocm.ErrLimit)
	}
	var found [][]byte
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		document = bytes.TrimLeft(document, " \t\r") // what may stand behind the dashes
		if err := descriptor.CheckAliases(document, MaxDockerConfigSize); err != nil {
			return nil, fmt.Errorf("manifest: aliases are not accepted in such numbers: %w", ocm.ErrLimit)
		}
		raw, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("manifest is no YAML: %w", ocm.ErrInvalid) // its message may quote the secret
		}
		if string(raw) == "null" {
			continue
		}
		if found, err = collect(found, raw, true); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("manifest has no secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg: %w", ocm.ErrInvalid)
	}
	return found, nil
}

// collect adds the Docker configurations of an object, and of those in a list.
func collect(found [][]byte, raw ocm.RawJSON, lists bool) ([][]byte, error) {
	var o kubeObject
	if err := decode(raw, &o); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	for _, item := range o.Items {
		if !lists {
			break // there are no lists of lists
		}
		var err error
		if found, err = collect(found, item, false); err != nil {
			return nil, err
		}
	}
	if o.Kind != "Secret" {
		return found, nil
	}
	var secret kubeSecret
	if err := decode(raw, &secret); err != nil {
		return nil, fmt.Errorf("manifest: secret: %w", err)
	}
	return secret.collect(found)
}

func (o kubeSecret) collect(found [][]byte) ([][]byte, error) {
	for typ, key := range map[string]string{"kubernetes.io/dockerconfigjson": kubeJSON, "kubernetes.io/dockercfg": kubeOlder} {
		if o.Type != typ {
			continue
		}
		text := []byte(o.StringData[key])
		if len(text) == 0 {
			var err error
			if text, err = base64.StdEncoding.DecodeString(o.Data[key]); err != nil || len(text) == 0 {
				return nil, fmt.Errorf("secret: data.%s is not there, or not base64: %w", key, ocm.ErrInvalid)
			}
		}
		if key == kubeOlder {
			text = underAuths(text)
		}
		if found = append(found, text); len(found) > MaxSecrets {
			return nil, fmt.Errorf("manifest has more than %d secrets: %w", MaxSecrets, ocm.ErrLimit)
		}
	}
	return found, nil
}
