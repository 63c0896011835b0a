package apitest

import "flag"

var update = flag.Bool("update", false, "write the results in testdata instead of comparing them")

// Update tells that tests are to write what they would compare with.
func Update() bool { return *update }
