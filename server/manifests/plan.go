package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// identity is what makes two documents the same object, whatever version of its
// kind they are written in.
type identity struct {
	schema.GroupKind
	namespace, name string
}

// String is how records write an identity: "Deployment.apps default/web",
// "Namespace shop".
func (i identity) String() string {
	if i.namespace == "" {
		return i.GroupKind.String() + " " + i.name
	}
	return i.GroupKind.String() + " " + i.namespace + "/" + i.name
}

func parseIdentity(s string) (identity, bool) {
	kind, name, ok := strings.Cut(s, " ")
	if !ok || kind == "" {
		return identity{}, false
	}
	i := identity{GroupKind: schema.ParseGroupKind(kind), name: name}
	if ns, n, ok := strings.Cut(name, "/"); ok {
		i.namespace, i.name = ns, n
	}
	return i, i.name != ""
}

// first are the kinds that others live in or are made of: they are applied before
// all others and removed after them.
var first = []schema.GroupKind{
	{Kind: "Namespace"},
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
}

// item is a document whose place in the cluster is known.
type item struct {
	document
	identity
	resource schema.GroupVersionResource
	file     string
}

// String names a document in a message about its file.
func (i *item) String() string {
	name := i.identity.name
	if i.identity.namespace != "" {
		name = i.identity.namespace + "/" + name
	}
	return fmt.Sprintf("document %d, %s %s", i.number, i.Kind, name)
}

// removal is an object that a file made and no file has any more.
type removal struct {
	identity
	file string
}

// plan is what is to be done.
type plan struct {
	apply  []*item
	remove []removal
	// wanted are the objects that are each readable file's.
	wanted map[string][]identity
	// problems are documents that are another file's.
	problems []problem
}

// folder is what is known of the files.
type folder struct {
	// read are the documents of the files whose content is known.
	read map[string][]*item
	// held are the files whose content is not known: theirs is what was recorded.
	held map[string]bool
	// missing are files that are gone, perhaps only for a moment. What was recorded
	// of them is theirs unless another file has it: so a file can be renamed.
	missing map[string]bool
}

// makePlan compares what the files have with what was recorded of them. An object
// in two files is the first one's, by name, so that no order of events makes a
// difference.
func makePlan(f folder, records []*fileRecord) plan {
	p := plan{wanted: map[string][]identity{}}
	owner := map[identity]string{}
	keep := func(file string) {
		for _, r := range records {
			for _, id := range r.objects {
				if _, taken := owner[id]; r.file == file && !taken {
					owner[id] = file
				}
			}
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(f.held)), maps.Keys(f.read))
	slices.Sort(names)
	for _, name := range names {
		if f.held[name] {
			keep(name)
			continue
		}
		p.wanted[name] = nil
		for _, it := range f.read[name] {
			if other, taken := owner[it.identity]; taken {
				p.problems = append(p.problems, twice(it, other))
				continue
			}
			owner[it.identity] = name
			p.wanted[name] = append(p.wanted[name], it.identity)
			p.apply = append(p.apply, it)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.missing)) {
		keep(name)
	}
	slices.SortStableFunc(p.apply, func(a, b *item) int { return rank(a.identity) - rank(b.identity) })
	p.remove = removals(records, owner)
	return p
}

func twice(it *item, other string) problem {
	if other == it.file {
		return problem{file: it.file, text: fmt.Sprintf("%s: is in this file twice; the first one counts", it)}
	}
	return problem{file: it.file, text: fmt.Sprintf("%s: is in %s too, which is the first by name and so the one that counts", it, other)}
}

// removals are the recorded objects that no file has, the last applied first.
func removals(records []*fileRecord, owner map[identity]string) (list []removal) {
	for _, r := range slices.Backward(records) {
		for _, id := range slices.Backward(r.objects) {
			if _, wanted := owner[id]; !wanted {
				list = append(list, removal{id, r.file})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b removal) int { return rank(b.identity) - rank(a.identity) })
	return list
}

func rank(id identity) int {
	if i := slices.Index(first, id.GroupKind); i >= 0 {
		return i
	}
	return len(first)
}
