package manifests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errGone: a folder that is missing is a mistake, or a disk that is not mounted,
// and no wish to have everything removed.
var errGone = errors.New("the folder is gone, so what was applied from it stays as it is; make it again, empty to have that removed")

// pass is one comparison of the folder with the cluster, and what came of it.
type pass struct {
	*reconciler
	kept     []*fileRecord
	kinds    *kinds
	problems []problem
	counts   map[string]*count
	// wait is when to look again for what is believed only then.
	wait time.Duration
}

// count is what a pass did for one file.
type count struct{ created, changed, removed int }

func (p *pass) problem(x problem) { p.problems = append(p.problems, x) }

func (p *pass) count(file string) *count {
	if p.counts[file] == nil {
		p.counts[file] = &count{}
	}
	return p.counts[file]
}

// log tells what was done, and nothing if that was nothing.
func (p *pass) log() {
	for _, file := range slices.Sorted(maps.Keys(p.counts)) {
		c := p.counts[file]
		p.Logger.Info("manifest carried out", "file", file, "created", c.created, "changed", c.changed, "removed", c.removed)
	}
}

// run does all that can be done; what cannot is among the problems.
func (p *pass) run(ctx context.Context) error {
	var err error
	if p.kept, err = p.records().load(ctx); err != nil {
		return err
	}
	files, err := readFolder(p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(p.kept, func(r *fileRecord) bool { return r.server == p.Server }) {
			return fmt.Errorf("%s: %w", p.Dir, errGone)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(files) == 0 && len(p.kept) == 0 {
		return nil
	}
	if p.kinds, err = servedKinds(p.Client.Discovery()); err != nil {
		return err
	}
	found := p.place(files)
	p.holdMissing(found)
	p.carryOut(ctx, makePlan(found, p.own(files)))
	return nil
}

// place finds what each file's documents are. Files that have a problem are held.
func (p *pass) place(files []file) folder {
	f := folder{read: map[string][]*item{}, held: map[string]bool{}, missing: map[string]bool{}}
	for i := range files {
		name := files[i].name
		if err := p.problemOf(&files[i]); err != nil {
			f.held[name] = true
			busy := errors.Is(err, errBusy)
			p.problem(problem{file: name, text: err.Error(), passing: busy, again: busy})
			continue
		}
		f.read[name] = nil
		for _, d := range files[i].documents {
			it, err := p.kinds.place(name, d)
			if err != nil {
				p.problem(problem{file: name, text: fmt.Sprintf("document %d, %s %s: %v", d.number, d.gvk.Kind, d.name, err), again: true})
				continue
			}
			f.read[name] = append(f.read[name], it)
		}
	}
	return f
}

// problemOf is why a file cannot be taken at its word. An empty file is what a
// power cut or a full disk makes of one; who wants its objects removed removes it.
func (p *pass) problemOf(f *file) error {
	if f.problem != nil || len(f.documents) > 0 {
		return f.problem
	}
	if i := p.find(f.name); i >= 0 && len(p.kept[i].objects) > 0 {
		return errors.New("is empty, so what was applied from it stays as it is; remove the file to have that removed")
	}
	return nil
}

// holdMissing finds the recorded files of this server that are gone. Those that
// are gone for so short a time that they may come back are held; the others are
// files without documents.
func (p *pass) holdMissing(f folder) {
	was, now := p.missing, p.Clock.Now()
	p.missing = map[string]time.Time{}
	for _, r := range p.kept {
		if _, there := f.read[r.file]; there || f.held[r.file] || r.server != p.Server {
			continue
		}
		since, known := was[r.file]
		if !known {
			since = now
		}
		p.missing[r.file] = since
		if left := goneAfter - now.Sub(since); left > 0 {
			f.missing[r.file] = true
			p.wait = max(p.wait, left)
			continue
		}
		f.read[r.file] = nil
	}
}

// own are the records that this folder has a say in: those of its files, and of
// files that it had.
func (p *pass) own(files []file) []*fileRecord {
	return slices.DeleteFunc(slices.Clone(p.kept), func(r *fileRecord) bool {
		return r.server != p.Server && !slices.ContainsFunc(files, func(f file) bool { return f.name == r.file })
	})
}

// carryOut records what is going to be made, so that nothing is made and
// forgotten; makes it; removes what is not wanted any more; and forgets that.
func (p *pass) carryOut(ctx context.Context, plan plan) {
	p.problems = append(p.problems, plan.problems...)
	failed := map[string]bool{}
	for file, objects := range plan.wanted {
		rec := p.recordOf(file)
		failed[file] = !p.remember(ctx, rec, union(objects, rec.objects))
	}
	for _, it := range plan.apply {
		if !failed[it.file] && ctx.Err() == nil {
			p.apply(ctx, it)
		}
	}
	left := map[string][]identity{}
	for _, rm := range plan.remove {
		if ctx.Err() != nil || !p.remove(ctx, rm) {
			left[rm.file] = append(left[rm.file], rm.identity)
		}
	}
	for file, objects := range plan.wanted {
		if !failed[file] {
			p.remember(ctx, p.recordOf(file), union(objects, left[file]))
		}
	}
}

// find returns where a file's record is among those that are kept, or -1.
func (p *pass) find(file string) int {
	return slices.IndexFunc(p.kept, func(r *fileRecord) bool { return r.file == file })
}

// about is what events about a file name as their object.
func (p *pass) about(file string) *corev1.ConfigMap {
	if i := p.find(file); i >= 0 && p.kept[i].stored != nil {
		return p.kept[i].stored
	}
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: recordName(file)}}
}

func (p *pass) recordOf(file string) *fileRecord {
	if i := p.find(file); i >= 0 {
		return p.kept[i]
	}
	rec := &fileRecord{file: file}
	p.kept = append(p.kept, rec)
	return rec
}

func (p *pass) remember(ctx context.Context, rec *fileRecord, objects []identity) bool {
	err := p.records().save(ctx, rec, objects)
	if err != nil {
		p.problem(problem{file: rec.file, text: err.Error(), again: true})
	}
	return err == nil
}

func (p *pass) apply(ctx context.Context, it *item) {
	done, err := apply(ctx, p.Dynamic, it)
	switch {
	case err != nil:
		p.problem(problem{file: it.file, text: fmt.Sprintf("%s: %s", it, explain(err)), again: true})
	case done == created:
		p.count(it.file).created++
	case done == changed:
		p.count(it.file).changed++
	}
}

// remove returns whether the object need not be remembered any more.
func (p *pass) remove(ctx context.Context, rm removal) bool {
	was, err := remove(ctx, p.Dynamic, p.kinds, rm)
	if err != nil {
		kept := errors.Is(err, errKept)
		p.problem(problem{file: rm.file, text: fmt.Sprintf("%s: %v", rm.identity, err), again: !kept})
		return kept
	}
	if was {
		p.count(rm.file).removed++
	}
	return true
}

// union is a with what only b has behind it.
func union(a, b []identity) []identity {
	all := slices.Clone(a)
	seen := make(map[identity]bool, len(a))
	for _, id := range a {
		seen[id] = true
	}
	for _, id := range b {
		if !seen[id] {
			all = append(all, id)
		}
	}
	return all
}
