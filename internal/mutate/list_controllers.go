// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inControllers are the checks between what tenants of a cluster write and what the controllers do for them.
func inControllers() []mutation { return slices.Concat(inResolve(), inPlaces(), inConfinement()) }

// inResolve are the checks of component versions that controllers ask for.
func inResolve() []mutation {
	v, r := in("deploy/resolve/version.go", "deploy/resolve"), in("deploy/resolve/resource.go", "deploy/resolve")
	d, s := in("deploy/resolve/demand.go", "deploy/resolve"), in("deploy/resolve/select.go", "deploy/resolve")
	c := in("deploy/resolve/copy.go", "deploy/resolve")
	return []mutation{
		v(`c.Name != q.Component || c.Version != q.Version {`, `c.Name != q.Component {`, "TestVersionThatIsNotThere"),
		v(`	if err := normalise.Matches(d, *want); err != nil {`, `	if err := normalise.Matches(d, *want); false {`, "TestQuestionWithDigest"),
		v(`	env.Credentials = trust
	report`, `	report`, "TestKeysOfTheConfigurationDoNotCount"),
		v(`	if err := report.Err(); err != nil {`, `	if err := report.Err(); false {`, "TestDemandsThatAreNotMet/somebody else's key"),
		v(`	if failed := a.found.failed(); failed != nil {`, `	if failed := a.found.failed(); false {`, "TestUnreachableReferenceSaysNothingAboutSignatures"),
		v(`m.bytes > MaxGraph {`, `m.bytes < 0 {`, "TestGraphIsBounded"),
		v(`					err = graph.Check(ctx, c, *res.Digest)`, `					_ = graph.Check(ctx, c, *res.Digest)`, "TestDigestOfTheResource"),
		d(`	if bytes.Contains(d.Key, []byte("PRIVATE KEY")) {`, `	if false {`, "TestDemandsThatAreNotMet/a private key"),
		d(`	case key == "" && len(bytes.TrimSpace(d.CA)) == 0:`, `	case false:`, "TestDemandsThatAreNotMet/nothing"),
		d(`twice || d.Signature == "" {`, `false && twice {`, "TestDemandsThatAreNotMet/twice the same"),
		d(`	case !who && key == "":`, `	case false:`, "TestDemandsThatAreNotMet/Sigstore of anybody"),
		d(`!slices.Contains(t.demands[sig.Name].consumers, consumer) {`, `false && consumer == "" {`, "TestDemandsThatAreNotMet/a key of another kind"),
		d(`	case rsa.IdentityType, ec.IdentityType, pgp.IdentityType, sigstore.VerifierIdentityType:`, `	case rsa.IdentityType, ec.IdentityType, pgp.IdentityType:`, "TestKeysOfOthers"),
		r(`	if want == nil && r.answer.Verified {`, `	if false {`, "TestResourcesWithoutDigest"),
		r(`	if want != nil {
		err = graph.Check(ctx, held, *want)`, `	if false {
		err = graph.Check(ctx, held, *want)`, "TestDigestOfTheResource"),
		r(`err == nil && c.Root.Digest != r.Artifact.Digest {`, `false && err == nil {`, "TestArtifactIsWhatWasCompared"),
		r(`		case found >= 0:`, `		case false:`, "TestResourcesThatAreNotThere"),
		r(`err == nil && int64(len(data)) > limit {`, `false && err == nil {`, "TestContentOfUnknownSizeIsBounded"),
		s(`	if older {`, `	if older && false {`, "TestSelect/downgrade"),
		s(`return !filter.MatchString(v) })`, `return false && !filter.MatchString(v) })`, "TestSelect/filter"),
		c(`		env.Credentials = trust
`, ``, "TestCopy"),
		c(`	to.Env.Cache = r.cacheOf(c.Tenant)
`, ``, "TestCopiesUseTheCacheOfTheirTenant"),
		c(` || filepath.Base(tenant) != tenant {`, ` {`, "TestCachesOfTenants"),
	}
}

