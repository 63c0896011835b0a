package payload

import "embed"

//go:embed files/arm64
var embedded embed.FS

const filesDir = "files/arm64"
