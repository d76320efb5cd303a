// Package settings says what an operator decides for one organization: who may sign up, who needs a second factor, how long
// sessions last, how its pages look.
//
// It owns the names, the defaults and the rules of these settings, and their form as JSON, which stands in the column settings
// of an organization. It does not own the configuration of the process, which is config, nor what follows from a setting, which
// is with whoever reads it.
package settings
