package pod

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestScripts runs testdata/*.txtar: lines that start with "> " are commands, and
// what follows is their expected output; files of the archive are manifests.
// Time is virtual and passes only in "advance" (and in what is waited for).
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScript(t, name) })
		})
	}
}

func runScript(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	defer func() {
		w.halt()
		w.rt.Close()
	}()
	var got strings.Builder
	for line := range strings.Lines(string(archive.Comment)) {
		switch {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			got.WriteString(line)
		case strings.HasPrefix(line, "> "):
			got.WriteString(line)
			out := w.command(archive, strings.Fields(line[2:]))
			synctest.Wait()
			got.WriteString(out)
		}
	}
	if *update {
		archive.Comment = []byte(got.String())
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(archive.Comment); got.String() != want {
		t.Errorf("output differs; run with -update and look at the difference\ngot:\n%s\nwant:\n%s", got.String(), want)
	}
}

// command runs one line.
func (w *world) command(archive *txtar.Archive, args []string) string {
	ctx := context.Background()
	pods := w.client.CoreV1().Pods("default")
	fail := func(err error) string {
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		return ""
	}
	switch args[0] {
	case "create":
		return fail(w.create(file(archive, args[1])))
	case "configmap": // configmap NAME KEY=VALUE...
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: args[1], Namespace: "default", ResourceVersion: strconv.Itoa(int(time.Now().UnixNano()))}, Data: pairs(args[2:])}
		_, err := w.client.CoreV1().ConfigMaps("default").Update(ctx, cm, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = w.client.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{})
		}
		return fail(err)
	case "advance":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			return fail(err)
		}
		time.Sleep(d)
		synctest.Wait()
		return ""
	case "delete": // delete NAME [GRACE]
		return fail(w.delete(args[1:]))
	case "forget": // the object vanishes at once
		return fail(pods.Delete(ctx, args[1], metav1.DeleteOptions{}))
	case "image": // image POD CONTAINER IMAGE
		pod, err := pods.Get(ctx, args[1], metav1.GetOptions{})
		if err == nil {
			for i := range pod.Spec.Containers {
				if pod.Spec.Containers[i].Name == args[2] {
					pod.Spec.Containers[i].Image = args[3]
				}
			}
			_, err = pods.Update(ctx, pod, metav1.UpdateOptions{})
		}
		return fail(err)
	case "exit": // exit POD CONTAINER CODE [REASON]
		code, _ := strconv.Atoi(args[3])
		reason := ""
		if len(args) > 4 {
			reason = args[4]
		}
		if !w.rt.Exit("default", args[1], args[2], int32(code), reason) {
			return "no such container\n"
		}
		return ""
	case "killsandbox":
		w.rt.KillSandbox("default", args[1])
		return ""
	case "loseaddress":
		w.rt.LoseAddress("default", args[1])
		return ""
	case "fail": // fail METHOD MESSAGE
		w.rt.Fail(args[1], fmt.Errorf("%s", strings.Join(args[2:], " ")))
		return ""
	case "addimage":
		w.rt.AddImage(args[1])
		return ""
	case "restart":
		w.halt()
		w.start()
		return ""
	case "calls":
		return lines(settled(w.rt.Calls()))
	case "events":
		events := w.events.take()
		slices.SortStableFunc(events, func(a, b string) int { return strings.Compare(podOf(a), podOf(b)) })
		return lines(events)
	case "mounts":
		out := w.mounter.Log
		w.mounter.Log = nil
		return lines(out)
	case "file": // file POD PATH below the pod's directory
		return w.readFile(args[1], args[2])
	case "log": // log POD CONTAINER RESTARTS
		return w.readLog(args[1], args[2], args[3])
	case "show":
		pod, err := pods.Get(ctx, args[1], metav1.GetOptions{})
		if err != nil {
			return fail(err)
		}
		return show(pod)
	case "conditions":
		pod, err := pods.Get(ctx, args[1], metav1.GetOptions{})
		if err != nil {
			return fail(err)
		}
		var out []string
		for _, c := range pod.Status.Conditions {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s=%s %s %s", c.Type, c.Status, c.Reason, c.Message)))
		}
		return lines(out)
	}
	return "unknown command " + args[0] + "\n"
}

// settled sorts what happens at once: the stops of several containers, and what
// several pods do at the same time.
func settled(calls []string) []string {
	slices.SortStableFunc(calls, func(a, b string) int { return strings.Compare(podOf(a), podOf(b)) })
	for i := 0; i < len(calls); {
		j := i
		for j < len(calls) && strings.HasPrefix(calls[j], "StopContainer ") && podOf(calls[j]) == podOf(calls[i]) {
			j++
		}
		slices.Sort(calls[i:j])
		i = max(j, i+1)
	}
	return calls
}

// podOf is the pod in a line of calls ("Method namespace/pod/container") or of
// events ("Type pod/container Reason message").
func podOf(line string) string {
	words := strings.SplitN(line, " ", 3)
	if len(words) < 2 {
		return ""
	}
	return strings.Split(strings.TrimPrefix(words[1], "default/"), "/")[0]
}

func (w *world) delete(args []string) error {
	pods := w.client.CoreV1().Pods("default")
	pod, err := pods.Get(context.Background(), args[0], metav1.GetOptions{})
	if err != nil {
		return err
	}
	grace := *pod.Spec.TerminationGracePeriodSeconds
	if len(args) > 1 {
		if grace, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return err
		}
	}
	now := metav1.Now()
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
	_, err = pods.Update(context.Background(), pod, metav1.UpdateOptions{})
	return err
}

// show renders a status in a few lines.
func show(pod *corev1.Pod) string {
	s := &pod.Status
	out := []string{strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Phase, s.Reason, s.Message))}
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
		for i := range list {
			c := &list[i]
			line := fmt.Sprintf("  %s: %s restarts=%d ready=%v started=%v", c.Name, state(&c.State), c.RestartCount, c.Ready, c.Started != nil && *c.Started)
			if c.LastTerminationState.Terminated != nil {
				line += " last=" + state(&c.LastTerminationState)
			}
			out = append(out, line)
		}
	}
	return lines(out)
}

func state(s *corev1.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Waiting != nil:
		return strings.TrimSpace("waiting(" + s.Waiting.Reason + ") " + s.Waiting.Message)
	case s.Terminated != nil:
		return strings.TrimSpace(fmt.Sprintf("terminated(%s,%d) %s", s.Terminated.Reason, s.Terminated.ExitCode, s.Terminated.Message))
	}
	return "nothing"
}

func (w *world) readFile(pod, path string) string {
	found, ok := w.m.Find("default", pod)
	if !ok {
		return "no such pod\n"
	}
	data, err := os.ReadFile(filepath.Join(w.dir, "pods", string(found.Pod.UID), path))
	if err != nil {
		return "missing\n"
	}
	return lines([]string{string(data)})
}

func (w *world) readLog(pod, name, restarts string) string {
	found, ok := w.m.Find("default", pod)
	if !ok {
		return "no such pod\n"
	}
	data, err := os.ReadFile(filepath.Join(w.m.cfg.Node.PodLogDir(found.Pod), name, restarts+".log"))
	if err != nil {
		return "missing\n"
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		_, text, _ := strings.Cut(line, " ")
		out = append(out, strings.TrimSpace(text))
	}
	return lines(out)
}

func lines(in []string) string {
	var b strings.Builder
	for _, line := range in {
		b.WriteString(strings.TrimRight(line, "\n"))
		b.WriteByte('\n')
	}
	return b.String()
}

func pairs(args []string) map[string]string {
	out := map[string]string{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		out[k] = v
	}
	return out
}

func file(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}
