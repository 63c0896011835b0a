// Package offline keeps on disk what an agent must know of its cluster, so that a
// process, or a whole box, that starts while the API server is away brings back the
// same pods with their configuration, and services and DNS as last known.
//
//	store, err := offline.Open(dir, nodeKey, log)
//	factory := store.Factory(clients, "node-1") // in place of client.Informers
//	defer store.Close()
//
// The factory's informers of this node's pods, of nodes, services, endpoint slices
// and namespaces, and of the config map of DNS, answer their first list from the disk
// if the server does not answer it, and list again as soon as it does; what is gone by
// then vanishes as with any list. A server that refuses (401, 403) has answered: nothing is brought back
// for a node that its cluster does not want. Once an informer has its objects it
// keeps them: its lists and watches wait for the server.
//
// Pods' config maps, secrets, service account tokens, claims and volumes are kept one by
// one, for as long as a pod of this node refers to them; see Store's methods.
package offline
