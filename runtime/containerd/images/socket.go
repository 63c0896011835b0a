package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Image is one line of `skiff images list`.
type Image struct {
	// Names are tags, with the registry; an image without has its digest only.
	Names []string `json:"names"`
	// ID is the digest of the image's configuration.
	ID string `json:"id"`
	// Size in bytes of its compressed content.
	Size   uint64 `json:"size"`
	Pinned bool   `json:"pinned,omitempty"`
}

// Service is what the socket gives access to.
type Service interface {
	ImportImages(ctx context.Context, r io.Reader) ([]string, error)
	ImageList(ctx context.Context) ([]Image, error)
}

// Server serves a Service on a Unix socket, to root alone.
type Server struct {
	http *http.Server
	done chan struct{}
}

// Listen serves on the socket at path until Close.
func Listen(path string, s Service) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for image commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	srv := &Server{http: &http.Server{Handler: handler(s), ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(srv.done)
		_ = srv.http.Serve(l) // always an error: that it was closed
	}()
	return srv, nil
}

// Close ends running imports and removes the socket.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

func handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /import", func(w http.ResponseWriter, r *http.Request) {
		names, err := s.ImportImages(r.Context(), r.Body)
		reply(w, names, err)
	})
	mux.HandleFunc("GET /images", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.ImageList(r.Context())
		reply(w, list, err)
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone, and sees it itself
}

// Client talks to a Server.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client for the socket at path. Nothing is connected yet.
func Dial(path string) *Client {
	return &Client{path, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

// Import sends the archive in r, plain or compressed, and returns the names of its images.
func (c *Client) Import(ctx context.Context, r io.Reader) (names []string, err error) {
	err = c.do(ctx, http.MethodPost, "/import", r, &names)
	return names, err
}

// List returns all images of the node.
func (c *Client) List(ctx context.Context) (list []Image, err error) {
	err = c.do(ctx, http.MethodGet, "/images", nil, &list)
	return list, err
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://skiff"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the images are root's, run it with sudo: open %s: %w", c.path, os.ErrPermission)
	}
	if errors.Is(err, os.ErrNotExist) || isRefused(err) {
		return fmt.Errorf("no skiff with a container runtime is running for this data directory (nothing listens on %s)", c.path)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return errors.New(strings.TrimSpace(string(msg)))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
