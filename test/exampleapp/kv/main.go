// Command kv is the examples' stateful backend: a key-value store over HTTP
// that keeps its data in one file.
//
//	GET    /keys/KEY             the value, 404 if there is none
//	PUT    /keys/KEY             sets the value
//	POST   /counters/KEY         adds one, answers the new value
//
// Requests carry the password of the file $KV_PASSWORD_FILE as bearer token.
// $KV_FILE is the data file; an answered write is on disk.
package main

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"skiff/test/exampleapp/serve"
)

// maxValue bounds what one key may hold, in bytes.
const maxValue = 64 << 10

func main() {
	s, err := openStore(os.Getenv("KV_FILE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	serve.Main(":8080", routes(s, os.Getenv("KV_PASSWORD_FILE")))
}

func routes(s *store, passwordFile string) *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !allowed(r, passwordFile) {
				http.Error(w, "wrong password", http.StatusUnauthorized)
				return
			}
			h(w, r)
		})
	}
	handle("GET /keys/{key}", s.get)
	handle("PUT /keys/{key}", s.put)
	handle("POST /counters/{key}", s.count)
	return mux
}

// allowed reads the password at every request: the secret's file follows the
// secret.
func allowed(r *http.Request, passwordFile string) bool {
	want, err := os.ReadFile(passwordFile)
	if err != nil {
		return false
	}
	got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return subtle.ConstantTimeCompare([]byte(got), []byte(strings.TrimSpace(string(want)))) == 1
}

func (s *store) get(w http.ResponseWriter, r *http.Request) {
	value, ok := s.read(r.PathValue("key"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	io.WriteString(w, value)
}

func (s *store) put(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.write(r.PathValue("key"), string(body)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *store) count(w http.ResponseWriter, r *http.Request) {
	n, err := s.add(r.PathValue("key"))
	var bad notNumberError
	switch {
	case errors.As(err, &bad):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		fmt.Fprintln(w, n)
	}
}

// notExist tells that a data file is yet to be made.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
