package container

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/userns"
)

// userNamespace returns the pod's mapping of users, nil for one that shares the
// node's. Asking again gives the same.
func (n *Node) userNamespace(pod *corev1.Pod, features Features) (*runtimeapi.UserNamespace, error) {
	if pod.Spec.HostUsers == nil || *pod.Spec.HostUsers {
		return nil, nil
	}
	if !features.UserNamespaces || n.Users == nil {
		return nil, errors.New("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
	}
	first, err := n.Users.Of(pod.UID)
	if err != nil {
		return nil, err
	}
	ids := []*runtimeapi.IDMapping{{HostId: first, ContainerId: 0, Length: userns.Size}}
	return &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}, nil
}

// mapUsers puts a container into its pod's user namespace, and makes its volumes
// look from there as if it were the node's.
func (n *Node) mapUsers(pod *corev1.Pod, sc *runtimeapi.LinuxContainerSecurityContext, mounts []*runtimeapi.Mount, features Features) error {
	users, err := n.userNamespace(pod, features)
	if err != nil || users == nil {
		return err
	}
	sc.NamespaceOptions.UsernsOptions = users
	for _, m := range mounts {
		m.UidMappings, m.GidMappings = users.Uids, users.Gids
	}
	return nil
}
