package discovery

import (
	"crypto/sha256"
	"encoding/base64"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// hashes returns the storageVersionHash of each resource that is stored: by it
// migrators learn that the stored form has become another one (KEP-2343).
func hashes(resources []*registry.Resource) map[schema.GroupResource]string {
	out := map[schema.GroupResource]string{}
	for _, r := range resources {
		if v := r.Storage(); v != nil && r.Create == nil {
			out[r.GroupResource()] = hash(schema.GroupVersionKind{Group: r.Group, Version: v.Name, Kind: r.Kind})
		}
	}
	for _, r := range resources {
		if r.StoredAs != nil {
			out[r.GroupResource()] = out[*r.StoredAs]
		}
	}
	return out
}

// hash is the first eight bytes of a SHA-256, as clients know it.
func hash(gvk schema.GroupVersionKind) string {
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
