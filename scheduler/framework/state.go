package framework

// State is what the plugins remember about one pod during one cycle. It is used
// by one goroutine at a time.
type State struct {
	values map[string]any
	// skipFilter and skipScore name the plugins that left themselves out.
	skipFilter, skipScore map[string]bool
}

// NewState returns an empty State.
func NewState() *State {
	return &State{values: map[string]any{}, skipFilter: map[string]bool{}, skipScore: map[string]bool{}}
}

// Put remembers a value under a plugin's own key.
func (s *State) Put(key string, value any) { s.values[key] = value }

// Get returns what Put remembered, the zero value if there is nothing.
func Get[T any](s *State, key string) T {
	v, _ := s.values[key].(T)
	return v
}
