package playground

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestARunIsForgottenAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := runs{held: make(map[string]*heldRun)}
		r := held.begin("a")
		time.Sleep(runLifetime - time.Second)
		if held.of("a") != r {
			t.Error("gone too early")
		}
		time.Sleep(time.Second)
		if held.of("a") != nil {
			t.Error("still there")
		}
		held.begin("b")
		if len(held.held) != 1 {
			t.Errorf("%d runs are held", len(held.held))
		}
	})
}

func TestTheOldestRunMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := runs{held: make(map[string]*heldRun)}
		for i := range mostRuns + 3 {
			held.begin(strconv.Itoa(i))
			time.Sleep(time.Second)
		}
		if len(held.held) != mostRuns || held.of("2") != nil || held.of("3") == nil {
			t.Errorf("%d runs are held", len(held.held))
		}
		again := held.begin("3")
		if len(held.held) != mostRuns || held.of("3") != again || held.of("4") == nil {
			t.Error("a browser that begins again takes its own place")
		}
	})
}
