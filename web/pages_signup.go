package web

// signupKinds are the pages by which somebody comes to have an account, or comes back to it.
var signupKinds = map[string]kind{}
