package people

import "errors"

// Invalid is what is wrong with one thing that a person entered. Message is the id of a text. Several are joined: Problems takes
// them apart.
type Invalid struct{ Field, Message string }

// Error implements error.
func (e *Invalid) Error() string { return e.Field + ": " + e.Message }

// Problems are the texts of what an error says is invalid, by field: the first of each. It is nil for an error that says
// nothing of the kind.
func Problems(err error) map[string]string {
	var found map[string]string
	var look func(error)
	look = func(err error) {
		switch e := err.(type) { //nolint:errorlint // it is this function that unwraps
		case nil:
		case *Invalid:
			if found == nil {
				found = make(map[string]string)
			}
			if found[e.Field] == "" {
				found[e.Field] = e.Message
			}
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				look(one)
			}
		default:
			look(errors.Unwrap(err))
		}
	}
	look(err)
	return found
}
