// Package pairwise makes what applications know people by who are not to compare them with one another (OpenID Connect Core 1.0 §8.1): from
// the secret of an organization, the sector that an application belongs to, and who it is. It knows as well what an application's sector is,
// and what the document has to hold by which applications of several hosts say that they are one sector.
//
// It keeps no secret and fetches no document: that is storage's, and of whoever registers applications.
package pairwise
