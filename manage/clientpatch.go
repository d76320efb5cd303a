package manage

import (
	"reflect"
	"strings"
)

// Spec returns the patch as the spec of a client that does not exist yet.
func (p ClientPatch) Spec() ClientSpec { return p.to(ClientSpec{}) }

// Unset returns the patch with a member going back to its default, and whether it is one that has a field.
func (p ClientPatch) Unset(name string) (ClientPatch, bool) {
	fields := reflect.ValueOf(&p).Elem()
	for i := range fields.NumField() {
		if tag, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ","); tag == name && name != "-" {
			fields.Field(i).Set(reflect.New(fields.Field(i).Type().Elem()))
			return p, true
		}
	}
	return p, false
}
