package datadir

import (
	"os"
	"slices"
	"strings"
)

// expected are the names that may be in a folder before the first start without
// being somebody else's: what users put there for skiff, and what a command or an
// interrupted start left.
var expected = []string{"bin", "images", "lock", "manifests", "registries", "static-pods", "token", "version"}

// foreignNames returns what is in a folder that has no marker yet, and is not
// for skiff: a mistyped --data-dir must not cost somebody's files when all that is
// skiff's is removed. A folder that an older version served from has nothing of
// that kind.
func foreignNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Name() == "store" && e.IsDir() {
			return nil, nil
		}
		if !slices.Contains(expected, e.Name()) && !strings.HasPrefix(e.Name(), "quickstart.") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
