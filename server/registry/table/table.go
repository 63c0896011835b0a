// Package table makes the columns and cells of the Tables that kubectl prints.
//
// A resource lists its columns with the constructors below and returns its cells
// in the same order:
//
//	Columns: []metav1.TableColumnDefinition{table.Name(), table.Integer("Ready", "..."), table.Age()},
//	Cells:   registry.Cells(func(o *appsv1.ReplicaSet) []any { return []any{o.Name, ready, table.Since(o.CreationTimestamp)} }),
package table

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Column is a table's column definition.
type Column = metav1.TableColumnDefinition

// documented are the API types, which know their fields' documentation.
type documented interface {
	SwaggerDoc() map[string]string
}

// Doc returns the documentation of an API type's field by its JSON name: that is
// what a column which shows the field is described by.
func Doc(o documented, field string) string { return o.SwaggerDoc()[field] }

// Name is the column of the object's name.
func Name() Column {
	return Column{Name: "Name", Type: "string", Format: "name", Description: Doc(metav1.ObjectMeta{}, "name")}
}

// Age is the column of the time since the object was created.
func Age() Column {
	return String("Age", Doc(metav1.ObjectMeta{}, "creationTimestamp"))
}

// String is a column of strings.
func String(name, description string) Column {
	return Column{Name: name, Type: "string", Description: description}
}

// Integer is a column of integers; its cells are int64.
func Integer(name, description string) Column {
	return Column{Name: name, Type: "integer", Description: description}
}

// Boolean is a column of booleans.
func Boolean(name, description string) Column {
	return Column{Name: name, Type: "boolean", Description: description}
}

// Wide is a column of strings that is printed only with "-o wide".
func Wide(name, description string) Column {
	return Column{Name: name, Type: "string", Priority: 1, Description: description}
}

// ContainersWide are the wide columns of a pod template's containers and images,
// the cells of which Containers returns.
func ContainersWide() []Column {
	return []Column{
		Wide("Containers", "Names of each container in the template."),
		Wide("Images", "Images referenced by each container in the template."),
	}
}

// Containers returns the names and the images of containers, comma-separated.
func Containers(containers []corev1.Container) (names, images string) {
	n, i := make([]string, len(containers)), make([]string, len(containers))
	for k := range containers {
		n[k], i[k] = containers[k].Name, containers[k].Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// Since returns how long ago t was, as people read it ("5m", "3d4h").
func Since(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// Until returns how far in the future t is, as people read it.
func Until(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Until(t.Time))
}

// Or returns *s, or otherwise if s is nil.
func Or[T any](s *T, otherwise T) T {
	if s == nil {
		return otherwise
	}
	return *s
}

// Bool prints an optional boolean.
func Bool(b *bool) string {
	switch {
	case b == nil:
		return "<unset>"
	case *b:
		return "True"
	default:
		return "False"
	}
}

// First joins the first limit of list and says how many more there are.
func First(list []string, limit int) string {
	switch {
	case len(list) == 0:
		return "<unset>"
	case len(list) > limit:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:limit], ","), len(list)-limit)
	default:
		return strings.Join(list, ",")
	}
}
