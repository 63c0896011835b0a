package fake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	remotecommand "k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

func (r *Runtime) runningContainer(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := findByPrefix(r.containers, id)
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", id)
	}
	if c.state != running {
		return nil, status.Errorf(codes.Unknown, "container is in %s state", c.state)
	}
	return c, nil
}

// ExecSync implements cri.Runtime with the programs of script.go; "cat" without
// a file copies its input. A program that is missing is exit code 126 here, as
// with real runtimes an error of the call.
func (r *Runtime) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	c, err := r.runningContainer(req.ContainerId)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	err = r.begin("ExecSync", r.subject(c))
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.Timeout)*time.Second)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	code, err := execute(ctx, c, req.Cmd, nil, &stdout, &stderr)
	if ctx.Err() != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "failed to exec in container: timeout %ds exceeded", req.Timeout)
	}
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: code}, nil
}

func execute(ctx context.Context, c *container, argv []string, in io.Reader, stdout, stderr io.Writer) (int32, error) {
	steps, err := parse(argv)
	if err != nil {
		return 0, status.Errorf(codes.Unknown, "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: %v", err)
	}
	for _, s := range steps {
		switch filepath.Base(s[0]) {
		case "false":
			return 1, nil
		case "exit":
			n, _ := strconv.Atoi(arg(s, 1))
			return int32(n), nil
		case "sleep":
			seconds, _ := strconv.ParseFloat(arg(s, 1), 64)
			select {
			case <-time.After(time.Duration(seconds * float64(time.Second))):
			case <-ctx.Done():
				return 137, nil
			case <-c.proc.done:
				return 137, nil
			}
		case "cat":
			if len(s) == 1 && in != nil {
				io.Copy(stdout, in)
				continue
			}
			fallthrough
		default:
			if err := builtin(s, stdout, stderr, c); err != nil {
				fmt.Fprintln(stderr, err)
				return 1, nil
			}
		}
	}
	return 0, nil
}

// Exec implements cri.Runtime.
func (r *Runtime) Exec(_ context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if _, err := r.runningContainer(req.ContainerId); err != nil {
		return nil, err
	}
	s, err := r.streaming()
	if err != nil {
		return nil, err
	}
	return s.GetExec(req)
}

// Attach implements cri.Runtime.
func (r *Runtime) Attach(_ context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if _, err := r.runningContainer(req.ContainerId); err != nil {
		return nil, err
	}
	s, err := r.streaming()
	if err != nil {
		return nil, err
	}
	return s.GetAttach(req)
}

// PortForward implements cri.Runtime.
func (r *Runtime) PortForward(_ context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	s, err := r.streaming()
	if err != nil {
		return nil, err
	}
	return s.GetPortForward(req)
}

// streaming starts the streaming server on loopback at first use.
func (r *Runtime) streaming() (streaming.Server, error) {
	r.streamOnce.Do(func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			r.streamErr = fmt.Errorf("listen for streams: %w", err)
			return
		}
		cfg := streaming.DefaultConfig
		cfg.Addr = l.Addr().String()
		if r.stream, r.streamErr = streaming.NewServer(cfg, streams{r}); r.streamErr != nil {
			l.Close()
			return
		}
		r.serving = &http.Server{Handler: r.stream, ReadHeaderTimeout: time.Minute}
		go r.serving.Serve(l)
	})
	return r.stream, r.streamErr
}

// Close ends the streaming server and everything that runs.
func (r *Runtime) Close() {
	r.mu.Lock()
	for _, c := range r.containers {
		if c.proc != nil {
			c.proc.end()
		}
	}
	r.mu.Unlock()
	r.processes.Wait()
	if r.serving != nil {
		r.serving.Close()
	}
}

type streams struct{ r *Runtime }

func (s streams) Exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errw io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	c, err := s.r.runningContainer(id)
	if err != nil {
		return err
	}
	code, err := execute(ctx, c, cmd, in, writer(out), writer(errw))
	if err != nil {
		return err
	}
	if code != 0 {
		return exitError(code)
	}
	return nil
}

func (s streams) Attach(ctx context.Context, id string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	if _, err := s.r.runningContainer(id); err != nil {
		return err
	}
	if in != nil && out != nil {
		io.Copy(out, in)
	}
	return nil
}

// PortForward connects to the port on loopback, which is where tests listen.
func (s streams) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer conn.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(stream, conn)
	}()
	io.Copy(conn, stream)
	conn.(*net.TCPConn).CloseWrite()
	<-done
	return nil
}

func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// exitError is an exit code as k8s.io/utils/exec knows it.
type exitError int32

func (e exitError) Error() string   { return fmt.Sprintf("command terminated with exit code %d", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }
