// Command pack writes a container image of one static program, as `docker save`
// would, without docker or a registry.
//
//	pack -o web.tar -name skiff.example/web:v1 [-env VERSION=v1] PROGRAM
//
// The program becomes the image's entry point, /bin/NAME, and runs as user
// 65532. The same program makes the same image.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"skiff/test/image"
)

func main() {
	out := flag.String("o", "", "archive to write")
	name := flag.String("name", "", "name of the image, with its tag")
	env := flag.String("env", "", "variable to set in the image, NAME=VALUE")
	arch := flag.String("arch", runtime.GOARCH, "architecture of the program, as Go names it")
	flag.Parse()
	if *out == "" || *name == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(*out, *name, *env, *arch, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack writes the image's archive to out.
func pack(out, name, env, arch, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	entry := "/bin/" + filepath.Base(program)
	img := image.Image{
		Name: name, Arch: arch, Entrypoint: []string{entry}, User: "65532:65532",
		Files: []image.File{
			{Name: "bin/"}, {Name: entry[1:], Mode: 0o755, Data: data},
			{Name: "tmp/", Mode: 0o1777},
		},
	}
	if env != "" {
		img.Env = []string{env}
	}
	archive, err := img.Archive()
	if err != nil {
		return err
	}
	return os.WriteFile(out, archive, 0o644)
}
