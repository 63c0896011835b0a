package join

import (
	"context"
	"errors"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"skiff/server/pki"
)

// KeepOwn makes a server's own token one that boxes can join with. The one that
// the server had before, if it is another one, ends.
func KeepOwn(ctx context.Context, client kubernetes.Interface, token pki.Token, server string) error {
	own := Token{ID: token.ID, Secret: token.Secret, Server: server, Description: "The token of server " + server + "."}.ForRole(RoleAgent)
	if err := ensure(ctx, client, own); err != nil {
		return fmt.Errorf("keep the server's join token: %w", err)
	}
	secrets := client.CoreV1().Secrets(Namespace)
	had, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: labels.Set{serverLabel: server}.String()})
	if err != nil {
		return fmt.Errorf("look for the server's earlier join tokens: %w", err)
	}
	var errs []error
	for _, s := range had.Items {
		if s.Name == SecretName(token.ID) || s.Type != SecretType {
			continue
		}
		if err := secrets.Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove the server's earlier join token: %w", err))
		}
	}
	return errors.Join(errs...)
}

func ensure(ctx context.Context, client kubernetes.Interface, t Token) error {
	secrets, want := client.CoreV1().Secrets(Namespace), t.ToSecret()
	have, err := secrets.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || apiequality.Semantic.DeepEqual(have.Data, want.Data) && have.Labels[serverLabel] == t.Server {
		return err
	}
	update := have.DeepCopy()
	update.Data = want.Data
	metav1.SetMetaDataLabel(&update.ObjectMeta, serverLabel, t.Server)
	_, err = secrets.Update(ctx, update, metav1.UpdateOptions{})
	return err
}
