package core

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
)

// podLog serves pods/log.
func (d Deps) podLog(s registry.Objects, namespace, name, _ string) (http.Handler, error) {
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		query := r.URL.Query()
		params, err := logParams(name, query)
		if err != nil {
			return err
		}
		pod, err := getPod(r.Context(), s, namespace, name)
		if err != nil {
			return err
		}
		container, err := chooseContainer(pod, query.Get("container"))
		if err != nil {
			return err
		}
		if pod.Spec.NodeName == "" {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		node, err := d.nodeOf(r.Context(), pod)
		if err != nil {
			return err
		}
		transport := node.Transport
		if boolParam(query, "insecureSkipTLSVerifyBackend") && node.Insecure != nil {
			transport = node.Insecure
		}
		target := &url.URL{
			Scheme: node.Scheme, Host: node.Host, RawQuery: params.Encode(),
			Path: fmt.Sprintf("/containerLogs/%s/%s/%s", pod.Namespace, pod.Name, container),
		}
		return copyLog(w, r, transport, target, name, boolParam(query, "follow"))
	}), nil
}

// logParams checks the options of a request for logs and turns them into those of
// the kubelet's API.
func logParams(name string, query url.Values) (url.Values, error) {
	params := url.Values{}
	for _, flag := range []string{"follow", "previous", "timestamps"} {
		if boolParam(query, flag) {
			params.Set(flag, "true")
		}
	}
	var errs field.ErrorList
	number := func(key string, least int64, text string) bool {
		value := query.Get(key)
		if value == "" {
			return false
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			errs = append(errs, field.Invalid(path(key), value, err.Error()))
		} else if n < least {
			errs = append(errs, field.Invalid(path(key), n, text))
		}
		params.Set(key, value)
		return true
	}
	number("tailLines", 0, "must be greater than or equal to 0")
	number("limitBytes", 1, "must be greater than 0")
	since := query.Get("sinceTime")
	if since != "" && query.Get("sinceSeconds") != "" {
		errs = append(errs, field.Forbidden(path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	} else {
		number("sinceSeconds", 1, "must be greater than 0")
	}
	if since != "" {
		var t metav1.Time
		if err := t.UnmarshalQueryParameter(since); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		params.Set("sinceTime", t.Format(time.RFC3339))
	}
	if query.Has("stream") { // PodLogsQuerySplitStreams is off
		errs = append(errs, field.Forbidden(path("stream"), "may not be specified"))
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, name, errs)
	}
	return params, nil
}

// maxErrorBody bounds what is read of an agent's explanation.
const maxErrorBody = 2048

func copyLog(w http.ResponseWriter, r *http.Request, transport http.RoundTripper, target *url.URL, name string, flush bool) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target.String(), nil)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return apierrors.NewInternalError(fmt.Errorf("the agent must not redirect"))
	}}
	resp, err := client.Do(req)
	if known, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return known // of the way to the node
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusOK || resp.StatusCode > http.StatusPartialContent {
		return agentError(resp, name)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	out := io.Writer(w)
	if f, ok := w.(http.Flusher); ok && flush {
		f.Flush()
		out = flushWriter{w, f}
	}
	_, _ = io.Copy(out, resp.Body) // headers are out: a broken copy ends the answer
	return nil
}

// agentError is the Status of an answer that is no log. The agent's own words are
// what helps, so they become the message.
func agentError(resp *http.Response, name string) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	message := strings.TrimSpace(string(text))
	switch resp.StatusCode {
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(errors.New(message))
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(message)
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, "", schema.GroupResource{Resource: "pods/log"}, name, message, 0, false)
}

// flushWriter sends each write at once.
type flushWriter struct {
	w io.Writer
	f http.Flusher
}

func (w flushWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.f.Flush()
	return n, err
}
