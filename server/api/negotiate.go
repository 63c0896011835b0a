package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/munnerz/goautoneg"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// media is an encoding of API objects.
type media string

const (
	mediaJSON     media = "application/json"
	mediaYAML     media = "application/yaml"
	mediaProtobuf media = "application/vnd.kubernetes.protobuf"
)

var allMedia = []media{mediaJSON, mediaYAML, mediaProtobuf}

// shape is what a client wants to see of an object.
type shape int

const (
	whole shape = iota
	partial
	partialList
	table
)

// output is what a response looks like.
type output struct {
	media  media
	pretty bool
	shape  shape
	// metaVersion is the version of meta.k8s.io that a shape other than whole is
	// in: v1 or v1beta1.
	metaVersion string
}

func (o output) metaGVK(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: o.metaVersion, Kind: kind}
}

// metaType is metaGVK for objects that are made by the thousand: it puts no
// strings together.
func (o output) metaType(kind string) metav1.TypeMeta {
	if o.metaVersion == "v1" {
		return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: kind}
	}
	return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1beta1", Kind: kind}
}

// clause is one alternative of an Accept header.
type clause struct {
	media  media // "" for any
	as     schema.GroupVersionKind
	stream string
	pretty bool
}

// accepted remembers parsed Accept headers: there are few of them.
var accepted struct {
	sync.RWMutex
	m map[string][]clause
}

const maxAccepted = 256

func parseAccept(header string) []clause {
	accepted.RLock()
	clauses, ok := accepted.m[header]
	accepted.RUnlock()
	if ok {
		return clauses
	}
	clauses = []clause{}
	for _, a := range goautoneg.ParseAccept(header) {
		cl := clause{as: schema.GroupVersionKind{Group: a.Params["g"], Version: a.Params["v"], Kind: a.Params["as"]}, stream: a.Params["stream"], pretty: a.Params["pretty"] == "1"}
		if v := a.Params["sv"]; v != "" && v != "v1" {
			continue
		}
		switch m := media(a.Type + "/" + a.SubType); {
		case m == mediaJSON, m == mediaYAML, m == mediaProtobuf:
			cl.media = m
		case a.SubType == "*" && (a.Type == "*" || a.Type == "application"):
		default:
			continue
		}
		clauses = append(clauses, cl)
	}
	accepted.Lock()
	defer accepted.Unlock()
	if accepted.m == nil || len(accepted.m) >= maxAccepted {
		accepted.m = map[string][]clause{}
	}
	accepted.m[header] = clauses
	return clauses
}

// negotiate picks the response's form among what the client accepts. serves
// tells whether a combination is served; nil serves whole objects in all media.
func (c *call) negotiate(serves func(media, shape) bool) (output, error) {
	header := c.r.Header.Get("Accept")
	if header == "" {
		return output{media: mediaJSON, pretty: c.isPretty()}, nil
	}
	clauses := parseAccept(header)
	if len(clauses) == 0 {
		return output{}, errNoCommonMedia()
	}
	for _, cl := range clauses {
		o := output{media: cl.media, pretty: cl.pretty || c.isPretty(), metaVersion: cl.as.Version}
		if !o.setShape(cl.as) || cl.stream != "" && cl.stream != "watch" {
			continue
		}
		for _, m := range allMedia {
			if (cl.media == "" || cl.media == m) && (o.shape == whole && serves == nil || serves != nil && serves(m, o.shape)) {
				o.media = m
				return o, nil
			}
		}
	}
	return output{}, notAcceptable("only the following media types are accepted: " + joinMedia(allMedia))
}

func (o *output) setShape(as schema.GroupVersionKind) bool {
	if as.Empty() {
		return true
	}
	if as.Group != metav1.GroupName || as.Version != "v1" && as.Version != "v1beta1" {
		return false
	}
	switch as.Kind {
	case "Table":
		o.shape = table
	case "PartialObjectMetadata":
		o.shape = partial
	case "PartialObjectMetadataList":
		o.shape = partialList
	default:
		return false
	}
	return true
}

// serves are the forms of a resource's objects.
func (e *endpoint) serves(m media, s shape) bool {
	switch s {
	case whole:
		return m != mediaProtobuf || e.store.Protobuf()
	case table:
		return m != mediaProtobuf
	}
	return true
}

func (c *call) isPretty() bool {
	if v := c.values.Get("pretty"); v != "" {
		pretty, _ := strconv.ParseBool(v)
		return pretty
	}
	ua := c.r.UserAgent()
	return strings.HasPrefix(ua, "curl") || strings.HasPrefix(ua, "Wget") || strings.HasPrefix(ua, "Mozilla/5.0")
}

func joinMedia(m []media) string {
	s := make([]string, len(m))
	for i := range m {
		s[i] = string(m[i])
	}
	return strings.Join(s, ", ")
}

// errNoCommonMedia is what clients know of an answer that comes in no form they
// take.
func errNoCommonMedia() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "406: Not Acceptable\n\nAvailable representations: " + joinMedia(allMedia), Details: &metav1.StatusDetails{},
	}}
}

func notAcceptable(msg string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable, Message: msg,
	}}
}

func unsupportedMedia(types string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s", types),
	}}
}

// inputMedia is the encoding of the request's body.
func (c *call) inputMedia() (media, error) {
	header := c.r.Header.Get("Content-Type")
	if header == "" {
		return mediaJSON, nil
	}
	typ, _, _ := strings.Cut(header, ";")
	switch m := media(strings.ToLower(strings.TrimSpace(typ))); m {
	case mediaJSON, mediaYAML, mediaProtobuf:
		return m, nil
	}
	return "", unsupportedMedia(joinMedia(allMedia))
}
