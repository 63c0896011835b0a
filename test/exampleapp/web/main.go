// Command web is the examples' front end: a page that greets, says which
// version and pod answers, and counts visits in the key-value store.
//
//	VERSION             shown on the page; part of the image
//	GREETING_FILE       the greeting, from a config map; read at every request
//	KV_URL              the key-value store
//	KV_PASSWORD_FILE    its password, from a secret
//
// The page is served without the count if the store does not answer in time.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"skiff/test/exampleapp/serve"
)

// storeTimeout bounds what a page waits for its visits.
const storeTimeout = time.Second

func main() {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	p := page{
		version: os.Getenv("VERSION"), pod: host, greetingFile: os.Getenv("GREETING_FILE"),
		storeURL: os.Getenv("KV_URL"), passwordFile: os.Getenv("KV_PASSWORD_FILE"),
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", p)
	serve.Main(":8080", mux)
}

type page struct {
	version, pod, greetingFile, storeURL, passwordFile string
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	greeting, err := os.ReadFile(p.greetingFile)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	visits, err := p.visit(r.Context())
	if err != nil {
		visits = "unknown (" + err.Error() + ")"
	}
	fmt.Fprintf(w, "%s\nversion: %s\npod: %s\nvisits: %s\n", strings.TrimSpace(string(greeting)), p.version, p.pod, visits)
}

// visit counts one more visit and returns how many there were.
func (p page) visit(ctx context.Context) (string, error) {
	password, err := os.ReadFile(p.passwordFile)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.storeURL+"/counters/visits", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(password)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", p.storeURL, res.Status)
	}
	return strings.TrimSpace(string(body)), nil
}
