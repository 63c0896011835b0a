package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	apimachineryversion "k8s.io/apimachinery/pkg/util/version"

	"skiff/version"
)

// format is raised by a release that writes what earlier ones cannot read.
const format = 1

// Marker is what the file `version` says of a data folder.
type Marker struct {
	// Format is that of all files in the folder together.
	Format int `json:"format"`
	// Skiff and Kubernetes name the version that used the folder last.
	Skiff      string `json:"skiff"`
	Kubernetes string `json:"kubernetes"`
	// Role is what ServedBy returns, if it was noted.
	Role Role `json:"role,omitempty"`
	// Node is the name of the node that the folder belongs to.
	Node string `json:"node,omitempty"`
	// Authority is the hash of the cluster's server authority, and Store the
	// identity of its store.
	Authority string `json:"authority,omitempty"`
	Store     string `json:"store,omitempty"`
	// Place is where the last process worked.
	Place Place `json:"place,omitzero"`
	// ClusterDNS are the addresses that the node's loopback was given.
	ClusterDNS []netip.Addr `json:"clusterDNS,omitempty"`
	// RuntimeEndpoint is the socket of the runtime that the node's containers are
	// in, "" for the embedded one.
	RuntimeEndpoint string `json:"runtimeEndpoint,omitempty"`
	// Made are folders and files outside of the data folder that were made on
	// its behalf, outer ones first.
	Made []string `json:"made,omitempty"`
	// Foreign are names of what was in the folder before it became skiff's.
	Foreign []string `json:"foreign,omitempty"`
}

func (m *Marker) clone() Marker {
	c := *m
	c.ClusterDNS, c.Made, c.Foreign = slices.Clone(m.ClusterDNS), slices.Clone(m.Made), slices.Clone(m.Foreign)
	return c
}

// NewerError tells that a newer version used a data folder, which this one might
// damage.
type NewerError struct {
	Dir string
	// Marker is what that version wrote.
	Marker Marker
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was last used by skiff %s (Kubernetes %s, data format %d), newer than this skiff %s (Kubernetes %s, data format %d): start that version or a later one, or choose another folder; nothing was changed",
		e.Dir, e.Marker.Skiff, e.Marker.Kubernetes, e.Marker.Format, version.Skiff, version.Kubernetes, format)
}

func markerFile(dir string) string { return filepath.Join(dir, "version") }

// ReadMarker returns the marker of a data folder, nil if it has none.
func ReadMarker(dir string) (*Marker, error) {
	b, err := os.ReadFile(markerFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Marker
	// A power cut may leave an empty file where there was none.
	if len(b) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s is damaged, restore it from a backup or remove it: %w", markerFile(dir), err)
	}
	return &m, nil
}

// Usable returns a NewerError if a newer version used the folder last, a RoleError
// if it is not for the role, and an error if that cannot be told.
func Usable(dir string, as Role) error {
	m, err := ReadMarker(dir)
	if err != nil || m == nil {
		return err
	}
	return m.check(dir, as)
}

// check tells whether this version may use the folder in a role.
func (m *Marker) check(dir string, as Role) error {
	if err := m.checkVersion(dir); err != nil {
		return err
	}
	return m.checkRole(dir, as)
}

// RoleError tells that a data folder is that of a process with another role.
type RoleError struct {
	Dir string
	// Is is the folder's role, As what it was to be used as.
	Is, As Role
}

func (e *RoleError) Error() string {
	return fmt.Sprintf("%s is that of a skiff %s, not of a skiff %s: choose another folder, or remove what is in it with `skiff uninstall`", e.Dir, e.Is, e.As)
}

// ServedBy is the role of the processes that the folder is for, "" until one has
// served from it.
func (m *Marker) ServedBy() Role {
	if m.Role == "" && m.Store != "" {
		return Server // marked by a version that did not note it
	}
	return m.Role
}

// checkRole refuses a server's folder to an agent, and the other way round: either
// would take the other's identities and pods for its own.
func (m *Marker) checkRole(dir string, as Role) error {
	is := m.ServedBy()
	if is == "" || is == as {
		return nil
	}
	return &RoleError{Dir: dir, Is: is, As: as}
}

func (m *Marker) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the data folder's marker: %w", err)
	}
	return append(b, '\n'), nil
}

// checkVersion refuses what a newer version wrote: another format, or objects of
// a newer Kubernetes minor, which this API server may not be able to read.
func (m *Marker) checkVersion(dir string) error {
	if m.Format > format || minorAfter(m.Kubernetes, version.Kubernetes) {
		return &NewerError{Dir: dir, Marker: *m}
	}
	return nil
}

// minorAfter tells whether a is of a later minor release than b; what is no
// version is not.
func minorAfter(a, b string) bool {
	x, errX := apimachineryversion.ParseSemantic(a)
	y, errY := apimachineryversion.ParseSemantic(b)
	if errX != nil || errY != nil {
		return false
	}
	return x.Major() > y.Major() || x.Major() == y.Major() && x.Minor() > y.Minor()
}

func (m *Marker) setVersion() {
	m.Format, m.Skiff, m.Kubernetes = format, version.Skiff, version.Kubernetes
}

// addMade notes what was made outside.
func (m *Marker) addMade(paths ...string) {
	for _, p := range paths {
		if !slices.Contains(m.Made, p) {
			m.Made = append(m.Made, p)
		}
	}
}
