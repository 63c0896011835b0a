package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (r *Runtime) addImage(name string) *runtimeapi.Image {
	name = normalize(name)
	sum := sha256.Sum256([]byte(name))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	img := &runtimeapi.Image{
		Id: digest, RepoTags: []string{name}, RepoDigests: []string{name + "@" + digest}, Size: 4 << 20,
	}
	r.images[name] = img
	return img
}

// AddImage makes an image present.
func (r *Runtime) AddImage(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addImage(name)
}

// SetImageUser sets the user that an image's config names: a uid, or a user
// name if uid is negative.
func (r *Runtime) SetImageUser(name string, uid int64, username string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	img := r.findImage(name)
	img.Username = username
	if uid >= 0 {
		img.Uid = &runtimeapi.Int64Value{Value: uid}
	}
}

func (r *Runtime) findImage(ref string) *runtimeapi.Image {
	if img := r.images[normalize(ref)]; img != nil {
		return img
	}
	for _, img := range r.images {
		if img.Id == ref || slices.Contains(img.RepoDigests, ref) {
			return img
		}
	}
	return nil
}

// ListImages implements cri.Images.
func (r *Runtime) ListImages(_ context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	resp := &runtimeapi.ListImagesResponse{}
	want := req.GetFilter().GetImage().GetImage()
	for _, img := range r.images {
		if want == "" || r.findImage(want) == img {
			resp.Images = append(resp.Images, img)
		}
	}
	return resp, nil
}

// ImageStatus implements cri.Images: an absent image has a nil Image, no error.
func (r *Runtime) ImageStatus(_ context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.begin("ImageStatus", ""); err != nil {
		return nil, err
	}
	return &runtimeapi.ImageStatusResponse{Image: r.findImage(req.GetImage().GetImage())}, nil
}

// PullImage implements cri.Images.
func (r *Runtime) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	name := normalize(req.GetImage().GetImage())
	r.mu.Lock()
	err := r.begin("PullImage", name)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if r.opts.PullDelay > 0 {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(r.opts.PullDelay):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.opts.Registry {
		if normalize(known) == name {
			return &runtimeapi.PullImageResponse{ImageRef: r.addImage(name).Id}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", name, name, name)
}

// RemoveImage implements cri.Images. It is idempotent.
func (r *Runtime) RemoveImage(_ context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if img := r.findImage(req.GetImage().GetImage()); img != nil {
		for name, other := range r.images {
			if other == img {
				delete(r.images, name)
			}
		}
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo implements cri.Images.
func (r *Runtime) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var used uint64
	for _, img := range r.images {
		used += img.Size
	}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: []*runtimeapi.FilesystemUsage{{
		Timestamp: time.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: "/"},
		UsedBytes: &runtimeapi.UInt64Value{Value: used}, InodesUsed: &runtimeapi.UInt64Value{Value: uint64(len(r.images))},
	}}}, nil
}
