package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	containerdversion "github.com/containerd/containerd/v2/version"
	"github.com/urfave/cli/v2"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"

	"skiff/runtime/payload"
	"skiff/version"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the versions of this build and of what it carries",
		UsageText: "skiff version [--output json|yaml]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "json or yaml, for machines"},
		},
		Action: printVersion,
	}
}

// versions is what `skiff version` tells.
type versions struct {
	// Skiff is this release.
	Skiff string `json:"skiff"`
	// Kubernetes is what the server tells of itself.
	Kubernetes apimachineryversion.Info `json:"kubernetes"`
	// Containerd is the one that runs in the process.
	Containerd string `json:"containerd"`
	// Programs are the embedded ones; none if it was built without them.
	Programs []program `json:"programs"`
}

type program struct {
	Name string `json:"name"`
	// Version is the upstream project's, "" for Skiff's own programs.
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256"`
}

func readVersions() (versions, error) {
	v := versions{Skiff: version.Skiff, Kubernetes: version.Info(), Programs: []program{}}
	// The library knows its release, and calls it one of unknown origin.
	v.Containerd, _, _ = strings.Cut(semantic(containerdversion.Version), "+")
	if payload.Available() != nil {
		return v, nil
	}
	entries, err := payload.Entries()
	if err != nil {
		return v, fmt.Errorf("version: %w", err)
	}
	for _, e := range entries {
		p := program{Name: e.Name, SHA256: e.SHA256}
		if e.Version != "" {
			p.Version = semantic(e.Version)
		}
		v.Programs = append(v.Programs, p)
	}
	return v, nil
}

func semantic(version string) string { return "v" + strings.TrimPrefix(version, "v") }

func printVersion(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	v, err := readVersions()
	if err != nil {
		return err
	}
	switch output := c.String("output"); output {
	case "":
		return v.write(c.App.Writer)
	case "json":
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = c.App.Writer.Write(b)
		return err
	default:
		return usagef("output: %q is not a format, use json or yaml", output)
	}
}

// write writes the versions for people.
func (v versions) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, value) }
	row("skiff", v.Skiff)
	if v.Kubernetes.GitCommit != "" {
		row("commit", v.Kubernetes.GitCommit+" of "+v.Kubernetes.BuildDate)
	}
	row("kubernetes", v.Kubernetes.GitVersion)
	row("go", strings.TrimPrefix(v.Kubernetes.GoVersion, "go")+" "+v.Kubernetes.Platform)
	row("containerd", v.Containerd)
	for _, p := range v.Programs {
		if p.Version != "" {
			row(p.Name, p.Version)
		}
	}
	if len(v.Programs) == 0 {
		row("runc, kubectl", "not carried: "+payload.ErrMissing.Error())
	}
	return table.Flush()
}
