package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/registry"
)

var metaDocs = metav1.ObjectMeta{}.SwaggerDoc()

// defaultColumns are those of resources that name none.
var defaultColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: metaDocs["name"]},
	{Name: "Created At", Type: "date", Description: metaDocs["creationTimestamp"]},
}

// tableOptions are the parameters of a Table.
type tableOptions struct {
	noHeaders bool
	include   metav1.IncludeObjectPolicy
}

func (c *call) tableOptions() (tableOptions, error) {
	var in metav1.TableOptions
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_TableOptions(&c.values, &in, nil); err != nil {
			return tableOptions{}, apierrors.NewBadRequest(err.Error())
		}
	}
	o := tableOptions{include: in.IncludeObject}
	switch o.include {
	case "":
		o.include = metav1.IncludeMetadata
	case metav1.IncludeMetadata, metav1.IncludeNone, metav1.IncludeObject:
	default:
		return o, apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: includeObject: Invalid value: %q: must be 'Metadata', 'Object', 'None', or empty", o.include))
	}
	return o, nil
}

// row makes the row of one object.
func (e *endpoint) row(o output, opts tableOptions, s stored) (metav1.TableRow, error) {
	obj, err := e.object(s)
	if err != nil {
		return metav1.TableRow{}, err
	}
	s.obj = obj
	row := metav1.TableRow{}
	if e.res.Cells != nil {
		row.Cells = e.res.Cells(obj)
	} else {
		row.Cells = []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	row.Object.Object, err = e.rowObject(o, opts, s)
	return row, err
}

func (e *endpoint) rowObject(o output, opts tableOptions, s stored) (runtime.Object, error) {
	switch opts.include {
	case metav1.IncludeNone:
		return nil, nil
	case metav1.IncludeObject:
		return e.fromHub(s.obj, true)
	}
	return e.partial(o, s)
}

func (e *endpoint) columns() []metav1.TableColumnDefinition {
	if e.res.Columns != nil {
		return e.res.Columns
	}
	return defaultColumns
}

// respondTable writes a Table row by row.
func (c *call) respondTable(code int, o output, list registry.List, items []stored) error {
	opts, err := c.tableOptions()
	if err != nil {
		return err
	}
	meta := listMeta(list)
	if list.Revision == 0 && len(items) == 1 {
		meta = metav1.ListMeta{ResourceVersion: strconv.FormatInt(items[0].revision, 10)}
	}
	b := c.body(code, string(o.media))
	whole := o.pretty || o.media == mediaYAML
	var buf []byte
	if !whole {
		buf = b.space()
	}
	if buf, err = c.endpoint.appendTableHead(buf, o, opts, meta); err != nil {
		return err
	}
	for i, it := range items {
		if i > 0 {
			buf = append(buf, ',')
		}
		row, err := c.endpoint.row(o, opts, it)
		if err != nil {
			return err
		}
		if buf, err = appendRow(buf, row); err != nil {
			return err
		}
		if !whole {
			if b.took(buf) != nil {
				return nil
			}
			buf = b.space()
		}
	}
	return c.finishJSON(b, append(buf, "]}\n"...), o)
}

// appendRow appends a row that has no conditions. Its object is written straight
// into the table: inside a RawExtension it would be encoded and then copied.
func appendRow(dst []byte, row metav1.TableRow) ([]byte, error) {
	dst, err := appendJSON(append(dst, `{"cells":`...), row.Cells, false)
	if err != nil {
		return nil, err
	}
	dst, err = appendJSON(append(dst[:len(dst)-1], `,"object":`...), row.Object.Object, false)
	if err != nil {
		return nil, err
	}
	return append(dst[:len(dst)-1], '}'), nil
}

// appendTableHead opens a Table up to its rows.
func (e *endpoint) appendTableHead(dst []byte, o output, opts tableOptions, meta metav1.ListMeta) ([]byte, error) {
	dst, err := appendJSONHead(dst, o.metaGVK("").GroupVersion().String(), "Table", meta)
	if err != nil {
		return nil, err
	}
	columns := []byte("null")
	if !opts.noHeaders {
		if columns, err = json.Marshal(e.columns()); err != nil {
			return nil, err
		}
	}
	dst = append(dst, `,"columnDefinitions":`...)
	dst = append(dst, columns...)
	return append(dst, `,"rows":[`...), nil
}
