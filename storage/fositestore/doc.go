// Package fositestore stands between fosite and storage.
//
// It owns three things. Store answers fosite's questions from storage's rows. Unit records what fosite wants written and
// writes all of it in one transaction at the end, so that nothing is half-written, no signature is made while a transaction
// is open, and single use is one compare-and-set in the transaction that issues. Session and Client are our types behind
// fosite's interfaces.
//
// It does not own policy: which client may do what, and what an answer looks like, is provider's. The storage contract it
// keeps is that of RFC 6749 §4.1.2 and §10.5 (single use), RFC 9700 §4.14 (refresh token rotation) and RFC 7009.
package fositestore