// inPlaces are the checks of where repositories are, and of who shares what with whom.
func inPlaces() []mutation {
	p, c := in("deploy/resolve/place.go", "deploy/resolve"), in("deploy/resolve/config.go", "deploy/resolve")
	r := in("deploy/resolve/resolve.go", "deploy/resolve")
	return []mutation{
		p(`		if err := web.CheckHost((&url.URL{Host: l.host()}).Hostname()); err != nil {`, `		if err := web.CheckHost((&url.URL{Host: l.host()}).Hostname()); false {`, "TestPlacesThatAreNotAllowed/the cloud"),
		p(` && r.o.Archives != "":`, `:`, "TestPlacesThatAreNotAllowed/an archive"),
		p(`	at, err := existing(filepath.Clean(path), 0)`, `	at, err := filepath.Clean(path), error(nil)`, "TestPlacesThatAreNotAllowed/by a link"),
		p(`rel == "." || !filepath.IsLocal(rel) {`, `rel == "." {`, "TestPlacesThatAreNotAllowed/outside"),
		p(`canonical(p.Repository), p.Config.Digest())`, `canonical(p.Repository))`, "TestTenantsShareNothing"),
		c(`			sum.Write(part)
`, ``, "TestTenantsShareNothing"),
		c(`			err = session.Check(c)`, `			_ = session.Check(c)`, "TestRead"),
		c(`	if len(d.Data) > MaxDocument {`, `	if false {`, "TestRead"),
		r(`	if err := r.checkResolvers(s); err != nil {`, `	if err := r.checkResolvers(s); false {`, "TestPlacesThatAreNotAllowed"),
		r(`Getenv: noVariables, Confined: true,`, `Getenv: noVariables,`, "TestSessionsAreConfined"),
		r(`r.order.Len() >= MaxSessions || `, ``, "TestSessionsAreBounded"),
	}
}

// inConfinement are the checks that a configuration of a tenant names nothing of the process.
func inConfinement() []mutation {
	const test = "TestCVE_2021_41254_NothingOfTheProcess/"
	c, s := in("session/confined.go", "session"), in("session/session.go", "session")
	return []mutation{
		c(`	case f.TempFolder != "":`, `	case false:`, test+"temporary folder"),
		c(`	case f.WorkingDirectory != "":`, `	case false:`, test+"working folder"),
		c(`	if len(plugins.Locations) > 0 {`, `	if len(plugins.Locations) < 0 {`, test+"plugins"),
		c(`map[string]map[string]config.Key{"publicKeys": keys.Public, "privateKeys": keys.Private}`, `map[string]map[string]config.Key{"publicKeys": keys.Public}`, test+"older private key"),
		c(`	for i, k := range keys.Roots {
		if k.Path != "" {`, `	for i, k := range keys.Roots {
		if false && k.Path != "" {`, test+"older root"),
		c(`		case o.CertificateFile != "":`, `		case false:`, test+"client certificate"),
		c(`		case o.Proxy != "":`, `		case false:`, test+"proxy"),
		c(`	for host, o := range settings.Hosts {`, `	for host, o := range map[string]config.HTTPOptions{} {`, test+"authorities of a host"),
		c(`		for _, k := range o.Trust.Roots {
			if k.Path != "" {`, `		for _, k := range o.Trust.Roots {
			if false && k.Path != "" {`, test+"authorities"),
		s(`Places: places, Confined: o.Confined}`, `Places: places}`, test+"mounted secret"),
		s(`		s.Env.Confined = true
`, ``, "TestConfinedUsesNoFilesOfTheUser"),
		s(`		allowed, err := s.allow(spec)
		if err != nil {
			return nil, err
		}
		opener`, `		allowed, err := s.allow(spec)
		if false {
			return nil, err
		}
		opener`, "TestAllow"),
	}
}
