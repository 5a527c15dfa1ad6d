// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"fmt"
	"path/filepath"

	"ocm"
	"ocm/graph"
	"ocm/session"
	"ocm/transfer"
)

// Copy is a transfer of a component version.
type Copy struct {
	Source   Place
	Question Question
	Target   Place
	// Recursive, CopyResources and UploadAs are those of a transfer.
	Recursive, CopyResources bool
	UploadAs                 string
	// Tenant is the namespace for which it is done: what is remembered of unfinished uploads is its own. Empty: nothing is remembered.
	Tenant string
	Report func(ocm.Event)
}

// Key is equal for equal copies.
func (c Copy) Key() string {
	return keyOf(c.Source.Key(), c.Question, c.Target.Key(), c.Recursive, c.CopyResources, c.UploadAs, c.Tenant)
}

// Copied tells what a copy did.
type Copied struct {
	Version string
	Digest  ocm.Digest
	// Versions, and bytes moved and found.
	Versions, Moved, Found int64
}

// Copy copies, with what is attached to images. What was moved before it was interrupted is not moved again. With demands everything is
// verified with its content, before anything is written and afterwards at the target.
func (r *Resolver) Copy(ctx context.Context, c Copy) (*Copied, error) {
	job := ocm.NewJob(r.o.Parallel) // one for both sides: what is at the target is known to those who write there
	source, err := r.fork(c.Source, job, c.Report)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	defer source.Close()
	to, err := r.fork(c.Target, job, c.Report)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	to.Env.Cache = r.cacheOf(c.Tenant)
	q := c.Question
	q.Content = false // that is compared while it moves
	a, err := answer(ctx, source, c.Source, q)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	target, err := to.Open(ctx, c.Target.Repository)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	done, err := a.copyTo(ctx, target, c)
	if err != nil {
		return nil, err
	}
	return &Copied{Version: a.Version, Digest: a.Digest, Versions: int64(done.Versions), Moved: done.Moved, Found: done.Skipped}, nil
}

// cacheOf is the folder in which unfinished uploads of a tenant are remembered; empty: none. They have addresses that a registry made for
// somebody who may write there: nobody continues what somebody else has begun.
func (r *Resolver) cacheOf(tenant string) string {
	if r.o.Env.Cache == "" || tenant == "" || tenant == "." || !filepath.IsLocal(tenant) || filepath.Base(tenant) != tenant {
		return ""
	}
	return filepath.Join(r.o.Env.Cache, "tenants", tenant)
}

func (r *Resolver) fork(p Place, job *ocm.Job, report func(ocm.Event)) (*session.Session, error) {
	s, err := r.session(p.Config)
	if err != nil {
		return nil, err
	}
	return s.Fork(job, report), nil
}

// copyTo moves the very versions of the answer.
func (a *Answer) copyTo(ctx context.Context, target ocm.Repository, c Copy) (*transfer.Summary, error) {
	env := *a.session.Env
	o := transfer.Options{CopyResources: c.CopyResources, UploadAs: c.UploadAs}
	if len(c.Question.Demands) > 0 {
		trust, err := trustOf(c.Question.Demands, env.Credentials)
		if err != nil {
			return nil, err
		}
		env.Credentials = trust
		o.Proof = &transfer.Proof{VerifyOptions: trust.options(true), Find: a.found.find}
	}
	root := a.found.get(a.Component + ":" + a.Version).Version
	g, err := graph.Walk(ctx, env.Job, a.found.find, []ocm.Version{root}, graph.Options{Recursive: c.Recursive})
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	plan, err := transfer.NewPlan(ctx, a.session.Kit, &env, g, target, o)
	if err != nil {
		return nil, err
	}
	return plan.Run(ctx)
}
