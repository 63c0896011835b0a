// Package openapi has the OpenAPI documents of the built-in resources: one of
// version 2 for the whole API, and one of version 3 for each group version.
//
//	docs, err := openapi.New()
//	server, err := api.New(api.Config{OpenAPI: docs, ...})
//
// The documents are made by generate.sh from the types' sources and the table of
// package builtin, compressed, and embedded. They are decompressed for each
// response that needs them and not kept: clients ask rarely, since they keep the
// documents by their hash.
//
// Regenerate them, with network for two modules that nothing else needs, after a
// change of the k8s.io versions in go.mod or of the table:
//
//	go generate ./server/openapi
package openapi

//go:generate sh generate/generate.sh
