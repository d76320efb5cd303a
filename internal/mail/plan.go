package mail

// plan is what a letter of a kind consists of, as ids of texts. Where it has a link or a code they stand between intro and outro.
type plan struct {
	subject, intro, outro string
	// button is what the link is called; code is what stands before the code.
	button, code string
	// needs says what of a letter of this kind must stand in every rendering of it.
	link, typed bool
}

// plans are the letters there are.
var plans = map[Kind]plan{
	VerifyEmail: {
		subject: "mail.verify_email.subject", intro: "mail.verify_email.intro", outro: "mail.outro.unasked",
		button: "mail.verify_email.button", code: "mail.code.or", link: true, typed: true,
	},
	SignUpExists: {
		subject: "mail.sign_up_exists.subject", intro: "mail.sign_up_exists.intro", outro: "mail.outro.unasked",
		button: "mail.sign_up_exists.button", link: true,
	},
	Invitation: {
		subject: "mail.invitation.subject", intro: "mail.invitation.intro", outro: "mail.invitation.outro",
		button: "mail.invitation.button", link: true,
	},
	PasswordReset: {
		subject: "mail.password_reset.subject", intro: "mail.password_reset.intro", outro: "mail.password_reset.outro",
		button: "mail.password_reset.button", link: true,
	},
	EmailCode: {
		subject: "mail.email_code.subject", intro: "mail.email_code.intro", outro: "mail.email_code.outro",
		code: "mail.code.this", typed: true,
	},
	ConfirmEmail: {
		subject: "mail.confirm_email.subject", intro: "mail.confirm_email.intro", outro: "mail.outro.unasked",
		button: "mail.confirm_email.button", link: true,
	},
	EmailChanging: {subject: "mail.email_changing.subject", intro: "mail.email_changing.intro", outro: "mail.outro.not_you"},
	EmailChanged: {
		subject: "mail.email_changed.subject", intro: "mail.email_changed.intro", outro: "mail.email_changed.outro",
		button: "mail.email_changed.button", link: true,
	},
	EmailMoved:     {subject: "mail.email_changed.subject", intro: "mail.email_changed.intro", outro: "mail.outro.not_you"},
	EmailIsYours:   {subject: "mail.email_is_yours.subject", intro: "mail.email_is_yours.intro", outro: "mail.outro.not_you"},
	PasswordChange: {subject: "mail.password_change.subject", intro: "mail.password_change.intro", outro: "mail.password_change.outro"},
	FactorAdded:    {subject: "mail.factor_added.subject", intro: "mail.factor_added.intro", outro: "mail.outro.not_you"},
	FactorRemoved:  {subject: "mail.factor_removed.subject", intro: "mail.factor_removed.intro", outro: "mail.outro.not_you"},
	RecoveryUsed:   {subject: "mail.recovery_used.subject", intro: "mail.recovery_used.intro", outro: "mail.outro.not_you"},
	NewDevice:      {subject: "mail.new_device.subject", intro: "mail.new_device.intro", outro: "mail.outro.not_you"},
	Test:           {subject: "mail.test.subject", intro: "mail.test.intro"},
	AccountDeleted: {subject: "mail.account_deleted.subject", intro: "mail.account_deleted.intro", outro: "mail.account_deleted.outro"},
}
