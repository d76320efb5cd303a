package web

// mailboxKinds are the pages of the mailbox that development mode keeps.
var mailboxKinds = map[string]kind{}
