// Package docs executes what the documentation says: its tests read README.md,
// the pages below docs and the notes beside packages, and hold every example in
// them against the code.
//
//   - Manifests (a yaml block with a kind, docs/examples) are created in the real
//     API server, strictly: an unknown field is an error.
//   - Other yaml blocks are configuration files of skiff, which `skiff check` reads.
//     A block of somebody else's says whose it is: "```yaml prometheus".
//   - Commands (indented blocks, "```sh", "```console") exist with their flags.
//     `skiff server` is run as `skiff check`, which takes the same flags; kubectl is
//     run on a cluster that has docs/examples, unless it would wait for containers.
//   - What stands in the text as code exists: flags, variables, files, targets.
//   - Links lead somewhere, and docs/README.md leads to every page.
//
// A word in capitals in a command (FILE, HOST) is to be filled in by the reader:
// such a command is parsed and not run.
package docs
