package version

import (
	"os"
	"regexp"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// TestKubernetesIsThatOfTheLibraries: who raises the libraries raises the version.
func TestKubernetesIsThatOfTheLibraries(t *testing.T) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\tk8s\.io/api v0\.(\d+)\.(\d+)$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("go.mod names no version of k8s.io/api")
	}
	want := "v1." + string(m[1]) + "." + string(m[2]) + "+skiff1"
	if Kubernetes != want || Major != "1" || Minor != string(m[1]) {
		t.Errorf("Kubernetes %s, major %s, minor %s; the libraries are %s", Kubernetes, Major, Minor, want)
	}
	if _, err := version.ParseSemantic(Kubernetes); err != nil {
		t.Errorf("clients cannot parse it: %v", err)
	}
}

// TestInfo: what the linker did not set is told as upstream does.
func TestInfo(t *testing.T) {
	set := func(skiff, date string) { Skiff, Date = skiff, date }
	defer set(Skiff, Date)
	for _, tc := range []struct {
		skiff, date, tree, buildDate string
		built                        time.Time
	}{
		{"v0.1.0-dev", "", "clean", "1970-01-01T00:00:00Z", time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)},
		{"v0.2.0-3-gabc", "2027-02-03T04:05:06Z", "clean", "2027-02-03T04:05:06Z", time.Date(2027, time.February, 3, 4, 5, 6, 0, time.UTC)},
		{"v0.2.0-dirty", "2027-02-03T04:05:06Z", "dirty", "2027-02-03T04:05:06Z", time.Date(2027, time.February, 3, 4, 5, 6, 0, time.UTC)},
	} {
		set(tc.skiff, tc.date)
		if i := Info(); i.GitTreeState != tc.tree || i.BuildDate != tc.buildDate || i.GitVersion != Kubernetes {
			t.Errorf("%s: %+v", tc.skiff, i)
		}
		if b := Built(); !b.Equal(tc.built) {
			t.Errorf("%s: built %s, want %s", tc.skiff, b, tc.built)
		}
	}
}
