// Package authentication describes the resources of the API group
// authentication.k8s.io. They are questions: a create is answered, nothing is
// stored.
package authentication

import (
	"context"
	"errors"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/registry"
)

// Group is the API group's name.
const Group = authenticationv1.GroupName

// Deps is whom the reviews ask.
type Deps struct {
	// Tokens authenticates requests by their bearer token.
	Tokens authenticator.Request
	// Audiences are those of the API server itself, for reviews that name none.
	Audiences []string
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Resources returns the group's resources.
func Resources(d Deps) []*registry.Resource {
	return []*registry.Resource{
		{
			Group: Group, Plural: "tokenreviews", Singular: "tokenreview", Kind: "TokenReview", Verbs: []string{"create"},
			Versions: []registry.Version{{Name: "v1", New: registry.New[authenticationv1.TokenReview]()}},
			Create:   d.reviewToken,
		},
		{
			Group: Group, Plural: "selfsubjectreviews", Singular: "selfsubjectreview", Kind: "SelfSubjectReview", Verbs: []string{"create"},
			Versions: []registry.Version{{Name: "v1", New: registry.New[authenticationv1.SelfSubjectReview]()}},
			Create:   d.reviewSelf,
		},
	}
}

func (d Deps) reviewToken(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	review, ok := obj.(*authenticationv1.TokenReview)
	if !ok {
		return nil, apierrors.NewBadRequest("not a TokenReview")
	}
	if review.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	if d.Tokens == nil {
		return review, nil
	}
	audiences := authenticator.Audiences(review.Spec.Audiences)
	if len(audiences) == 0 {
		audiences = d.Audiences
	}
	if len(audiences) > 0 {
		ctx = authenticator.WithAudiences(ctx, audiences)
	}
	// A request that holds nothing but the token.
	r := (&http.Request{Header: http.Header{"Authorization": {"Bearer " + review.Spec.Token}}}).WithContext(ctx)
	response, ok, err := d.Tokens.AuthenticateRequest(r)
	review.Status.Authenticated = ok
	if err != nil {
		review.Status.Error = err.Error()
	}
	if response == nil {
		return review, nil
	}
	if len(audiences) > 0 && len(audiences.Intersect(response.Audiences)) == 0 {
		return nil, apierrors.NewInternalError(errors.New("error validating audiences"))
	}
	if response.User != nil {
		review.Status.User = userInfo(response.User)
		review.Status.Audiences = response.Audiences
	}
	return review, nil
}

func (d Deps) reviewSelf(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	if _, ok := obj.(*authenticationv1.SelfSubjectReview); !ok {
		return nil, apierrors.NewBadRequest("not a SelfSubjectReview")
	}
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewBadRequest("no user present on request")
	}
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	return &authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now())},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(u)},
	}, nil
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{
		Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(),
		Extra: make(map[string]authenticationv1.ExtraValue, len(u.GetExtra())),
	}
	for k, v := range u.GetExtra() {
		info.Extra[k] = v
	}
	return info
}
