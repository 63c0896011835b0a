package controllertest

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

func (s *session) table(plural string, paths []string) string {
	return Table(s.api.Dump(plural), paths)
}

// Table prints one line per object: the values at the JSON paths, separated by
// " | ". In a path, "name" and the like stand for themselves below metadata if
// they start with no dot.
func Table(objects []*unstructured.Unstructured, paths []string) string {
	var lines []string
	for _, o := range objects {
		var cells []string
		for _, p := range paths {
			if !strings.HasPrefix(p, ".") {
				p = ".metadata." + p
			}
			cells = append(cells, cell(o, p))
		}
		line := strings.Join(cells, " | ")
		lines = append(lines, strings.TrimRight(line, " ")+"\n")
	}
	slices.Sort(lines) // generated names come in no order
	return strings.Join(lines, "")
}

func cell(o *object, path string) string {
	j := jsonpath.New("cell").AllowMissingKeys(true)
	if err := j.Parse("{" + path + "}"); err != nil {
		return err.Error()
	}
	res, err := j.FindResults(o.Object)
	if err != nil {
		return err.Error()
	}
	var vals []string
	for _, set := range res {
		for _, v := range set {
			vals = append(vals, fmt.Sprint(v.Interface()))
		}
	}
	if strings.HasPrefix(path, ".endpoints[") {
		slices.Sort(vals) // the endpoints of a slice come in no order
	}
	return strings.Join(vals, ",")
}
