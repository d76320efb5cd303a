package manage

// Spec returns the patch as the spec of a client that does not exist yet.
func (p ClientPatch) Spec() ClientSpec { return p.to(ClientSpec{}) }
