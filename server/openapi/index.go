package openapi

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Index lists the embedded documents.
type Index struct {
	// Inputs is the hash of what the documents were made of, see Inputs.
	Inputs string `json:"inputs"`
	// Paths are the version 3 documents' paths, e.g. "apis/apps/v1".
	Paths []string `json:"paths"`
	// Documents are described by their file's name without ".zst".
	Documents map[string]Document `json:"documents"`
}

// Document describes one document before compression.
type Document struct {
	Size int `json:"size"`
	// Hash is SHA-512 in upper case hexadecimal digits, as clients know it.
	Hash string `json:"hash"`
}

// Describe returns the description of a document.
func Describe(b []byte) Document {
	sum := sha512.Sum512(b)
	return Document{Size: len(b), Hash: strings.ToUpper(hex.EncodeToString(sum[:]))}
}

var apiModule = regexp.MustCompile(`(?m)^\s*(?:require )?(k8s\.io/(?:api|apimachinery|apiextensions-apiserver|kube-aggregator|kube-openapi) v\S+)`)

// Inputs returns the hash of what the documents depend on: the versions of the
// modules with the types in a go.mod file, and the table as builtin.List shows it.
func Inputs(gomod, table string) (string, error) {
	b, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read module versions: %w", err)
	}
	h := sha512.New()
	for _, m := range apiModule.FindAllStringSubmatch(string(b), -1) {
		fmt.Fprintln(h, m[1])
	}
	fmt.Fprint(h, table)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
