package manifests

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// An object carries the configuration that was applied last in an annotation:
// kubectl's own, so that kubectl apply and diff can go on from it. One that does
// not fit into what annotations may have, as large custom resource definitions
// don't, is kept compressed in another.
const (
	annotationLast       = corev1.LastAppliedConfigAnnotation
	annotationCompressed = "skiff/last-applied-gzip"
)

// maxLast bounds an object's configuration when it is unpacked.
const maxLast = maxFile

// room is how much the annotations beside the last configuration leave for it.
func room(sets ...map[string]string) int {
	// Some more than the rest may need is left to others who annotate.
	left := validation.TotalAnnotationSizeLimitB - 16<<10
	for _, annotations := range sets {
		for k, v := range annotations {
			if k != annotationLast && k != annotationCompressed {
				left -= len(k) + len(v)
			}
		}
	}
	return left
}

// encodeLast returns the annotation that holds a configuration.
func encodeLast(last []byte, room int) (key, value string) {
	if len(last) <= room {
		return annotationLast, string(last)
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for a wrong level only
	_, _ = z.Write(last)                                  // a buffer takes all
	_ = z.Close()
	return annotationCompressed, base64.StdEncoding.EncodeToString(b.Bytes())
}

// decodeLast returns the configuration that was applied to live before, nil if
// none was. An annotation of its own that want has no longer is part of it, so
// that it goes.
func decodeLast(live, want *unstructured.Unstructured) ([]byte, error) {
	annotations := live.GetAnnotations()
	last := []byte(annotations[annotationLast])
	if packed := annotations[annotationCompressed]; packed != "" {
		z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(packed))))
		if err != nil {
			return nil, fmt.Errorf("annotation %s cannot be read, remove it: %w", annotationCompressed, err)
		}
		if last, err = io.ReadAll(io.LimitReader(z, maxLast)); err != nil {
			return nil, fmt.Errorf("annotation %s cannot be read, remove it: %w", annotationCompressed, err)
		}
	}
	before := &unstructured.Unstructured{Object: map[string]any{}}
	if len(last) > 0 {
		if err := json.Unmarshal(last, &before.Object); err != nil {
			return nil, fmt.Errorf("annotation %s cannot be read, remove it: %w", annotationLast, err)
		}
	}
	wanted := want.GetAnnotations()
	for _, key := range []string{annotationLast, annotationCompressed} {
		if _, stays := wanted[key]; !stays && annotations[key] != "" {
			annotate(before, key, "")
		}
	}
	return json.Marshal(before.Object)
}

// dropLast removes what a user copied along from a live object.
func dropLast(o *unstructured.Unstructured) {
	for _, key := range []string{annotationLast, annotationCompressed, annotationFile} {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations", key)
	}
}
