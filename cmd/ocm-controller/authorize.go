// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Who floods the metrics must not flood the API server: questions per second to it.
const (
	reviewsPerSecond = 5
	reviewsAtOnce    = 20
)

// onlyAuthorized lets those see metrics whom the cluster knows by their token, and lets get the path.
func onlyAuthorized(config *rest.Config, _ *http.Client) (server.Filter, error) {
	own := rest.CopyConfig(config)
	own.QPS, own.Burst = reviewsPerSecond, reviewsAtOnce
	cluster, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, err
	}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return authorized(cluster, log, next), nil
	}, nil
}

func authorized(cluster kubernetes.Interface, log logr.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowed, known, err := review(cluster, r)
		switch {
		case err != nil:
			log.Error(err, "asking the cluster who may see metrics")
			http.Error(w, "the cluster does not answer who may see this", http.StatusInternalServerError)
		case !known:
			http.Error(w, "a token of the cluster is needed", http.StatusUnauthorized)
		case !allowed:
			http.Error(w, "not allowed: get on this path, a nonResourceURL, is needed", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// review asks the cluster about the bearer of a request.
func review(cluster kubernetes.Interface, r *http.Request) (allowed, known bool, err error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return false, false, nil
	}
	who, err := cluster.AuthenticationV1().TokenReviews().Create(r.Context(),
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil || !who.Status.Authenticated {
		return false, false, err
	}
	u := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range u.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := cluster.AuthorizationV1().SubjectAccessReviews().Create(r.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: u.Username, Groups: u.Groups, UID: u.UID, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: strings.ToLower(r.Method)}}}, metav1.CreateOptions{})
	if err != nil {
		return false, true, err
	}
	return may.Status.Allowed && !may.Status.Denied, true, nil
}
