//go:build !386 && !arm

// go-fuse does not compile for 32 bits.

package crash

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is a file system in memory that knows what survives a power cut: the
// data that was synced, any part of that which was not, and the names that were
// there when their directory was last synced.
type disk struct {
	mu   sync.Mutex
	root *dir
	// space is what may still be written, in bytes; negative for no limit.
	space int64
}

// node is a *dir or a *file.
type node interface{ cut(rnd *rand.Rand) }

type dir struct {
	live, durable map[string]node
}

type file struct {
	live, durable []byte
	// pending are the writes since the last sync.
	pending []span
}

type span struct {
	off  int64
	data []byte
}

func newDisk() *disk {
	return &disk{root: newDir(), space: -1}
}

func newDir() *dir { return &dir{live: map[string]node{}, durable: map[string]node{}} }

// cut makes the disk what it is after a power cut.
func (d *disk) cut(rnd *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.cut(rnd)
}

func (d *dir) cut(rnd *rand.Rand) {
	// A directory's changes reach the disk together or not at all, unless it
	// was synced: the kernel may have written them anyway.
	if rnd.IntN(2) == 0 {
		d.live = maps.Clone(d.durable)
	}
	d.durable = maps.Clone(d.live)
	for _, n := range d.live {
		n.cut(rnd)
	}
}

// cut keeps a random choice of the sectors of the writes that were not synced.
func (f *file) cut(rnd *rand.Rand) {
	const sector = 512
	keep := rnd.Float64()
	out := bytes.Clone(f.durable)
	for _, w := range f.pending {
		for i := 0; i < len(w.data); {
			n := min(len(w.data)-i, sector-int((w.off+int64(i))%sector))
			if rnd.Float64() < keep {
				out = writeAt(out, w.data[i:i+n], w.off+int64(i))
			}
			i += n
		}
	}
	f.durable, f.live, f.pending = out, bytes.Clone(out), nil
}

func writeAt(buf, data []byte, off int64) []byte {
	if end := off + int64(len(data)); end > int64(len(buf)) {
		buf = append(buf, make([]byte, end-int64(len(buf)))...)
	}
	copy(buf[off:], data)
	return buf
}

func resize(buf []byte, size int) []byte {
	if size <= len(buf) {
		return buf[:size:size]
	}
	return append(buf, make([]byte, size-len(buf))...)
}

// mount mounts the disk on a new directory until the returned function is called.
func (d *disk) mount(t *testing.T) (path string, unmount func()) {
	t.Helper()
	path = t.TempDir()
	long := time.Hour
	server, err := fs.Mount(path, &dirNode{disk: d, dir: d.root}, &fs.Options{
		EntryTimeout: &long, AttrTimeout: &long,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "skiff-crash", MaxWrite: 1 << 20},
	})
	if err != nil {
		t.Skipf("cannot mount a FUSE file system (needs root and /dev/fuse): %v", err)
	}
	unmount = sync.OnceFunc(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	t.Cleanup(unmount)
	return path, unmount
}

// dirNode shows a dir to the kernel.
type dirNode struct {
	fs.Inode
	disk *disk
	dir  *dir
}

var (
	_ fs.NodeOnAdder   = (*dirNode)(nil)
	_ fs.NodeCreater   = (*dirNode)(nil)
	_ fs.NodeMkdirer   = (*dirNode)(nil)
	_ fs.NodeUnlinker  = (*dirNode)(nil)
	_ fs.NodeRmdirer   = (*dirNode)(nil)
	_ fs.NodeRenamer   = (*dirNode)(nil)
	_ fs.NodeFsyncer   = (*dirNode)(nil)
	_ fs.NodeGetattrer = (*dirNode)(nil)
	_ fs.NodeSetattrer = (*dirNode)(nil)
	_ fs.NodeStatfser  = (*dirNode)(nil)
	_ fs.NodeOpener    = (*fileNode)(nil)
	_ fs.NodeReader    = (*fileNode)(nil)
	_ fs.NodeWriter    = (*fileNode)(nil)
	_ fs.NodeFsyncer   = (*fileNode)(nil)
	_ fs.NodeGetattrer = (*fileNode)(nil)
	_ fs.NodeSetattrer = (*fileNode)(nil)
	_ fs.NodeAllocater = (*fileNode)(nil)
)

