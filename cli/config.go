package cli

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"sigs.k8s.io/yaml"
)

// loadConfig sets the flags that neither the command line nor the environment
// set from the configuration file, and refuses keys and variables that no
// command knows.
func loadConfig(c *cli.Context) error {
	known := configKeys()
	if err := checkEnvironment(os.Environ(), known); err != nil {
		return err
	}
	path := c.String(flagConfig)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !c.IsSet(flagConfig) {
		return nil
	}
	if err != nil {
		return usagef("config: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(b, &values); err != nil {
		// The library breaks its lists of mistakes into lines.
		return usagef("%s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	return applyConfig(c, path, values, known)
}

func applyConfig(c *cli.Context, path string, values map[string]any, known []string) error {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			return usagef("%s: there is no key %q%s", path, key, didYouMean(key, known))
		}
		if c.IsSet(key) || !slices.Contains(flagNames(c.Command.Flags), key) {
			continue
		}
		texts, err := configTexts(values[key])
		if err != nil {
			return usagef("%s: %s: %w", path, key, err)
		}
		for _, text := range texts {
			if err := c.Set(key, text); err != nil {
				return usagef("%s: %s: invalid value %q: %w", path, key, text, err)
			}
		}
	}
	return nil
}

// configTexts returns a YAML value as the texts that a user would give to the
// flag, one for each time.
func configTexts(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, nil
	case []any:
		var texts []string
		for _, e := range v {
			t, err := configTexts(e)
			if err != nil {
				return nil, err
			}
			texts = append(texts, t...)
		}
		return texts, nil
	default:
		return nil, errors.New("must be a text, a number, true, false, or a list of these")
	}
}

// dataDir is the data folder that the flags or the configuration file name. It is
// absolute, as the server takes it: the names of what runs from it depend on it.
func dataDir(c *cli.Context) (string, error) {
	if err := loadConfig(c); err != nil {
		return "", err
	}
	if c.String(flagDataDir) == "" {
		return "", usagef("data-dir: must not be empty")
	}
	return filepath.Abs(c.String(flagDataDir))
}

// configKeys are the flags of all long-running commands: one file may serve
// both.
func configKeys() []string {
	keys := slices.Concat(flagNames(serverFlags()), flagNames(agentFlags()))
	slices.Sort(keys)
	keys = slices.Compact(keys)
	return slices.DeleteFunc(keys, func(k string) bool { return k == flagConfig })
}

func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	return names
}

// checkEnvironment refuses a SKIFF_ variable that stands for no flag. Variables
// that the cluster itself gives to pods for a service named skiff are let be.
func checkEnvironment(environ, known []string) error {
	variables := env(flagConfig)
	for _, k := range known {
		variables = append(variables, env(k)...)
	}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "SKIFF_") || slices.Contains(variables, name) || isServiceVariable(name) {
			continue
		}
		return usagef("there is no variable %s%s", name, didYouMean(name, variables))
	}
	return nil
}

func isServiceVariable(name string) bool {
	return strings.HasPrefix(name, "SKIFF_SERVICE_") || strings.HasPrefix(name, "SKIFF_PORT")
}
