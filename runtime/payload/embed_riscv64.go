package payload

import "embed"

//go:embed files/riscv64
var embedded embed.FS

const filesDir = "files/riscv64"
