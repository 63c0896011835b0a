package mvcc

// Resources returns the number of resources that the history has an index of.
func (s *Store) Resources() int { return len(s.state.history.resources) }
