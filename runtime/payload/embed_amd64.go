package payload

import "embed"

//go:embed files/amd64
var embedded embed.FS

const filesDir = "files/amd64"
