package secret

import "log/slog"

const redacted = "[redacted]"

// Text is a secret that a person or a configuration gave. However it is printed, logged or marshalled, it shows
// [redacted]; only Reveal gives it away, so that a search for Reveal finds every place where it can escape.
type Text string

// Reveal returns the secret itself.
func (t Text) Reveal() string { return string(t) }

// String implements fmt.Stringer. An empty secret prints as nothing, so that "is it set?" stays answerable.
func (t Text) String() string {
	if t == "" {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer, which %#v asks.
func (t Text) GoString() string { return `secret.Text("` + t.String() + `")` }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML ask.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
