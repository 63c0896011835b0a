package host

// Usable returns why no host can be made here, nil if one can: there is no skiff
// to run, or this process is not root's.
func Usable() error {
	_, err := findBinary()
	return err
}
