package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheLogIsInUTC(t *testing.T) {
	var out strings.Builder
	(&program{stderr: &out}).newLog("json", slog.LevelInfo).Info("hello", "n", 1)
	var line struct {
		Time time.Time `json:"time"`
		Msg  string    `json:"msg"`
		N    int       `json:"n"`
	}
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line.Msg != "hello" || line.N != 1 || line.Time.Location() != time.UTC {
		t.Errorf("%s, %v", out.String(), err)
	}
	out.Reset()
	log := (&program{stderr: &out}).newLog("text", logLevel("warn"))
	log.Info("unheard")
	log.Warn("heard")
	if got := out.String(); strings.Contains(got, "unheard") || !strings.Contains(got, "heard") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}
