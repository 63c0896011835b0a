// Command client is the examples' client: the container of their jobs, and
// what the quickstart measures with.
//
//	client fetch URL           prints the page
//	client load URL...         requests every URL over new connections until
//	                           SIGTERM; prints how many failed, 1 if any did
//	client put URL             sets a key of the key-value store to $VALUE
//	client own DIR UID         makes UID the owner of a folder
//	client pods                prints the pods of its namespace, asked from the
//	                           API server with its service account
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// timeout bounds one request.
const timeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "fetch":
		return fetch(ctx, args[1])
	case len(args) > 1 && args[0] == "load":
		return load(ctx, args[1:])
	case len(args) == 2 && args[0] == "put":
		return put(ctx, args[1])
	case len(args) == 3 && args[0] == "own":
		return own(args[1], args[2])
	case len(args) == 1 && args[0] == "pods":
		return pods(ctx)
	}
	return fmt.Errorf("usage: client fetch URL | load URL... | put URL | own DIR UID | pods")
}

func fetch(ctx context.Context, url string) error {
	body, err := do(ctx, &http.Client{Timeout: timeout}, http.MethodGet, url, "", nil)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(body)
	return err
}

func put(ctx context.Context, url string) error {
	password, err := os.ReadFile(os.Getenv("KV_PASSWORD_FILE"))
	if err != nil {
		return err
	}
	value := strings.NewReader(os.Getenv("VALUE"))
	_, err = do(ctx, &http.Client{Timeout: timeout}, http.MethodPut, url, strings.TrimSpace(string(password)), value)
	return err
}

// own gives a folder of the node, which root made, to the user of a container.
func own(dir, user string) error {
	uid, err := strconv.Atoi(user)
	if err != nil {
		return fmt.Errorf("own %s: %w", dir, err)
	}
	return os.Chown(dir, uid, uid)
}

// do returns the body of an answer with status 200; token may be empty.
func do(ctx context.Context, c *http.Client, method, url, token string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