// OnAdd builds the tree of inodes.
func (n *dirNode) OnAdd(ctx context.Context) {
	for name, child := range n.dir.live {
		n.AddChild(name, n.inode(ctx, child), true)
	}
}

func (n *dirNode) inode(ctx context.Context, child node) *fs.Inode {
	if d, ok := child.(*dir); ok {
		return n.NewPersistentInode(ctx, &dirNode{disk: n.disk, dir: d}, fs.StableAttr{Mode: fuse.S_IFDIR})
	}
	return n.NewPersistentInode(ctx, &fileNode{disk: n.disk, file: child.(*file)}, fs.StableAttr{Mode: fuse.S_IFREG})
}

func (n *dirNode) add(ctx context.Context, name string, child node) *fs.Inode {
	n.disk.mu.Lock()
	n.dir.live[name] = child
	n.disk.mu.Unlock()
	return n.inode(ctx, child)
}

func (n *dirNode) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	out.Mode = fuse.S_IFREG | 0o600
	return n.add(ctx, name, &file{}), nil, 0, 0
}

func (n *dirNode) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	out.Mode = fuse.S_IFDIR | 0o700
	return n.add(ctx, name, newDir()), 0
}

func (n *dirNode) Unlink(_ context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	delete(n.dir.live, name)
	return 0
}

func (n *dirNode) Rmdir(ctx context.Context, name string) syscall.Errno { return n.Unlink(ctx, name) }

func (n *dirNode) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	to.(*dirNode).dir.live[newName] = n.dir.live[name]
	delete(n.dir.live, name)
	return 0
}

func (n *dirNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.dir.durable = maps.Clone(n.dir.live)
	return 0
}

func (n *dirNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = fuse.S_IFDIR | 0o700
	return 0
}

func (n *dirNode) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, h, out)
}

func (n *dirNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Blocks, out.Bfree, out.Bavail = 4096, 1<<20, 1<<19, 1<<19
	return 0
}

// fileNode shows a file to the kernel.
type fileNode struct {
	fs.Inode
	disk *disk
	file *file
}

func (n *fileNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *fileNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if off >= int64(len(n.file.live)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, n.file.live[off:])]), 0
}

func (n *fileNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if grow := off + int64(len(data)) - int64(len(n.file.live)); grow > 0 && n.disk.space >= 0 {
		if grow > n.disk.space {
			return 0, syscall.ENOSPC
		}
		n.disk.space -= grow
	}
	data = bytes.Clone(data)
	n.file.live = writeAt(n.file.live, data, off)
	n.file.pending = append(n.file.pending, span{off, data})
	return uint32(len(data)), 0
}

func (n *fileNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	f := n.file
	for _, w := range f.pending {
		f.durable = writeAt(f.durable, w.data, w.off)
	}
	f.durable = resize(f.durable, len(f.live))
	f.pending = nil
	return 0
}

func (n *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(len(n.file.live))
	return 0
}

func (n *fileNode) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		n.disk.mu.Lock()
		n.file.live = resize(n.file.live, int(size))
		if len(n.file.pending) > 0 && size == 0 {
			n.file.pending = nil
		}
		n.disk.mu.Unlock()
	}
	return n.Getattr(ctx, h, out)
}

func (n *fileNode) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, _ uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.file.live = resize(n.file.live, max(len(n.file.live), int(off+size)))
	return 0
}

// fuseAvailable skips a test where FUSE is not.
func fuseAvailable(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a FUSE file system needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
}
