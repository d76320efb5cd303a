// Package account is the pages where a person looks after an account of their own: profile, e-mail address, password, passkeys,
// authenticator app, recovery codes, sessions and devices, authorised applications, activity, export and deletion.
//
// It owns those pages and which of them ask for a fresh proof. It does not own the deeds behind them, which is people, nor the
// proving, which is login.
package account
