// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"ocm"
)

// Limits of what is told.
const (
	maxErrors  = 20   // objects that are named in one error
	maxMessage = 1000 // bytes of what a server says about one object
	maxName    = 300  // bytes of a name
)

// printable makes a text safe to show: what is neither graphic nor a space is escaped, what is too long is cut.
func printable(s string) string { return bounded(s, maxName) }

func bounded(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !strconv.IsGraphic(r) }) < 0 {
		return s
	}
	quoted := strconv.QuoteToGraphic(s)
	return quoted[1 : len(quoted)-1]
}

// cannot finds in the message of a server what RBAC says about a request. Nothing else of a message about a Secret is told.
var cannot = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`User "[^"]{0,300}" cannot [a-z]+ resource "[^"]{0,300}" in API group "[^"]{0,300}"(?: in the namespace "[^"]{0,300}"| at the cluster scope)?`)
})

// told is an error whose text is made here, and which is found as what it was.
type told struct {
	text string
	errs []error
}

func (e *told) Error() string   { return e.text }
func (e *told) Unwrap() []error { return e.errs }

// Refusal turns what the server, or the way to it, says about an object into an error of this project; of a Secret nothing is told
// that may be its data.
func Refusal(ref Ref, doing string, err error) error {
	if wrapped(err) != nil {
		return fmt.Errorf("%s: %s: %w", ref, doing, err)
	}
	kind, text := sentinel(err), err.Error()
	var way *url.Error
	switch {
	case errors.As(err, &way):
		text = way.Err.Error() // without the address, which has a query
	case ref.Kind == "Secret":
		text, err = secretless(err), nil
	}
	if strings.HasSuffix(text, "field is immutable") {
		text += "; delete the object first, or give the new one another name"
	}
	if kind != nil {
		text = kind.Error() + ": " + bounded(text, maxMessage)
	}
	return &told{text: fmt.Sprintf("%s: %s: %s", ref, doing, bounded(text, 2*maxMessage)), errs: present([]error{kind, err})}
}

// wrapped is the error of this project that an error wraps, or nil.
func wrapped(err error) error {
	for _, known := range []error{ocm.ErrConflict, ocm.ErrDenied, ocm.ErrInvalid, ocm.ErrLimit, ocm.ErrNotFound} {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}

// sentinel is the kind of an error of a server, or nil.
func sentinel(err error) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ocm.ErrConflict // it is being deleted, and can be made again after that
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return ocm.ErrDenied
	case apierrors.IsRequestEntityTooLargeError(err):
		return ocm.ErrLimit
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return ocm.ErrInvalid
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ocm.ErrConflict
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return ocm.ErrNotFound
	}
	return nil
}

// secretless tells what can be told about a refused Secret: servers and webhooks may repeat its data in their messages.
func secretless(err error) string {
	if rbac := cannot().FindString(err.Error()); rbac != "" {
		return bounded(rbac, maxMessage)
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "the request failed (what it says is not told of a Secret)"
	}
	text := string(status.Status().Reason)
	if details := status.Status().Details; details != nil {
		for i, cause := range details.Causes {
			if i == maxErrors {
				break
			}
			text += "; " + bounded(string(cause.Type)+" "+cause.Field, maxName)
		}
	}
	return bounded(text, maxMessage) + " (what the server says is not told of a Secret)"
}

// several are errors of many objects, as one: what the identity may not do first, then in the order of their texts. All are found by
// errors.Is, and the first 20 are told.
type several []error

func (e several) Unwrap() []error { return e }

func (e several) Error() string {
	told := make([]string, 0, maxErrors+1)
	for i, err := range e {
		if i == maxErrors {
			told = append(told, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		told = append(told, err.Error())
	}
	return strings.Join(told, "; ")
}

// join makes one error of those that are not nil.
func join(errs []error) error {
	list := present(errs)
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b error) int {
		if x, y := errors.Is(a, ocm.ErrDenied), errors.Is(b, ocm.ErrDenied); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Error(), b.Error())
	})
	if len(list) == 1 {
		return list[0]
	}
	return several(list)
}

func present(errs []error) []error {
	return slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
}

// isMissing reports whether an object is not there, or its kind is not.
func isMissing(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// parallel calls f for each number below n, a few at a time, and returns their errors. A panic is an error. Once ctx is done nothing is
// begun any more.
func parallel(ctx context.Context, n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	free := make(chan struct{}, maxParallel)
	for i := range n {
		free <- struct{}{}
		if err := ctx.Err(); err != nil {
			errs[i] = err
			break
		}
		wait.Go(func() {
			defer func() { <-free }()
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("%w: object %d cannot be handled (%T)", ocm.ErrInvalid, i, p)
				}
			}()
			errs[i] = f(i)
		})
	}
	wait.Wait()
	return errs
}
