package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate returns what is wrong with the name and the addresses that a node is
// to have; an empty name means that of the host.
func Validate(name string, ips []netip.Addr) (errs []error) {
	err := checkName(name)
	if name == "" {
		_, err = HostName()
	}
	if err != nil {
		errs = append(errs, err)
	}
	if len(ips) > 2 || len(ips) == 2 && ips[0].Is4() == ips[1].Is4() {
		errs = append(errs, errors.New("node-ip: give at most one address per family"))
	}
	return errs
}

// HostName is the name of a node that nobody named.
func HostName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("node-name: cannot read this box's host name, name the node: %w", err)
	}
	name := strings.ToLower(host)
	return name, checkName(name)
}

func checkName(name string) error {
	if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 {
		rule, _, _ := strings.Cut(msgs[0], " (e.g. ") // a regular expression follows
		return fmt.Errorf("node-name: %q cannot name a node: %s", name, rule)
	}
	return nil
}

// NameIn is the name of the node that a data folder belongs to: the one that it
// had at first, even if the box's host name has changed, as all that runs here
// belongs to that Node object. want is what the user asks for, "" if nothing.
func NameIn(dataDir, had, want string) (string, error) {
	switch {
	case had != "" && want != "" && had != want:
		return "", fmt.Errorf("node-name: %s belongs to node %q, start it with --node-name %s, or choose another --data-dir for %q", dataDir, had, had, want)
	case had != "":
		return had, nil
	case want != "":
		return want, nil
	default:
		return HostName()
	}
}
