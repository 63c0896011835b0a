// Package client connects the parts of the process to the API server: through a
// RoundTripper that calls the server's handler in memory, or over TLS, so that
// the code above does not know which.
//
//	cfg := client.InProcess(server, &user.DefaultInfo{Name: "system:kube-scheduler"})
//	clients := kubernetes.NewForConfigOrDie(cfg)
//	informers := client.Informers(clients)
package client
