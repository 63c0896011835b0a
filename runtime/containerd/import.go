package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	imagestore "skiff/runtime/containerd/images"
)

const (
	// CRI lists only images with the first label, and never removes those with the second.
	labelManaged = "io.cri-containerd.image"
	labelPinned  = "io.cri-containerd.pinned"
)

// ImportImages reads an image archive, as docker save or an OCI layout in a
// tar, plain or compressed with gzip or zstd, unpacks its images and returns
// their names. Images without a full name are called localhost/imported.
func (d *Daemon) ImportImages(ctx context.Context, r io.Reader) ([]string, error) {
	return d.importImages(ctx, r, "localhost/imported", map[string]string{labelManaged: "managed"})
}

// ImportFile imports the archive at path. Images without a full name are
// called after the file.
func (d *Daemon) ImportFile(ctx context.Context, path string) ([]string, error) {
	return d.importFile(ctx, path, map[string]string{labelManaged: "managed"})
}

// ImportPinned is ImportFile for images that are never collected as garbage.
func (d *Daemon) ImportPinned(ctx context.Context, path string) ([]string, error) {
	return d.importFile(ctx, path, map[string]string{labelManaged: "managed", labelPinned: "pinned"})
}

func (d *Daemon) importFile(ctx context.Context, path string, labels map[string]string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := d.importImages(ctx, f, nameFromFile(path), labels)
	if err != nil {
		return nil, fmt.Errorf("import images from %s: %w", path, err)
	}
	return names, nil
}

// Present says whether all images of these names are here.
func (d *Daemon) Present(ctx context.Context, names []string) bool {
	ctx = namespaces.WithNamespace(ctx, namespace)
	for _, name := range names {
		if _, err := d.bridge.client.ImageService().Get(ctx, name); err != nil {
			return false
		}
	}
	return true
}

// ImageList returns the node's images, as `skiff images list` shows them.
func (d *Daemon) ImageList(ctx context.Context) ([]imagestore.Image, error) {
	if err := d.pause.wait(ctx); err != nil {
		return nil, err
	}
	resp, err := d.Images().ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, err
	}
	list := make([]imagestore.Image, 0, len(resp.Images))
	for _, i := range resp.Images {
		names := i.RepoTags
		if len(names) == 0 {
			names = i.RepoDigests
		}
		list = append(list, imagestore.Image{Names: names, ID: i.Id, Size: i.Size, Pinned: i.Pinned})
	}
	slices.SortFunc(list, func(a, b imagestore.Image) int { return slices.Compare(a.Names, b.Names) })
	return list, nil
}

func (d *Daemon) importImages(ctx context.Context, r io.Reader, base string, labels map[string]string) ([]string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	tar, err := compression.DecompressStream(r)
	if err != nil {
		return nil, truncated(err)
	}
	defer tar.Close()

	// One lease over reading and unpacking, or the garbage collector could come between.
	ctx, done, err := d.bridge.client.WithLease(ctx)
	if err != nil {
		return nil, err
	}
	defer done(context.WithoutCancel(ctx))

	found, err := d.bridge.client.Import(ctx, tar,
		client.WithImageLabels(labels),
		client.WithImageRefTranslator(qualify(base)),
		client.WithDigestRef(archive.DigestTranslator(base)),
		client.WithSkipDigestRef(func(name string) bool { return name != "" }),
		client.WithImportPlatform(platforms.Default()),
		client.WithSkipMissing(),
	)
	if err != nil {
		return nil, truncated(err)
	}
	if len(found) == 0 {
		return nil, errors.New("archive holds no image for " + platforms.DefaultString())
	}
	names := make([]string, 0, len(found))
	for _, img := range found {
		name, err := d.adopt(ctx, img)
		if err != nil {
			return names, fmt.Errorf("image %s: %w", img.Name, truncated(err))
		}
		names = append(names, name)
	}
	return names, nil
}

// adopt gives an imported image the name under which CRI would look for it,
// unpacks it, and shows it to CRI.
func (d *Daemon) adopt(ctx context.Context, img images.Image) (string, error) {
	store := d.bridge.client.ImageService()
	named, err := reference.ParseDockerRef(img.Name)
	if err != nil {
		return "", errors.Join(err, store.Delete(ctx, img.Name))
	}
	if name := named.String(); name != img.Name {
		old := img.Name
		img.Name = name
		if _, err := store.Create(ctx, img); err != nil {
			if img, err = store.Update(ctx, img, "target", "labels"); err != nil {
				return "", err
			}
		}
		if err := store.Delete(ctx, old); err != nil {
			return "", err
		}
	}
	if err := client.NewImage(d.bridge.client, img).Unpack(ctx, d.snapshotter); err != nil {
		return "", errors.Join(fmt.Errorf("unpack: %w", err), store.Delete(ctx, img.Name))
	}
	return img.Name, d.bridge.images.UpdateImage(ctx, img.Name)
}

// qualify completes names that are only a tag, as OCI layouts carry them.
func qualify(base string) func(string) string {
	add := archive.AddRefPrefix(base)
	return func(ref string) string { return add(ref) }
}

func nameFromFile(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, ext := range []string{".gz", ".tgz", ".zst", ".tar"} {
		name = strings.TrimSuffix(name, ext)
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, name)
	if name = strings.Trim(name, "-."); name == "" {
		name = "imported"
	}
	return "localhost/" + name
}

// truncated explains the errors in which an archive that ends too early shows.
func truncated(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("archive is truncated: %w", err)
	}
	return err
}
