// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// answerer is what is asked about component versions: [resolve.Resolver].
type answerer interface {
	Ping(ctx context.Context, p resolve.Place) error
	Check(demands []resolve.Demand) error
	Select(ctx context.Context, p resolve.Place, w resolve.Wish) (string, error)
	Version(ctx context.Context, p resolve.Place, q resolve.Question) (*resolve.Answer, error)
	Copy(ctx context.Context, c resolve.Copy) (*resolve.Copied, error)
}

// question is the key of a task: all who ask the same get the same answer.
type question struct {
	what, place        string
	component, version string
	wish               resolve.Wish
	rest               string // what else it depends on
	again              string // who asks for a look now gets an answer of its own
}

// versionKey is the key of a component version that was loaded, for Resources and Deployers alike. In the place is the digest of the
// configuration: nobody is given what only the credentials of somebody else open.
type versionKey struct{ place, question string }

// smallAnswer is about what an answer of a few words takes, in bytes.
const smallAnswer = 512

// again64 is the value of the annotation that asks for a look now; where its value is new, so is the question.
func again64(obj client.Object) string {
	return clip(obj.GetAnnotations()[v1alpha1.AnnotationReconcile], 64)
}

// minInterval is the shortest time between two looks: what is shorter counts as this, or a tenant could keep a registry busy.
const minInterval = 10 * time.Second

// between checks the interval of a spec. 0 is none: the object is looked at when something changes.
func between(interval time.Duration) (time.Duration, error) {
	if interval < 0 {
		return 0, stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.interval: %w: %s is negative", ocm.ErrInvalid, interval))
	}
	if interval == 0 {
		return 0, nil
	}
	return max(interval, minInterval), nil
}

// freshFor is how old an answer may be for an object that is looked at once per interval: those who look at about the same time share one,
// and nobody is given the one of the look before.
func freshFor(interval time.Duration) time.Duration { return interval * 3 / 4 }
