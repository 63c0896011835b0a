package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/store"
)

// freshWait is how long a read waits for a resourceVersion that has not come
// yet.
const freshWait = 3 * time.Second

// listPage is how many keys are read at once where a selector leaves out some.
const listPage = 500

// ListOptions say what to list. The zero value lists all at the latest state.
type ListOptions struct {
	Namespace string
	Selector  Selector
	// ResourceVersion and Match are as in metav1.ListOptions.
	ResourceVersion string
	Match           metav1.ResourceVersionMatch
	Limit           int64
	Continue        string
}

// List is a list of objects in their stored form.
type List struct {
	Items    []store.Item
	Revision int64
	// Continue is the token of the next chunk, "" if there is none.
	Continue string
	// Remaining is the number of objects behind this chunk, nil if unknown.
	Remaining *int64
}

// Get implements Objects.
func (s *Store) Get(ctx context.Context, namespace, name string) (Object, error) {
	item, err := s.Read(ctx, namespace, name, "")
	if err != nil {
		return nil, err
	}
	obj, err := s.Decode(item.Key, item.Value, item.Revision)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return obj, nil
}

// Read returns an object in its stored form. resourceVersion is as in
// metav1.GetOptions.
func (s *Store) Read(ctx context.Context, namespace, name, resourceVersion string) (store.Item, error) {
	version, err := parseVersion(resourceVersion)
	if err != nil {
		return store.Item{}, err
	}
	opts := store.ReadOptions{Stale: resourceVersion != "", MinRevision: version}
	var item store.Item
	err = s.fresh(ctx, version, func(ctx context.Context) error {
		item, _, err = s.reg.backend.Get(ctx, s.key(namespace, name), opts)
		return err
	})
	return item, s.apiError(err, name)
}

func parseVersion(v string) (int64, error) {
	if v == "" || v == "0" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", v, errors.Unwrap(err)))
	}
	return int64(n), nil
}

// fresh bounds a read that waits for a revision.
func (s *Store) fresh(ctx context.Context, version int64, read func(context.Context) error) error {
	if version <= s.reg.backend.Revision() {
		return read(ctx)
	}
	wait, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	err := read(wait)
	if err != nil && ctx.Err() == nil && (wait.Err() != nil || errors.Is(err, store.ErrFutureRevision)) {
		return tooLargeResourceVersion(version, s.reg.backend.Revision())
	}
	return err
}

// List returns the objects that opts select, in the order of their keys.
func (s *Store) List(ctx context.Context, opts ListOptions) (List, error) {
	read, from, err := s.readOptions(opts)
	if err != nil {
		return List{}, err
	}
	sel := opts.Selector.narrow(s, &opts.Namespace)
	if sel.name != "" && (opts.Namespace != "" || !s.res.Namespaced) {
		return s.listOne(ctx, opts, sel, read)
	}
	prefix := s.prefix
	if opts.Namespace != "" && s.res.Namespaced {
		prefix += opts.Namespace + "/"
	}
	if from != "" {
		from = prefix + from
	}
	var list List
	err = s.fresh(ctx, max(read.MinRevision, read.Revision), func(ctx context.Context) error {
		list, err = s.collect(ctx, prefix, from, opts, sel, read)
		return err
	})
	if errors.Is(err, store.ErrCompacted) {
		return List{}, compacted(opts, from, prefix)
	}
	return list, s.apiError(err, "")
}

// readOptions turns resourceVersion, match and the continue token into the state
// to read, and the key behind the prefix to begin at.
func (s *Store) readOptions(opts ListOptions) (read store.ReadOptions, from string, err error) {
	version, err := parseVersion(opts.ResourceVersion)
	if err != nil {
		return read, "", err
	}
	if opts.Continue != "" {
		if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
			return read, "", apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
		from, revision, err := decodeContinue(opts.Continue)
		if err != nil {
			return read, "", apierrors.NewBadRequest(fmt.Sprintf("invalid continue token: %v", err))
		}
		if revision > 0 {
			read.Revision = revision
		}
		return read, from, nil
	}
	switch {
	case opts.ResourceVersion == "":
	case opts.Match == metav1.ResourceVersionMatchExact, version > 0 && opts.Match == "" && opts.Limit > 0:
		read.Revision = version
	default:
		read.MinRevision, read.Stale = version, true
	}
	return read, "", nil
}

func compacted(opts ListOptions, from, prefix string) error {
	if opts.Continue == "" {
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	err := apierrors.NewResourceExpired("The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list.")
	err.ErrStatus.ListMeta.Continue = encodeContinue(from[len(prefix):], -1)
	return err
}

// listOne lists the only object that can match.
func (s *Store) listOne(ctx context.Context, opts ListOptions, sel match, read store.ReadOptions) (List, error) {
	var list List
	err := s.fresh(ctx, max(read.MinRevision, read.Revision), func(ctx context.Context) error {
		item, revision, err := s.reg.backend.Get(ctx, s.key(opts.Namespace, sel.name), read)
		if err != nil && !isNotFound(err) {
			return err
		}
		list.Revision = revision
		if err == nil {
			list.Items = []store.Item{item}
		}
		return nil
	})
	if errors.Is(err, store.ErrCompacted) {
		return List{}, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	if err == nil {
		list.Items, err = s.filter(list.Items, sel)
	}
	return list, s.apiError(err, "")
}

// collect reads pages until the limit is reached.
func (s *Store) collect(ctx context.Context, prefix, from string, opts ListOptions, sel match, read store.ReadOptions) (List, error) {
	var out List
	limit := int(opts.Limit)
	for {
		page := limit - len(out.Items)
		if limit > 0 && !sel.everything() {
			page = max(page, listPage)
		}
		if limit == 0 {
			page = 0
		}
		res, err := s.reg.backend.List(ctx, prefix, store.ListOptions{ReadOptions: read, From: from, Limit: page})
		if err != nil {
			return List{}, err
		}
		out.Revision = res.Revision
		read = store.ReadOptions{Revision: res.Revision}
		if sel.everything() {
			out.Items = append(out.Items, res.Items...)
			if res.More {
				out.Continue = continueAfter(prefix, out.Items, out.Revision)
				out.Remaining = &res.Remaining
			}
			return out, nil
		}
		kept, used, err := s.filterUpTo(res.Items, sel, limit-len(out.Items), limit > 0)
		if err != nil {
			return List{}, err
		}
		out.Items = append(out.Items, kept...)
		full := limit > 0 && len(out.Items) >= limit
		if full && (used < len(res.Items) || res.More) {
			out.Continue = continueAfter(prefix, res.Items[:used], out.Revision)
		}
		if full || !res.More {
			return out, nil
		}
		from = res.Items[len(res.Items)-1].Key + "\x00"
	}
}

func continueAfter(prefix string, items []store.Item, revision int64) string {
	return encodeContinue(items[len(items)-1].Key[len(prefix):]+"\x00", revision)
}

// filterUpTo keeps the matching items up to a limit, and tells how many items it
// looked at.
func (s *Store) filterUpTo(items []store.Item, sel match, limit int, limited bool) (kept []store.Item, used int, err error) {
	for i := range items {
		ok, err := s.matches(sel, items[i].Key, items[i].Value, items[i].Revision, nil)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		kept = append(kept, items[i])
		if limited && len(kept) == limit {
			return kept, i + 1, nil
		}
	}
	return kept, len(items), nil
}

func (s *Store) filter(items []store.Item, sel match) ([]store.Item, error) {
	kept, _, err := s.filterUpTo(items, sel, 0, false)
	return kept, err
}
