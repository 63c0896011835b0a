package manifests

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// document is one object of a file. It keeps the object as JSON, which is a tenth
// of what it takes decoded: a file may hold a thousand, of which one at a time is
// looked at.
type document struct {
	// number counts the file's documents, from 1; items of a list have the list's.
	number          int
	gvk             schema.GroupVersionKind
	namespace, name string
	json            []byte
}

// object decodes the document.
func (d *document) object() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(d.json, &u.Object); err != nil {
		return nil, err
	}
	return u, nil
}

// parse reads all objects of a file, which is YAML or JSON, of any number of
// documents. An error in one of them is the whole file's: what comes after it
// cannot be trusted, and half a file would be taken for the removal of its rest.
func parse(data []byte) ([]document, error) {
	texts, err := split(data)
	if err != nil {
		return nil, err
	}
	var list []document
	for i, text := range texts {
		found, err := objectsOf(text.json)
		if err != nil {
			return nil, fmt.Errorf("document %d, from line %d: %w", i+1, text.line, err)
		}
		for _, d := range found {
			d.number = i + 1
			list = append(list, d)
		}
	}
	return list, nil
}

// text is a document with the line that it begins at.
type text struct {
	line int
	json []byte
}

func split(data []byte) ([]text, error) {
	if texts, ok := splitJSON(data); ok {
		return texts, nil
	}
	var list []text
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for at := 0; ; {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		at += max(0, bytes.Index(data[at:], doc))
		t := text{line: 1 + bytes.Count(data[:at], []byte("\n"))}
		at += len(doc)
		if t.json, err = yaml.YAMLToJSONStrict(doc); err != nil {
			// Again, for a line number that is the file's.
			_, err = yaml.YAMLToJSONStrict(append(bytes.Repeat([]byte("\n"), t.line-1), doc...))
			return nil, fmt.Errorf("document %d: %s", len(list)+1, oneLine(err))
		}
		if !bytes.Equal(t.json, []byte("null")) { // nothing but comments
			list = append(list, t)
		}
	}
}

// splitJSON reads JSON values one after another; false if the data is something
// else.
func splitJSON(data []byte) ([]text, bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil, false
	}
	var list []text
	for dec := stdjson.NewDecoder(bytes.NewReader(data)); ; {
		t := text{line: 1 + bytes.Count(data[:dec.InputOffset()], []byte("\n"))}
		err := dec.Decode((*stdjson.RawMessage)(&t.json))
		if errors.Is(err, io.EOF) {
			return list, true
		}
		if err != nil {
			return nil, false
		}
		list = append(list, t)
	}
}

// oneLine joins what the YAML library breaks into lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// objectsOf returns the objects in a document: one, or the items of a list.
func objectsOf(text []byte) ([]document, error) {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &u.Object); err != nil {
		return nil, errors.New("is not an object, which has apiVersion, kind and metadata")
	}
	if u.IsList() && strings.HasSuffix(u.GetKind(), "List") {
		return itemsOf(u)
	}
	for _, field := range []string{"name", "namespace"} {
		if value, _, err := unstructured.NestedFieldNoCopy(u.Object, "metadata", field); err == nil && value != nil {
			if _, ok := value.(string); !ok {
				return nil, fmt.Errorf("metadata.%s is %v, which YAML takes for no text; put it in quotes", field, value)
			}
		}
	}
	d := document{gvk: u.GroupVersionKind(), namespace: u.GetNamespace(), name: u.GetName(), json: text}
	switch {
	case u.GetAPIVersion() == "":
		return nil, errors.New("has no apiVersion")
	case u.GetKind() == "":
		return nil, errors.New("has no kind")
	case d.name == "" && u.GetGenerateName() != "":
		return nil, fmt.Errorf("this %s has a generateName, but what is applied again and again needs metadata.name", u.GetKind())
	case d.name == "":
		return nil, fmt.Errorf("this %s has no metadata.name", u.GetKind())
	}
	return []document{d}, nil
}

// itemsOf returns the objects of a List, or of a list of one kind, whose items may
// leave their kind to the list.
func itemsOf(list *unstructured.Unstructured) ([]document, error) {
	var all []document
	items, _ := list.Object["items"].([]any)
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("items[%d] is not an object", i)
		}
		u := &unstructured.Unstructured{Object: object}
		if kind := strings.TrimSuffix(list.GetKind(), "List"); kind != "" && u.GetKind() == "" {
			u.SetKind(kind)
			u.SetAPIVersion(list.GetAPIVersion())
		}
		text, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		found, err := objectsOf(text)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		all = append(all, found...)
	}
	return all, nil
}
