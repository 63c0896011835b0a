package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// account is where every pod finds its service account.
const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// pods asks the API server as any program in a pod can: with the mounted token,
// by the API server's DNS name.
func pods(ctx context.Context) error {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c := &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	url := "https://kubernetes.default.svc/api/v1/namespaces/" + string(namespace) + "/pods"
	body, err := do(ctx, c, http.MethodGet, url, strings.TrimSpace(string(token)), nil)
	if err != nil {
		return err
	}
	return printPods(body)
}

func printPods(body []byte) error {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct{ Phase, PodIP string }
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read the list of pods: %w", err)
	}
	for _, p := range list.Items {
		fmt.Printf("%s %s %s\n", p.Metadata.Name, p.Status.Phase, p.Status.PodIP)
	}
	return nil
}
