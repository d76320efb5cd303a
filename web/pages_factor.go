package web

// factorKinds are the pages of second factors and passkeys at sign-in.
var factorKinds = map[string]kind{}
