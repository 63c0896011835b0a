//go:build !amd64 && !arm64 && !arm && !riscv64

package payload

import "embed"

// No executables are built for this architecture.
var embedded embed.FS

const filesDir = "files"
