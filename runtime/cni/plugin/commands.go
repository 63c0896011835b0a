package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"skiff/runtime/cni"
	"skiff/runtime/cni/attach"
	"skiff/runtime/cni/hostport"
	"skiff/runtime/cni/ipam"
)

func add(args *skel.CmdArgs) error {
	conf, ranges, err := cni.ParseNetConf(args.StdinData)
	if err != nil {
		return err
	}
	owner := ipam.Owner{ContainerID: args.ContainerID, IfName: args.IfName}
	// Held until the end: a GC must not take a half made link for a left over one.
	store, err := ipam.Open(conf.StateDir)
	if err != nil {
		return ioError(err)
	}
	defer store.Close()
	addrs, err := store.Allocate(owner, ranges, ipam.Memory{Dir: conf.MemoryDir, Pod: podUID(args.Args)})
	if err != nil {
		return fmt.Errorf("network %q: %w", conf.Name, err)
	}
	s := spec(conf, args, addrs, ranges)
	links, err := attach.Add(s)
	if err != nil {
		return errors.Join(err, store.Release(owner))
	}
	if err := forward(conf, owner, addrs); err != nil {
		return errors.Join(err, attach.Del(owner.ContainerID, owner.IfName), store.Release(owner))
	}
	return types.PrintResult(result(s, links), conf.CNIVersion)
}

// podUID is the pod's, by Kubernetes' convention for CNI_ARGS; "" if it is not told.
func podUID(args string) string {
	for arg := range strings.SplitSeq(args, ";") {
		if uid, ok := strings.CutPrefix(arg, "K8S_POD_UID="); ok {
			return uid
		}
	}
	return ""
}

func del(args *skel.CmdArgs) error {
	conf, _, err := cni.ParseNetConf(args.StdinData)
	if err != nil {
		return err
	}
	store, err := ipam.Open(conf.StateDir)
	if err != nil {
		return ioError(err)
	}
	defer store.Close()
	owner := ipam.Owner{ContainerID: args.ContainerID, IfName: args.IfName}
	// The address last: it stays taken while anything may still lead to it.
	return errors.Join(
		hostport.New(conf.Table, conf.Bridge).Delete(hostport.Key(owner.ContainerID, owner.IfName)),
		attach.Del(owner.ContainerID, owner.IfName),
		store.Release(owner),
	)
}

func check(args *skel.CmdArgs) error {
	conf, ranges, err := cni.ParseNetConf(args.StdinData)
	if err != nil {
		return err
	}
	store, err := ipam.Open(conf.StateDir)
	if err != nil {
		return ioError(err)
	}
	defer store.Close()
	owner := ipam.Owner{ContainerID: args.ContainerID, IfName: args.IfName}
	have, err := store.Of(owner)
	if err != nil {
		return err
	}
	addrs := make([]netip.Addr, len(ranges))
	for i, r := range ranges {
		for _, a := range have {
			if r.Subnet.Contains(a) {
				addrs[i] = a
			}
		}
		if !addrs[i].IsValid() {
			return fmt.Errorf("network %q: %s has no address out of %s", conf.Name, owner.ContainerID, r.Subnet)
		}
	}
	return attach.Check(spec(conf, args, addrs, ranges))
}

func gc(args *skel.CmdArgs) error {
	conf, _, err := cni.ParseNetConf(args.StdinData)
	if err != nil {
		return err
	}
	valid := make([]cni.Attachment, 0, len(conf.ValidAttachments))
	for _, a := range conf.ValidAttachments {
		valid = append(valid, cni.Attachment{ContainerID: a.ContainerID, IfName: a.IfName})
	}
	return cni.Config{Bridge: conf.Bridge, Table: conf.Table, StateDir: conf.StateDir}.GC(valid)
}

func status(args *skel.CmdArgs) error {
	conf, ranges, err := cni.ParseNetConf(args.StdinData)
	if err != nil {
		return err
	}
	store, err := ipam.Open(conf.StateDir)
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, "address store is not usable", err.Error())
	}
	defer store.Close()
	for _, r := range ranges {
		if free, err := store.Free(r); err != nil || free == 0 {
			return types.NewError(types.ErrLimitedConnectivity, fmt.Sprintf("no free address in %s", r.Subnet), fmt.Sprint(err))
		}
	}
	if err := writable(conf.StateDir); err != nil {
		return types.NewError(types.ErrPluginNotAvailable, "address store is not writable", err.Error())
	}
	return nil
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".claim-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(filepath.Join(dir, filepath.Base(f.Name()))))
}

func ioError(err error) error {
	return types.NewError(types.ErrIOFailure, err.Error(), "")
}

func spec(conf *cni.NetConf, args *skel.CmdArgs, addrs []netip.Addr, ranges []ipam.Range) attach.Spec {
	s := attach.Spec{
		ContainerID: args.ContainerID, IfName: args.IfName, NetNS: args.Netns,
		Bridge: conf.Bridge, MTU: conf.MTU, Hairpin: conf.Hairpin,
	}
	for i, a := range addrs {
		s.Addresses = append(s.Addresses, attach.Address{IP: a, Gateway: ranges[i].Gateway, Subnet: ranges[i].Subnet})
	}
	return s
}

// forward sets up the pod's host ports, on each address family that it has.
func forward(conf *cni.NetConf, owner ipam.Owner, addrs []netip.Addr) error {
	var mappings []hostport.Mapping
	for _, pm := range conf.RuntimeConfig.PortMappings {
		if pm.HostPort == 0 {
			continue
		}
		var hostIP netip.Addr
		if pm.HostIP != "" {
			var err error
			if hostIP, err = netip.ParseAddr(pm.HostIP); err != nil {
				return fmt.Errorf("host port %d: hostIP %q is not an address", pm.HostPort, pm.HostIP)
			}
		}
		for _, a := range addrs {
			mappings = append(mappings, hostport.Mapping{
				Protocol: pm.Protocol, HostIP: hostIP, HostPort: pm.HostPort, Pod: a, PodPort: pm.ContainerPort,
			})
		}
	}
	return hostport.New(conf.Table, conf.Bridge).Add(hostport.Key(owner.ContainerID, owner.IfName), mappings)
}

func result(s attach.Spec, links *attach.Links) *current.Result {
	pod := 2 // index of the pod's end
	r := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: s.Bridge},
			{Name: links.HostName, Mac: links.HostMAC},
			{Name: s.IfName, Mac: links.PodMAC, Sandbox: s.NetNS},
		},
	}
	for _, a := range s.Addresses {
		bits := a.IP.BitLen()
		r.IPs = append(r.IPs, &current.IPConfig{
			Interface: &pod,
			Address:   net.IPNet{IP: a.IP.AsSlice(), Mask: net.CIDRMask(bits, bits)},
			Gateway:   a.Gateway.AsSlice(),
		})
		r.Routes = append(r.Routes, &types.Route{
			Dst: net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)},
			GW:  a.Gateway.AsSlice(),
		})
	}
	return r
}
