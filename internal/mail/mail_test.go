package mail

import (
	"strings"
	"testing"
)

func TestALetterOfEveryKindIsWritten(t *testing.T) {
	c, err := NewComposer("")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		m, err := c.Compose(Sample(kind))
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s\n%s", m.Subject, m.Text)
		if strings.Contains(m.Text+m.HTML+m.Subject, "<no value>") || strings.Contains(m.HTML, "ZgotmplZ") {
			t.Errorf("%s: something is missing\n%s", kind, m.HTML)
		}
	}
}
