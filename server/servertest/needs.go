package servertest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// requireVariable names, separated by commas, what a machine must have: CI sets it, so that nothing is skipped there.
const requireVariable = "KEIZER_TEST_REQUIRE"

// Needs skips the test on a machine that lacks one of the programs. Where what is required by KEIZER_TEST_REQUIRE, it fails
// instead.
func Needs(t testing.TB, what string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Lacks(t, what, program+" is not installed")
		}
	}
}

// Lacks ends a test that cannot be made on this machine, and says why: skipped, or failed where what is required.
func Lacks(t testing.TB, what, why string) {
	t.Helper()
	if requires(what) {
		t.Fatalf("%s is required here (%s), but %s", what, requireVariable, why)
	}
	t.Skipf("without %s: %s", what, why)
}

// requires reports whether this machine must have something.
func requires(what string) bool {
	return slices.Contains(strings.FieldsFunc(os.Getenv(requireVariable), func(r rune) bool { return r == ',' || r == ' ' }), what)
}
