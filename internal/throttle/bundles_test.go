package throttle

import (
	"errors"
	"strconv"
	"testing"
)

func TestABundleIsUsedUpBeforeTheNextIsTaken(t *testing.T) {
	b, taken := NewBundles(3), 0
	full := errors.New("full")
	take := func() error {
		if taken == 2 {
			return full
		}
		taken++
		return nil
	}
	for i := range 6 {
		if err := b.Take("a", take); err != nil || taken != i/3+1 {
			t.Fatalf("use %d: %d bundles, %v", i+1, taken, err)
		}
	}
	for range 2 {
		if err := b.Take("a", take); !errors.Is(err, full) {
			t.Errorf("beyond: %v", err)
		}
	}
	taken = 0
	if err := b.Take("b", take); err != nil || taken != 1 {
		t.Errorf("of another: %d, %v", taken, err)
	}
	for i := range 2 * mostSubjects {
		_ = b.Take(strconv.Itoa(i), func() error { return nil })
	}
	if len(b.left) > mostSubjects {
		t.Errorf("%d are remembered", len(b.left))
	}
}
