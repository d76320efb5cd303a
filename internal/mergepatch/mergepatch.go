package mergepatch

import "maps"

// Apply is MergePatch of RFC 7396 §2 for objects. Neither of its arguments is changed; the result is never nil.
func Apply(target, patch map[string]any) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = make(map[string]any, len(patch))
	}
	for name, value := range patch {
		object, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(out, name)
		case isObject:
			below, _ := out[name].(map[string]any)
			out[name] = Apply(below, object)
		default:
			out[name] = value
		}
	}
	return out
}
