package datadir

import "testing"

func TestUnitOf(t *testing.T) {
	const (
		v2 = "0::/system.slice/skiff.service\n"
		v1 = "2:cpu,cpuacct:/\n1:name=systemd:/system.slice/skiff.service\n0::/\n"
	)
	for name, tc := range map[string]struct {
		environ, cgroups, want string
	}{
		"a service, cgroup v2":           {"A=b\x00SYSTEMD_EXEC_PID=7\x00", v2, "skiff.service"},
		"a service, cgroup v1":           {"SYSTEMD_EXEC_PID=7\x00", v1, "skiff.service"},
		"a child of a service":           {"SYSTEMD_EXEC_PID=6\x00", v2, ""},
		"a shell's":                      {"A=b\x00", "0::/user.slice/user-0.slice/session-1.scope\n", ""},
		"a variable that only begins so": {"SYSTEMD_EXEC_PID=77\x00", v2, ""},
	} {
		if got := unitOf(7, []byte(tc.environ), []byte(tc.cgroups)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
