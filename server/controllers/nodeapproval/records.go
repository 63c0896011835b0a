package nodeapproval

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

const (
	// Namespace holds the records of nodes' keys, one config map for each.
	Namespace    = metav1.NamespaceSystem
	recordPrefix = "skiff-node-key."
	// recordLabel is on all records.
	recordLabel = "skiff/node-key"
	// maxNodeName leaves room for the record's prefix in an object's name.
	maxNodeName = 253 - len(recordPrefix)

	keyNode = "node"
	keyKey  = "public-key"
	// keyUID is the UID of the Node that has come for the record.
	keyUID = "node-uid"

	// noShow is how long a name is kept for a box whose Node does not come.
	noShow = 5 * time.Minute

	annotation  = "kubernetes.io/description"
	description = "The key of the box that has this node's name. Deleting the Node removes it, and frees the name."
)

// records are the keys that nodes have joined with. They are read from the API
// server, not from a cache: two boxes may come at the same time.
type records struct {
	client kubernetes.Interface
	clock  clock.PassiveClock
}

// RecordName is the name of the config map that has a node's key.
func RecordName(node string) string { return recordPrefix + node }

// claim returns "" if the name is the key's, which is noted if the name was free;
// otherwise why it is not, and what to do. A node that renews has shown already
// that the name is its own; it may have lost its record with a deleted Node.
func (r records) claim(ctx context.Context, node string, key any, renewal bool) (string, error) {
	text, err := encode(key)
	if err != nil {
		return "", err
	}
	maps := r.client.CoreV1().ConfigMaps(Namespace)
	have, err := maps.Get(ctx, RecordName(node), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return "", err
	case have.Data[keyKey] == text:
		return "", nil
	case have.Data[keyUID] == "" && r.clock.Since(have.CreationTimestamp.Time) < noShow:
		return fmt.Sprintf("another box is joining as node %q: choose another --node-name, or try again in %s if it was this one", node, noShow), nil
	case have.Data[keyUID] != "":
		return taken(node), nil
	default:
		if err := r.remove(ctx, have); err != nil {
			return "", err
		}
	}
	if !renewal {
		if _, err := r.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); err == nil {
			return taken(node), nil // a server's, or one that was made by hand
		} else if !apierrors.IsNotFound(err) {
			return "", err
		}
	}
	_, err = maps.Create(ctx, record(node, text), metav1.CreateOptions{})
	return "", err
}

func taken(node string) string {
	return fmt.Sprintf("another box has joined as node %q: choose another --node-name, or, if that box is gone or lost its data, kubectl delete node %s", node, node)
}

func record(node, key string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: RecordName(node),
			Labels: map[string]string{recordLabel: ""}, Annotations: map[string]string{annotation: description},
		},
		Data: map[string]string{keyNode: node, keyKey: key},
	}
}

// noteNode notes that the node has come.
func (r records) noteNode(ctx context.Context, have *corev1.ConfigMap, uid types.UID) error {
	update := have.DeepCopy()
	update.Data[keyUID] = string(uid)
	_, err := r.client.CoreV1().ConfigMaps(Namespace).Update(ctx, update, metav1.UpdateOptions{})
	return err
}

// remove removes a record as it was seen.
func (r records) remove(ctx context.Context, have *corev1.ConfigMap) error {
	err := r.client.CoreV1().ConfigMaps(Namespace).Delete(ctx, have.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func encode(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encode the node's key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
