package manifests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	// labelRecord marks the config maps that are records.
	labelRecord    = "skiff/record"
	recordOf       = "manifest"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// The keys of a record's data.
const (
	keyFile    = "file"
	keyServer  = "server"
	keyObjects = "objects"
)

// fileRecord is the memory of one file: which objects it made, in its order. It
// is a config map in kube-system, so that it lives as long as they do, and users
// can see it.
type fileRecord struct {
	file string
	// server is the node whose folder the file is in. Another server's folder says
	// nothing of it.
	server  string
	objects []identity
	// stored is as the API server has it, nil if it does not yet.
	stored *corev1.ConfigMap
}

type records struct {
	client corev1client.ConfigMapInterface
	server string
}

// load returns the records, sorted by file.
func (r records) load(ctx context.Context) ([]*fileRecord, error) {
	list, err := r.client.List(ctx, metav1.ListOptions{LabelSelector: labelRecord + "=" + recordOf})
	if err != nil {
		return nil, fmt.Errorf("read what was applied before: %w", err)
	}
	var all []*fileRecord
	for i := range list.Items {
		stored := &list.Items[i]
		if stored.Data[keyFile] == "" {
			continue // somebody's work: it says nothing
		}
		rec := &fileRecord{file: stored.Data[keyFile], server: stored.Data[keyServer], stored: stored}
		for line := range strings.Lines(stored.Data[keyObjects]) {
			if id, ok := parseIdentity(strings.TrimSpace(line)); ok {
				rec.objects = append(rec.objects, id)
			}
		}
		all = append(all, rec)
	}
	slices.SortFunc(all, func(a, b *fileRecord) int { return strings.Compare(a.file, b.file) })
	return all, nil
}

// save writes what a file made, if that differs from what is stored. A file that
// made nothing has no record.
func (r records) save(ctx context.Context, rec *fileRecord, objects []identity) error {
	stored, err := r.store(ctx, rec, map[string]string{keyFile: rec.file, keyServer: r.server, keyObjects: lines(objects)}, len(objects) > 0)
	if err != nil {
		return fmt.Errorf("remember what was applied: %w", err)
	}
	rec.stored, rec.objects, rec.server = stored, objects, r.server
	return nil
}

func (r records) store(ctx context.Context, rec *fileRecord, data map[string]string, keep bool) (*corev1.ConfigMap, error) {
	switch {
	case rec.stored == nil && !keep:
		return nil, nil
	case rec.stored == nil:
		return r.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: recordName(rec.file), Labels: map[string]string{labelRecord: recordOf, labelManagedBy: "skiff"}},
			Data:       data,
		}, metav1.CreateOptions{})
	case !keep:
		return nil, r.client.Delete(ctx, rec.stored.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(rec.stored.UID))})
	case maps.Equal(rec.stored.Data, data):
		return rec.stored, nil
	}
	change := rec.stored.DeepCopy()
	change.Data = data
	return r.client.Update(ctx, change, metav1.UpdateOptions{})
}

func lines(objects []identity) string {
	var b strings.Builder
	for _, id := range objects {
		b.WriteString(id.String() + "\n")
	}
	return b.String()
}

// recordName is the name of a file's record: the file's, if it can name an object.
func recordName(file string) string {
	const prefix = "manifest-"
	name := prefix + file
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(file))
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(file))
	return prefix + clean[:min(len(clean), 200)] + "-" + hex.EncodeToString(sum[:4])
}
