// Package plugins is the scheduler's one ordered list of plugins; each is a
// package of its own below this one.
package plugins

import (
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"skiff/scheduler/framework"
	"skiff/scheduler/plugins/defaultbinder"
	"skiff/scheduler/plugins/imagelocality"
	"skiff/scheduler/plugins/interpodaffinity"
	"skiff/scheduler/plugins/nodeaffinity"
	"skiff/scheduler/plugins/nodename"
	"skiff/scheduler/plugins/nodeports"
	"skiff/scheduler/plugins/noderesources"
	"skiff/scheduler/plugins/nodeunschedulable"
	"skiff/scheduler/plugins/podtopologyspread"
	"skiff/scheduler/plugins/queuesort"
	"skiff/scheduler/plugins/schedulinggates"
	"skiff/scheduler/plugins/tainttoleration"
)

// Default returns the list in upstream's order, with its weights. Filters run in
// this order, so cheap ones that reject many nodes come first. What plugins need
// to know besides nodes and pods they take from informers, which are started
// after this call.
func Default(client kubernetes.Interface, informers informers.SharedInformerFactory) []framework.Weighted {
	return []framework.Weighted{
		{Plugin: schedulinggates.Plugin{}},
		{Plugin: queuesort.Plugin{}},
		{Plugin: nodeunschedulable.Plugin{}},
		{Plugin: nodename.Plugin{}},
		{Plugin: tainttoleration.Plugin{}, Weight: 3},
		{Plugin: nodeaffinity.Plugin{}, Weight: 2},
		{Plugin: nodeports.Plugin{}},
		{Plugin: noderesources.Fit{}, Weight: 1},
		{Plugin: podtopologyspread.New(informers), Weight: 2},
		{Plugin: interpodaffinity.New(informers), Weight: 2},
		{Plugin: noderesources.Balanced{}, Weight: 1},
		{Plugin: imagelocality.Plugin{}, Weight: 1},
		{Plugin: defaultbinder.New(client)},
	}
}
