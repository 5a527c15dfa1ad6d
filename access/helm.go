// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
)

// Helm is a chart in a chart repository or in a registry.
var Helm = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "helm", "Helm"),
		About:     "A Helm chart in a chart repository (https://, http://) or in a registry (oci://).",
		Fields:    ocm.FieldsOf(helm{}),
		Pins:      "to the version, or digest",
		Consumers: []string{"HelmChartRepository", "OCIRegistry"},
		Notes: []string{
			"Of a chart repository the content is the chart's archive, byte for byte; its digest comes from index.yaml and is compared with what is read. Of a registry it is the OCI artifact, with its provenance layer.",
			"Copied by value a chart stays what it is, so that no signed digest changes. The provenance file beside a chart in a chart repository is no part of it: a download of the chart brings it along from there.",
			"Credentials are those of the consumer HelmChartRepository, for oci:// of OCIRegistry. They are sent to the repository's own host only, wherever index.yaml leads to.",
			"With caCert no credentials are sent: whoever wrote the descriptor could else read them. A certificate in the configuration has no such limit.",
			"keyring is refused: a key that stands beside the chart proves nothing, and a check that is not made must not look like one. The signature of the component covers the chart.",
			"Without a version, or with a range of versions, the newest one is taken, and its version is written into the component. No digest is written into helmChart, because other tools would take it for a part of the version; one that is there is obeyed.",
		},
	},
	Opener: ocm.OpenerFunc(openHelm),
}

type helm struct {
	Type           string      `json:"type"`
	HelmRepository string      `json:"helmRepository" need:"yes" about:"address of the repository: https://…, http://… or oci://…"`
	HelmChart      string      `json:"helmChart" need:"yes" about:"name[:version]; for oci:// [path/]name[:version][@digest]"`
	Version        string      `json:"version,omitempty" about:"version, or a range such as 1.x; wins over that of helmChart; default the newest that is no pre-release"`
	CACert         string      `json:"caCert,omitempty" about:"certificates in PEM to trust for this repository"`
	Keyring        string      `json:"keyring,omitempty" about:"not supported, see the notes"`
	Rest           ocm.RawJSON `json:",embed"`
}

func openHelm(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var h helm
	if err := s.Members(&h); err != nil {
		return ocm.Content{}, err
	}
	c, err := h.open(ctx, env)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("access %s: %w", s.Type, err)
	}
	return c, nil
}

func (h helm) open(ctx context.Context, env *ocm.Env) (ocm.Content, error) {
	if h.Keyring != "" {
		return ocm.Content{}, fmt.Errorf("keyring: provenance is not verified here (helm verify does it); leave the field out, the component's signature covers the chart: %w", ocm.ErrInvalid)
	}
	src, err := h.source()
	if err != nil {
		return ocm.Content{}, err
	}
	if src.CACert != "" && env != nil {
		anonymous := *env
		anonymous.Credentials = nil
		env = &anonymous
	}
	found, err := src.Open(ctx, env)
	if err != nil {
		if src.CACert != "" && errors.Is(err, ocm.ErrDenied) {
			err = fmt.Errorf("%w (no credentials are sent because of caCert; put the certificate into the configuration and leave the field out)", err)
		}
		return ocm.Content{}, err
	}
	c := found.Content
	c.Hint = found.Hint
	if src.Digest == "" && found.Version != src.Version {
		h.Version = found.Version
		pinned, err := ocm.NewSpec(h)
		if err != nil {
			return ocm.Content{}, err
		}
		c.Pinned = &pinned
	}
	return c, nil
}

// source takes helmChart apart.
func (h helm) source() (chart.Source, error) {
	src := chart.Source{Repository: h.HelmRepository, CACert: h.CACert}
	rest, sum, pinned := strings.Cut(h.HelmChart, "@")
	if pinned {
		src.Digest = digest.Digest(sum)
		if err := blob.CheckDigest(src.Digest); err != nil {
			return src, fmt.Errorf("helmChart: %w", err)
		}
	}
	src.Name, src.Version, _ = strings.Cut(rest, ":")
	if src.Name == "" {
		return src, fmt.Errorf("helmChart %.200q: expected name[:version]: %w", h.HelmChart, ocm.ErrInvalid)
	}
	if h.Version != "" {
		src.Version = h.Version
	}
	return src, nil
}
