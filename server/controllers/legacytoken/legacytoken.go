// Package legacytoken fills the Secrets of type kubernetes.io/service-account-token
// with a token of the service account that they name, and removes them with it.
//
// Pods get tokens that expire (package token's TokenRequest); these Secrets are for
// clients outside of the cluster that need one that does not.
package legacytoken

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
)

// Config is what the Secrets are filled with.
type Config struct {
	// Sign returns a token of the account that lives in the Secret.
	Sign func(*corev1.ServiceAccount, *corev1.Secret) (string, error)
	// CA returns the bundle (PEM) to verify the API server with.
	CA func() []byte
}

// byAccount is the index of the Secrets by the account that they name.
const byAccount = "account"

// New returns the controller; its keys are those of the Secrets. It watches only
// the Secrets of this type, so that the others need not be held in memory.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, cfg Config) controller.Controller {
	accounts := f.Core().V1().ServiceAccounts()
	own := coreinformers.NewFilteredSecretInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		byAccount:            func(o any) ([]string, error) { return []string{account(o.(*corev1.Secret))}, nil },
	}, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)).String()
	})
	r := &reconciler{client: client, cfg: cfg, accounts: accounts.Lister(), secrets: corelisters.NewSecretLister(own.GetIndexer())}
	return controller.Controller{
		Name: "serviceaccount-token", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.For(own),
			controller.Watch(accounts.Informer(), func(old, new *corev1.ServiceAccount, enqueue func(string)) {
				sa := new
				if sa == nil {
					sa = old
				}
				secrets, _ := own.GetIndexer().ByIndex(byAccount, controller.Key(sa)) // the index exists
				for _, s := range secrets {
					enqueue(controller.Key(s.(*corev1.Secret)))
				}
			}),
		},
		Own: []cache.SharedIndexInformer{own},
	}
}

// account is the key of the service account that a Secret names.
func account(s *corev1.Secret) string {
	return s.Namespace + "/" + s.Annotations[corev1.ServiceAccountNameKey]
}

type reconciler struct {
	client   kubernetes.Interface
	cfg      Config
	accounts corelisters.ServiceAccountLister
	secrets  corelisters.SecretLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	secret, err := r.secrets.Secrets(namespace).Get(name)
	switch {
	case apierrors.IsNotFound(err):
		return controller.Result{}, r.forget(ctx, namespace, name)
	case err != nil || secret.DeletionTimestamp != nil:
		return controller.Result{}, err
	}
	sa, err := r.account(ctx, secret)
	switch {
	case err != nil:
		return controller.Result{}, err
	case sa == nil:
		return controller.Result{}, r.remove(ctx, secret)
	}
	return controller.Result{}, r.fill(ctx, secret, sa)
}

// account returns the account that a Secret is for, nil if there is none. A Secret
// may be made along with its account, so that the cache is not enough to tell.
func (r *reconciler) account(ctx context.Context, secret *corev1.Secret) (*corev1.ServiceAccount, error) {
	name := secret.Annotations[corev1.ServiceAccountNameKey]
	sa, err := r.accounts.ServiceAccounts(secret.Namespace).Get(name)
	if apierrors.IsNotFound(err) || err == nil && !owns(sa, secret) {
		sa, err = r.client.CoreV1().ServiceAccounts(secret.Namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) || err == nil && !owns(sa, secret) {
		return nil, nil
	}
	return sa, err
}

// owns tells whether a Secret was made for this very account.
func owns(sa *corev1.ServiceAccount, secret *corev1.Secret) bool {
	uid := secret.Annotations[corev1.ServiceAccountUIDKey]
	return uid == "" || uid == string(sa.UID)
}

// fill writes what the Secret lacks, or has of another authority.
func (r *reconciler) fill(ctx context.Context, secret *corev1.Secret, sa *corev1.ServiceAccount) error {
	ca := r.cfg.CA()
	complete := len(secret.Data[corev1.ServiceAccountTokenKey]) > 0 && len(secret.Data[corev1.ServiceAccountNamespaceKey]) > 0 &&
		bytes.Equal(secret.Data[corev1.ServiceAccountRootCAKey], ca) && secret.Annotations[corev1.ServiceAccountUIDKey] == string(sa.UID)
	if complete {
		return nil
	}
	filled := secret.DeepCopy()
	if filled.Data == nil {
		filled.Data = map[string][]byte{}
	}
	filled.Annotations = maps.Clone(filled.Annotations)
	filled.Annotations[corev1.ServiceAccountNameKey], filled.Annotations[corev1.ServiceAccountUIDKey] = sa.Name, string(sa.UID)
	filled.Data[corev1.ServiceAccountRootCAKey] = ca
	filled.Data[corev1.ServiceAccountNamespaceKey] = []byte(secret.Namespace)
	if len(filled.Data[corev1.ServiceAccountTokenKey]) == 0 {
		token, err := r.cfg.Sign(sa, filled)
		if err != nil {
			return fmt.Errorf("fill secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
		filled.Data[corev1.ServiceAccountTokenKey] = []byte(token)
	}
	_, err := r.client.CoreV1().Secrets(secret.Namespace).Update(ctx, filled, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// remove deletes a Secret whose account is gone.
func (r *reconciler) remove(ctx context.Context, secret *corev1.Secret) error {
	err := r.client.CoreV1().Secrets(secret.Namespace).Delete(ctx, secret.Name, *metav1.NewPreconditionDeleteOptions(string(secret.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// forget takes a Secret that is gone out of the accounts that refer to it.
func (r *reconciler) forget(ctx context.Context, namespace, name string) error {
	accounts, err := r.accounts.ServiceAccounts(namespace).List(labels.Everything())
	if err != nil {
		return err
	}
	refers := func(ref corev1.ObjectReference) bool { return ref.Name == name }
	for _, sa := range accounts {
		if !slices.ContainsFunc(sa.Secrets, refers) {
			continue
		}
		changed := sa.DeepCopy()
		changed.Secrets = slices.DeleteFunc(changed.Secrets, refers)
		_, err := r.client.CoreV1().ServiceAccounts(namespace).Update(ctx, changed, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
