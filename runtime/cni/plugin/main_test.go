package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The test binary is the plugin too, when it is run as one.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// host is a network namespace that stands for a node.
type host struct {
	t        *testing.T
	ns       ns.NetNS
	stateDir string
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	return &host{t, newNetNS(t), filepath.Join(t.TempDir(), "state")}
}

func (h *host) conf(change func(map[string]any)) []byte {
	h.t.Helper()
	c := map[string]any{
		"cniVersion": "1.1.0", "name": "testnet", "type": "skiff-cni",
		"bridge": "skt0", "hairpin": true, "mtu": 1400, "stateDir": h.stateDir, "table": "skt-hostports",
		"ranges": []any{map[string]any{"subnet": "10.77.0.0/24"}},
	}
	if change != nil {
		change(c)
	}
	data, err := json.Marshal(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return data
}

// command prepares a run of the plugin.
func (h *host) command(op, id, netns string, conf []byte) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+op, "CNI_CONTAINERID="+id, "CNI_NETNS="+netns, "CNI_IFNAME=eth0", "CNI_PATH=/")
	cmd.Stdin = bytes.NewReader(conf)
	return cmd
}

// run runs the plugin to its end and returns what it prints.
func (h *host) run(op, id, netns string, conf []byte) (string, error) {
	cmd := h.command(op, id, netns, conf)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := h.ns.Do(func(ns.NetNS) error { return cmd.Start() }); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%s", op, err, out.String(), stderr.String())
	}
	return out.String(), nil
}

func (h *host) must(op, id, netns string, conf []byte) string {
	h.t.Helper()
	out, err := h.run(op, id, netns, conf)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// pod is an attached namespace.
type pod struct {
	id string
	ns ns.NetNS
	ip string
}

func (h *host) add(id string, conf []byte) pod {
	h.t.Helper()
	p := pod{id: id, ns: newNetNS(h.t)}
	var r current.Result
	if err := json.Unmarshal([]byte(h.must("ADD", id, p.ns.Path(), conf)), &r); err != nil {
		h.t.Fatal(err)
	}
	p.ip = r.IPs[0].Address.IP.String()
	return p
}

// links names the links of the host that are made for pods.
func (h *host) links() []string {
	h.t.Helper()
	var names []string
	err := h.ns.Do(func(ns.NetNS) error {
		all, err := netlink.LinkList()
		for _, l := range all {
			if l.Type() == "veth" {
				names = append(names, l.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return names
}

// addresses lists what is taken in the store.
func (h *host) addresses() []string {
	files, _ := filepath.Glob(filepath.Join(h.stateDir, "[0-9f]*"))
	return files
}

func newNetNS(t *testing.T) ns.NetNS {
	t.Helper()
	path := filepath.Join("/run", fmt.Sprintf("skt-cni-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			lo, lerr := netlink.LinkByName("lo")
			err = errors.Join(lerr, netlink.LinkSetUp(lo))
			err = errors.Join(err, unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, ""))
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n, err := ns.GetNS(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), unix.Unmount(path, unix.MNT_DETACH), os.Remove(path)); err != nil {
			t.Error(err)
		}
	})
	return n
}

// serve answers TCP and UDP on the port in the namespace with its name.
func serve(t *testing.T, in ns.NetNS, port int, name string) {
	t.Helper()
	err := in.Do(func(ns.NetNS) error {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close(); u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s", name)
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				u.WriteTo([]byte(name), from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ask connects from the namespace and returns the answer, or the error as text.
func ask(from ns.NetNS, network, addr string) string {
	answer := ""
	err := from.Do(func(ns.NetNS) error {
		c, err := net.DialTimeout(network, addr, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		if network == "udp" {
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		answer = string(buf[:n])
		return err
	})
	if err != nil {
		return "error: " + err.Error()
	}
	return answer
}
