package images

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type fakeService struct{ got string }

func (f *fakeService) ImportImages(_ context.Context, r io.Reader) ([]string, error) {
	data, err := io.ReadAll(r)
	f.got = string(data)
	if f.got == "bad" {
		return nil, errors.New("archive is truncated")
	}
	return []string{"docker.io/library/a:1"}, err
}

func (*fakeService) ImageList(context.Context) ([]Image, error) {
	return []Image{{Names: []string{"docker.io/library/a:1"}, ID: "sha256:1", Size: 7, Pinned: true}}, nil
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "images.sock")
	ctx := context.Background()
	if _, err := Dial(path).List(ctx); err == nil || !strings.Contains(err.Error(), "no skiff") {
		t.Errorf("without a server: error %v", err)
	}
	f := &fakeService{}
	srv, err := Listen(path, f)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info.Mode(), err)
	}
	c := Dial(path)
	if names, err := c.Import(ctx, strings.NewReader("an archive")); err != nil || f.got != "an archive" || !reflect.DeepEqual(names, []string{"docker.io/library/a:1"}) {
		t.Errorf("Import = %v, %v after %q", names, err, f.got)
	}
	if _, err := c.Import(ctx, strings.NewReader("bad")); err == nil || err.Error() != "archive is truncated" {
		t.Errorf("Import of a broken archive: error %v", err)
	}
	list, err := c.List(ctx)
	if err != nil || len(list) != 1 || list[0].ID != "sha256:1" || list[0].Size != 7 || !list[0].Pinned {
		t.Errorf("List = %v, %v", list, err)
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.List(ctx); err == nil {
		t.Error("List after Close works")
	}
}
