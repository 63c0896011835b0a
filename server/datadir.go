package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"skiff/agent/node"
	"skiff/datadir"
	"skiff/server/pki"
)

func (c *Config) pkiDir() string   { return filepath.Join(c.DataDir, "pki") }
func (c *Config) storeDir() string { return filepath.Join(c.DataDir, "store") }

// openDataDir takes the data folder, unless another process has it, a newer
// version used it, or it is not of this node and one cluster. It completes the
// node's name.
func (c *Config) openDataDir() (*datadir.Dir, error) {
	dir, err := datadir.Open(c.DataDir, datadir.Server)
	if err != nil {
		return nil, fmt.Errorf("data-dir: %w", err)
	}
	m := dir.Marker()
	name, err := node.NameIn(c.DataDir, m.Node, c.NodeName)
	if err = errors.Join(err, c.checkCluster(m)); err == nil {
		c.NodeName = name
		err = c.noteOutside(dir)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// checkCluster refuses a folder whose parts are not of one cluster: they were
// lost, or put together from several backups. What is missing would be made
// anew, and lock out all that know the old.
func (c *Config) checkCluster(m datadir.Marker) error {
	if m.Authority == "" {
		return nil // never served
	}
	authority, err := pki.HashIn(c.pkiDir())
	switch {
	case err != nil:
		return fmt.Errorf("data-dir: %w", err)
	case authority == "":
		return fmt.Errorf("data-dir: %s has lost the cluster's identities, restore %s from a backup, or begin a new cluster in another folder", c.DataDir, c.pkiDir())
	case authority != m.Authority:
		return fmt.Errorf("data-dir: %s holds the identities of another cluster than the rest of %s, put back those of authority %s", c.pkiDir(), c.DataDir, m.Authority)
	}
	if _, err := os.Stat(c.storeDir()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data-dir: %s has lost the cluster's state, restore %s from a backup, or begin a new cluster in another folder", c.DataDir, c.storeDir())
	}
	return nil
}

// mark notes whose folder it is, once that is known.
func (c *Config) mark(dir *datadir.Dir, s *state) error {
	if had := dir.Marker().Store; had != "" && had != s.store.Cluster() {
		return fmt.Errorf("data-dir: %s holds the state of another cluster than the rest of %s, restore it from a backup", c.storeDir(), c.DataDir)
	}
	return dir.Update(func(m *datadir.Marker) {
		m.Role = datadir.Server
		m.Node, m.Authority, m.Store = c.NodeName, s.pki.Server.Hash(), s.store.Cluster()
		m.ClusterDNS, m.RuntimeEndpoint = c.ClusterDNS, c.Node.ContainerRuntimeEndpoint
	})
}

// noteOutside makes the folders outside of the data folder that are about to be
// used, so that uninstall knows which of them were not there before.
func (c *Config) noteOutside(dir *datadir.Dir) error {
	if !c.DisableAgent {
		for _, folder := range node.OutsideDirs(c.nodeConfig(nil)) {
			if err := dir.MakeOutside(folder); err != nil {
				return fmt.Errorf("make a folder for the network plugins: %w", err)
			}
		}
	}
	if c.WriteKubeconfig == "" {
		return nil
	}
	if err := dir.MakeOutside(filepath.Dir(c.WriteKubeconfig)); err != nil {
		return fmt.Errorf("write-kubeconfig: make its folder, or choose another file: %w", err)
	}
	return dir.NoteOutside(c.WriteKubeconfig)
}
