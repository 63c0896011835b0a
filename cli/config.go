package cli

import (
	"errors"
	"fmt"
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
// command knows. It returns all mistakes, one line each, and goes on after them.
func loadConfig(c *cli.Context) error {
	known := configKeys()
	mistakes := checkEnvironment(os.Environ(), known)
	path := c.String(flagConfig)
	values, err := readConfig(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !c.IsSet(flagConfig):
	case err != nil:
		mistakes = append(mistakes, err)
	default:
		mistakes = append(mistakes, applyConfig(c, path, values, known)...)
	}
	if len(mistakes) == 0 {
		return nil
	}
	return usageError{errors.Join(mistakes...)}
}

func readConfig(path string) (map[string]any, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(b, &values); err != nil {
		// The library breaks its lists of mistakes into lines.
		return nil, fmt.Errorf("%s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	return values, nil
}

func applyConfig(c *cli.Context, path string, values map[string]any, known []string) (mistakes []error) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			mistakes = append(mistakes, fmt.Errorf("%s: there is no key %q%s", path, key, didYouMean(key, known)))
			continue
		}
		if c.IsSet(key) || !slices.Contains(flagNames(c.Command.Flags), key) {
			continue
		}
		texts, err := configTexts(values[key])
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %s: %w", path, key, err))
			continue
		}
		for _, text := range texts {
			if err := c.Set(key, text); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %s: invalid value %q: %w", path, key, text, err))
			}
		}
	}
	return mistakes
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
func checkEnvironment(environ, known []string) (mistakes []error) {
	flags := append([]string{flagConfig}, known...)
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || isServiceVariable(name) {
			continue
		}
		if flag := envFlag(name); !slices.Contains(flags, flag) {
			mistakes = append(mistakes, fmt.Errorf("there is no variable %s%s", name, didYouMeanVariable(flag, flags)))
		}
	}
	return mistakes
}

func isServiceVariable(name string) bool {
	return strings.HasPrefix(name, "SKIFF_SERVICE_") || strings.HasPrefix(name, "SKIFF_PORT")
}
