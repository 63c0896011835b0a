// Package images brings images onto a node without a registry: it imports the
// archives of a directory, at start and whenever one appears there, and lets
// the command line import and list images through a socket.
//
//	w := &images.Watcher{Dir: dataDir + "/images", Record: ..., Importer: daemon, Logger: log}
//	go w.Run(ctx)
//
//	srv, err := images.Listen(socket, service)   // in the server
//	names, err := images.Dial(socket).Import(ctx, file)   // skiff images import
package images
