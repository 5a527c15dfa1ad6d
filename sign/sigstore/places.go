// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"ocm"
)

// places are the services that a signer talks to.
type places struct {
	fulcio      string // "": none
	fulcioGiven bool   // by its own field, not only as one of the services of an installation
	logs        []log
	tsas        []string
	issuer      string // of identity tokens; "": none
}

// log is a transparency log and the version of its API.
type log struct {
	url     string
	version int
}

// places collects what is configured: the file of the installation, then what is named by itself.
func (c *SigningConfig) places(now time.Time) (p places, err error) {
	if c.SigningConfig != "" {
		if p, err = readPlaces(c.SigningConfig, now); err != nil {
			return p, fmt.Errorf("signingConfig %s: %w", c.SigningConfig, err)
		}
	}
	if c.FulcioURL != "" {
		p.fulcio, p.fulcioGiven = c.FulcioURL, true
	}
	if c.RekorURL != "" {
		p.logs = []log{{c.RekorURL, c.RekorVersion}}
	}
	if c.TSAURL != "" {
		p.tsas = []string{c.TSAURL}
	}
	if c.Issuer != "" {
		p.issuer = c.Issuer
	}
	return p, nil
}

// readPlaces reads a signing_config.json and selects the services to use now.
func readPlaces(path string, now time.Time) (p places, err error) {
	raw, err := readFile(path)
	if err != nil {
		return p, err
	}
	if len(raw) > maxFile {
		return p, fmt.Errorf("more than %d bytes: %w", maxFile, ocm.ErrLimit)
	}
	sc, err := root.NewSigningConfigFromJSON(raw)
	if err != nil {
		return p, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	if p.fulcio, err = one(sc.FulcioCertificateAuthorityURLs(), now); err != nil {
		return p, fmt.Errorf("caUrls: %w", err)
	}
	if p.issuer, err = one(sc.OIDCProviderURLs(), now); err != nil {
		return p, fmt.Errorf("oidcUrls: %w", err)
	}
	if len(sc.RekorLogURLs()) > 0 {
		services, err := root.SelectServices(sc.RekorLogURLs(), sc.RekorLogURLsConfig(), []uint32{1, 2}, now)
		if err != nil {
			return p, fmt.Errorf("rekorTlogUrls: %w", notInService(err, now))
		}
		for _, s := range services {
			p.logs = append(p.logs, log{s.URL, int(s.MajorAPIVersion)})
		}
	}
	if len(sc.TimestampAuthorityURLs()) > 0 {
		services, err := root.SelectServices(sc.TimestampAuthorityURLs(), sc.TimestampAuthorityURLsConfig(), []uint32{1}, now)
		if err != nil {
			return p, fmt.Errorf("tsaUrls: %w", notInService(err, now))
		}
		for _, s := range services {
			p.tsas = append(p.tsas, s.URL)
		}
	}
	return p, p.check()
}

// check looks at addresses that come from a file.
func (p *places) check() error {
	if len(p.logs) > MaxEntries || len(p.tsas) > MaxEntries {
		return fmt.Errorf("%d logs and %d timestamp servers, at most %d of each are used: %w", len(p.logs), len(p.tsas), MaxEntries, ocm.ErrLimit)
	}
	for _, secret := range []string{p.fulcio, p.issuer} {
		if secret == "" {
			continue
		}
		if err := checkURL(secret, true); err != nil {
			return err
		}
	}
	for _, l := range p.logs {
		if err := checkURL(l.url, false); err != nil {
			return err
		}
	}
	for _, t := range p.tsas {
		if err := checkURL(t, false); err != nil {
			return err
		}
	}
	return nil
}

// one selects a service of version 1, "" if none is listed.
func one(services []root.Service, now time.Time) (string, error) {
	if len(services) == 0 {
		return "", nil
	}
	s, err := root.SelectService(services, []uint32{1}, now)
	if err != nil {
		return "", notInService(err, now)
	}
	return s.URL, nil
}

// notInService explains why no service of a list can be used: each is listed with the time in which it serves.
func notInService(err error, now time.Time) error {
	return fmt.Errorf("%v: this machine's clock says %s: set the clock if it is wrong, else get the newest signing_config.json of the installation: %w",
		err, now.UTC().Format(time.RFC3339), ocm.ErrInvalid)
}
