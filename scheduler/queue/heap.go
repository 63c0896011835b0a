package queue

// podHeap is a container/heap of items, each of which knows its index.
type podHeap struct {
	list []*item
	less func(a, b *item) bool
}

func (h *podHeap) Len() int           { return len(h.list) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.list[i], h.list[j]) }

func (h *podHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i, j
}

func (h *podHeap) Push(x any) {
	it := x.(*item)
	it.index = len(h.list)
	h.list = append(h.list, it)
}

func (h *podHeap) Pop() any {
	last := len(h.list) - 1
	it := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	return it
}
