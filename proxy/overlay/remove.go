package overlay

// Remove removes from this box what an Overlay with the link made.
func Remove(link string) error {
	t, err := openTables(link)
	if err != nil {
		return err
	}
	defer t.close()
	have, _, err := t.Read()
	if err != nil {
		return err
	}
	return reconcile(t, have, State{})
}
