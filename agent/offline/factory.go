package offline

import (
	"context"
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"skiff/server/client"
)

var getOptions = metav1.GetOptions{}

// Factory returns the informers of a node: of its own pods only, of all nodes,
// services, endpoint slices and namespaces, and of one config map, by which users
// configure DNS. They are kept on disk, and begin with what is there if the server
// does not answer. Informers of other kinds work as usual. It is called once.
func (s *Store) Factory(c kubernetes.Interface, nodeName string) informers.SharedInformerFactory {
	s.client, s.node = c, nodeName
	if err := s.adopt(nodeName); err != nil {
		s.log.Warn("cannot use what this node knows of the cluster", "file", s.file.path, "err", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithTransform(slim(nodeName)))
	for _, k := range kinds {
		factory.InformerFor(k.object(), func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
			return s.informer(k, newListWatch(s, k, k.source(c, nodeName), c), resync)
		})
	}
	return factory
}

// slim is a transform that drops what nothing on a node reads: managed fields, and
// which images other nodes have.
func slim(self string) cache.TransformFunc {
	return func(obj any) (any, error) {
		if n, ok := obj.(*corev1.Node); ok && n.Name != self {
			n.Status.Images, n.Status.VolumesInUse, n.Status.VolumesAttached = nil, nil, nil
		}
		return client.DropManagedFields(obj)
	}
}

// informer makes an informer that begins with the disk and is followed to it.
func (s *Store) informer(k *kind, lw *listWatch, resync time.Duration) cache.SharedIndexInformer {
	informer := cache.NewSharedIndexInformerWithOptions(lw, k.object(), cache.SharedIndexInformerOptions{
		ResyncPeriod: resync, Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	})
	lw.synced = informer.HasSynced
	f := &followed{store: s, kind: k, indexer: informer.GetIndexer()}
	// Both fail only once an informer has run.
	if err := informer.SetWatchErrorHandlerWithContext(s.watchError(k)); err != nil {
		s.log.Error("cannot follow", "resource", string(k.bucket), "err", err)
	}
	reg, err := informer.AddEventHandler(f)
	if err != nil {
		s.log.Error("cannot keep on disk", "resource", string(k.bucket), "err", err)
		return informer
	}
	s.mu.Lock()
	s.followed[k] = f
	s.mu.Unlock()
	s.wg.Go(func() {
		select {
		case <-reg.HasSyncedChecker().Done():
			f.sweep()
		case <-s.ctx.Done():
		}
	})
	return informer
}

// watchError says, now and then, that the server refuses. That it does not answer is
// said by the link, and that a watch has ended is no news.
func (s *Store) watchError(k *kind) cache.WatchErrorHandlerWithContext {
	return func(_ context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || !answered(err) {
			return
		}
		if s.refused.Due(sayEvery) {
			s.log.Warn("the API server refuses what this node must read", "resource", string(k.bucket), "err", err)
		}
	}
}

// followed brings an informer's events to the disk.
type followed struct {
	store   *Store
	kind    *kind
	indexer cache.Indexer
}

// OnAdd implements cache.ResourceEventHandler.
func (f *followed) OnAdd(obj any, _ bool) { f.put(obj, f.kind.urgent != nil) }

// OnUpdate implements cache.ResourceEventHandler.
func (f *followed) OnUpdate(before, obj any) {
	old, ok := before.(object)
	now, both := obj.(object)
	f.put(obj, f.kind.urgent != nil && ok && both && f.kind.urgent(old, now))
}

// OnDelete implements cache.ResourceEventHandler.
func (f *followed) OnDelete(obj any) {
	f.put(obj, f.kind.urgent != nil)
	f.prune()
}

// prune drops what was kept for pods that are gone.
func (f *followed) prune() {
	if f.kind.bucket == bucketPod {
		f.store.prune(f.indexer)
	}
}

func (f *followed) put(obj any, urgent bool) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return // not an object of the API
	}
	wait := lazily
	if urgent {
		wait = soon
	}
	f.putKey(key, wait)
}

func (f *followed) putKey(key string, wait time.Duration) {
	f.store.put(slot{f.kind.bucket, key}, wait, func() ([]byte, error) { return f.encode(key) })
}

// encode takes the object as the informer has it by then.
func (f *followed) encode(key string) ([]byte, error) {
	obj, ok, err := f.indexer.GetByKey(key)
	if err != nil || !ok {
		return nil, err
	}
	o := obj.(object)
	if f.kind.trim != nil {
		o = f.kind.trim(o)
	}
	return o.Marshal()
}

// sweep has what is on the disk, but gone by now, removed once the informer has its
// objects, and all of them known to be complete.
func (f *followed) sweep() {
	keys, err := f.store.file.keys(f.kind.bucket)
	if err != nil {
		f.store.log.Warn("cannot read what this node knows", "resource", string(f.kind.bucket), "err", err)
	}
	for _, key := range keys {
		if _, ok, err := f.indexer.GetByKey(key); err == nil && !ok {
			f.putKey(key, lazily)
		}
	}
	f.prune()
	f.done()
}

// done has it noted that all objects are there.
func (f *followed) done() {
	wait := lazily
	if f.kind.urgent != nil {
		wait = soon
	}
	f.store.put(completeSlot(f.kind), wait, func() ([]byte, error) { return []byte("yes"), nil })
}

// putAll has all objects written.
func (f *followed) putAll() {
	for _, key := range f.indexer.ListKeys() {
		f.putKey(key, soon)
	}
	f.done()
}
