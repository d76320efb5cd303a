package throttle

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestALocalCountLetsItsBurstThroughAndThenAsMuchAsDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(Limit{Name: "local", Burst: 3, Per: time.Minute})
		full := func() time.Duration {
			t.Helper()
			var exceeded *Exceeded
			if err := l.Take("a"); !errors.As(err, &exceeded) {
				t.Fatalf("err = %v", err)
			}
			return exceeded.RetryAfter
		}
		for range 3 {
			if err := l.Take("a"); err != nil {
				t.Fatal(err)
			}
		}
		if wait := full(); wait != 20*time.Second {
			t.Errorf("again in %s", wait)
		}
		if err := l.Take("b"); err != nil {
			t.Errorf("of another: %v", err)
		}
		time.Sleep(20 * time.Second)
		if err := l.Take("a"); err != nil {
			t.Error(err)
		}
		full()
	})
}

func TestALocalCountStaysWithinItsBoundsWhoeverComes(t *testing.T) {
	l := NewLocal(Limit{Name: "local", Burst: 1, Per: time.Hour})
	for i := range 3 * mostSubjects {
		if err := l.Take(strconv.Itoa(i)); err != nil {
			t.Fatalf("the %dth, who has done nothing: %v", i, err)
		}
	}
	if len(l.busy) > mostSubjects {
		t.Errorf("%d are counted", len(l.busy))
	}
}
