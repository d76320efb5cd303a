package server

const mailboxPath = "/dev/mailbox"
