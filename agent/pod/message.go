package pod

import (
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
	"skiff/agent/logs"
)

// Bounds on what a dead container can say in its status.
const (
	maxMessage    = 4096
	maxLogMessage = 2048
	maxLogLines   = 80
)

// lastMessage is what a dead container left as its termination message: a file
// that it wrote, or the end of its log if it failed and its policy says so.
func (w *worker) lastMessage(c *corev1.Container, inst *instance) string {
	if text, ok := w.messages[inst.Id]; ok {
		return text
	}
	text := inst.Message
	path := inst.Annotations[container.AnnotationMessagePath]
	for _, mount := range inst.Mounts {
		if path != "" && mount.ContainerPath == path {
			if data := head(mount.HostPath, maxMessage); data != "" {
				if text != "" {
					text += ": "
				}
				text += data
			}
		}
	}
	policy := inst.Annotations[container.AnnotationMessagePolicy]
	if text == "" && inst.ExitCode != 0 && policy == string(corev1.TerminationMessageFallbackToLogsOnError) && inst.LogPath != "" {
		if data, err := logs.Tail(inst.LogPath, maxLogLines, maxLogMessage); err == nil {
			text = data
		}
	}
	w.messages[inst.Id] = text
	w.trimMessages()
	return text
}

// trimMessages forgets those of containers that are gone.
func (w *worker) trimMessages() {
	for id := range w.messages {
		if w.view.instance(id) == nil {
			delete(w.messages, id)
		}
	}
}

func head(path string, limit int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return ""
	}
	return string(data)
}
