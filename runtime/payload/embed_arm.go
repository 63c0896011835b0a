package payload

import "embed"

//go:embed files/arm
var embedded embed.FS

const filesDir = "files/arm"
