package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"skiff/agent/node"
	"skiff/runtime/containerd/images"
)

func imagesCommand() *cli.Command {
	return &cli.Command{
		Name:      "images",
		Usage:     "import and list the images of this box",
		UsageText: "skiff images import FILE...\nskiff images list",
		Subcommands: []*cli.Command{
			{
				Name: "import", Usage: "import archives (docker save, OCI; .tar, .tar.gz, .tar.zst)",
				UsageText: "skiff images import FILE...   (- reads standard input)",
				Flags:     []cli.Flag{configFlag(), dataDirFlag()}, Action: importImages,
			},
			{
				Name: "list", Usage: "list the images that containers can run from",
				UsageText: "skiff images list", Flags: []cli.Flag{configFlag(), dataDirFlag()}, Action: listImages,
			},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q%s; `skiff images --help` lists them", "images "+c.Args().First(), didYouMean(c.Args().First(), []string{"import", "list"}))
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func importImages(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("images import: name at least one archive")
	}
	dir, err := dataDir(c)
	if err != nil {
		return err
	}
	client := images.Dial(node.ImagesSocket(dir))
	var errs []error
	for _, path := range c.Args().Slice() {
		names, err := importArchive(c, client, path)
		if err != nil {
			errs = append(errs, fmt.Errorf("images import: %s: %w", path, err))
			continue
		}
		for _, name := range names {
			fmt.Fprintln(c.App.Writer, name)
		}
	}
	return errors.Join(errs...)
}

func importArchive(c *cli.Context, client *images.Client, path string) ([]string, error) {
	var r io.Reader = os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	return client.Import(c.Context, r)
}

func listImages(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	dir, err := dataDir(c)
	if err != nil {
		return err
	}
	list, err := images.Dial(node.ImagesSocket(dir)).List(c.Context)
	if err != nil {
		return fmt.Errorf("images list: %w", err)
	}
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tSIZE\tPINNED")
	for _, image := range list {
		for _, name := range image.Names {
			fmt.Fprintf(table, "%s\t%.1f MB\t%v\n", name, float64(image.Size)/1e6, image.Pinned)
		}
	}
	return table.Flush()
}
