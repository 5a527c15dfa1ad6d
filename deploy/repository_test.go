// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"ocm"
	"ocm/deploy/v1alpha1"
)

func TestRepositoryIsReady(t *testing.T) {
	t.Parallel()
	obj := testRepository()
	bed := newTestbed(t, obj)
	r := &repositories{bed.base}
	d := bed.drive(t, r, obj).RequeueAfter
	if got := ready(obj); got != "True Succeeded: the repository answers" || judged(t, obj) != status.CurrentStatus {
		t.Errorf("it says %q", got)
	}
	if d < 9*time.Minute || d > 11*time.Minute {
		t.Errorf("looked at again after %v", d)
	}
	if len(obj.Finalizers) != 1 || obj.Finalizers[0] != v1alpha1.FinalizerRepository {
		t.Errorf("finalizers %v", obj.Finalizers)
	}
	before := bed.misses.Load()
	bed.clock.pass(9 * time.Minute)
	if bed.drive(t, r, obj); bed.misses.Load() != before+1 || bed.counted("status Repository") != 1 {
		t.Error("the next look did not ask, or it wrote something")
	}
	bed.canned.mu.Lock()
	bed.canned.ping = errors.New("connection refused")
	bed.canned.mu.Unlock()
	bed.clock.pass(9 * time.Minute)
	bed.drive(t, r, obj)
	if got := ready(obj); got != "False GetRepositoryFailed: connection refused" || judged(t, obj) != status.InProgressStatus {
		t.Errorf("it says %q", got)
	}
}

func TestRepositoriesThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec   string // "": none
		change func(*v1alpha1.Repository)
		ping   error
		want   string
		status status.Status
	}{
		"no specification":  {"", nil, nil, "InvalidSpec: spec.repositorySpec: invalid: it is missing", status.FailedStatus},
		"no object":         {`[]`, nil, nil, "InvalidSpec: spec.repositorySpec: invalid: it is not an object", status.FailedStatus},
		"no type":           {`{"baseUrl":"x"}`, nil, nil, "InvalidSpec: spec.repositorySpec: invalid", status.FailedStatus},
		"null":              {`null`, nil, nil, "InvalidSpec: spec.repositorySpec: invalid", status.FailedStatus},
		"large":             {`{"type":"` + strings.Repeat("x", maxSpec) + `"}`, nil, nil, "InvalidSpec: spec.repositorySpec: limit exceeded", status.FailedStatus},
		"negative interval": {`{"type":"x"}`, func(r *v1alpha1.Repository) { r.Spec.Interval.Duration = -time.Hour }, nil, "InvalidSpec: spec.interval: invalid", status.FailedStatus},
		"wrong":             {`{"type":"x"}`, nil, fmt.Errorf("baseUrl: %w", ocm.ErrInvalid), "InvalidSpec: spec.repositorySpec: baseUrl", status.FailedStatus},
		"unknown type":      {`{"type":"x"}`, nil, fmt.Errorf("x: %w", ocm.ErrUnknownType), "InvalidSpec: spec.repositorySpec: x: unknown type", status.FailedStatus},
		"denied":            {`{"type":"x"}`, nil, fmt.Errorf("registry: %w", ocm.ErrDenied), "GetRepositoryFailed: registry: access denied; spec.ocmConfig", status.InProgressStatus},
		"no Secret": {`{"type":"x"}`, func(r *v1alpha1.Repository) { r.Spec.OCMConfig = append(r.Spec.OCMConfig, secret("none")) }, nil,
			"GetConfigurationFailed: spec.ocmConfig[0]: Secret team/none: not found", status.InProgressStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := testRepository()
			if obj.Spec.RepositorySpec = rawJSON(c.spec); c.spec == "" {
				obj.Spec.RepositorySpec = nil
			}
			if c.change != nil {
				c.change(obj)
			}
			bed := newTestbed(t, obj)
			bed.canned.ping = c.ping
			bed.drive(t, &repositories{bed.base}, obj)
			if got := ready(obj); !strings.HasPrefix(got, "False "+c.want) {
				t.Errorf("it says %q", got)
			}
			if got := judged(t, obj); got != c.status {
				t.Errorf("kstatus says %s", got)
			}
		})
	}
}

func TestIntervals(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{0: 0, 1: minInterval, time.Hour: time.Hour} {
		if got, err := between(given); got != want || err != nil {
			t.Errorf("%v is %v, %v", given, got, err)
		}
	}
}
