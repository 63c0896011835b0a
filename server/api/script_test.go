package api_test

import (
	"net/http"
	"testing"

	"skiff/server/api/apitest"
)

// TestScripts replays the HTTP conversations in testdata.
func TestScripts(t *testing.T) {
	apitest.Scripts(t, "testdata/*.txtar", func(t *testing.T) http.Handler { return newFixture(t, nil).server })
}
