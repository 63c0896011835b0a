package cli

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestFlagsFirst(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for _, c := range []struct{ name, in, want string }{
		{"after", "skiff images import a.tar --data-dir /d b.tar", "skiff images import --data-dir /d a.tar b.tar"},
		{"with a value of its own", "skiff images import a.tar --data-dir=/d", "skiff images import --data-dir=/d a.tar"},
		{"one dash", "skiff images import a.tar -data-dir /d", "skiff images import -data-dir /d a.tar"},
		{"switch", "skiff uninstall x --yes y", "skiff uninstall --yes x y"},
		{"help", "skiff images import a.tar --help", "skiff images import --help a.tar"},
		{"standard input", "skiff images import - --data-dir /d", "skiff images import --data-dir /d -"},
		{"end of flags", "skiff images import a.tar -- --data-dir /d", "skiff images import a.tar -- --data-dir /d"},
		{"value missing", "skiff images import a.tar --data-dir", "skiff images import --data-dir"},
		{"unknown flag", "skiff images import a.tar --dir /d", "skiff images import --dir /d"},
		{"kubectl's own", "skiff kubectl get pods --data-dir /d", "skiff kubectl get pods --data-dir /d"},
		{"unknown command", "skiff image --data-dir /d", "skiff image --data-dir /d"},
		{"nothing", "skiff", "skiff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := flagsFirst(app, strings.Fields(c.in))
			if want := strings.Fields(c.want); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
