package throttle

import "time"

// Sign-ins by password. What is counted is what fails: a sign-in that succeeds gives back what it took.
var (
	// SignInStrange slows down what is tried on one account from browsers that its owner has not signed in with: ten passwords
	// in any quarter of an hour, and in the long run one.
	SignInStrange = Backoff{Name: "sign_in_account", Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: 3 * time.Hour}
	// SignInDevice is for an account and a browser that its owner has signed in with. Strangers cannot use it up.
	SignInDevice = Limit{Name: "sign_in_device", Burst: 10, Per: 15 * time.Minute}
	// SignInNetwork is for an address, SignInOrganization for everybody together.
	SignInNetwork      = Limit{Name: "sign_in_network", Burst: 20, Per: 5 * time.Minute}
	SignInOrganization = Limit{Name: "sign_in_organization", Burst: 200, Per: time.Minute}
)

// Second factors.
var (
	// FactorPerson is what a person may get wrong, over all sign-ins and all codes together.
	FactorPerson = Limit{Name: "factor_person", Burst: 20, Per: time.Hour}
	// CodesPerson is how many codes a person is sent.
	CodesPerson = Limit{Name: "codes_person", Burst: 3, Per: time.Hour}
)

// Mail that a stranger can ask for, to an address, from a network, and in an organization; and accounts that one can ask for.
var (
	MailAddress      = Limit{Name: "mail_address", Burst: 3, Per: time.Hour}
	MailNetwork      = Limit{Name: "mail_network", Burst: 20, Per: time.Hour}
	MailOrganization = Limit{Name: "mail_organization", Burst: 500, Per: 5 * time.Minute}
	SignUpNetwork    = Limit{Name: "sign_up_network", Burst: 5, Per: time.Hour}
	// SignUpOrganization is apart from MailOrganization, so that whoever makes accounts in great numbers keeps nobody from recovering
	// theirs.
	SignUpOrganization = Limit{Name: "sign_up_organization", Burst: 300, Per: 10 * time.Minute}
)

// NamesPerson is how many user names a person, or whoever holds a link to make an account with, may ask for: whether somebody has one
// cannot be kept from who could have it.
var NamesPerson = Limit{Name: "names_person", Burst: 10, Per: time.Hour}

// UpstreamNetwork is how many browsers may be sent to providers from a network, and not come back.
var UpstreamNetwork = Limit{Name: "upstream_network", Burst: 300, Per: 5 * time.Minute}

// LinkNetwork is how many links and codes that open nothing may be tried from a network.
var LinkNetwork = Limit{Name: "link_network", Burst: 20, Per: 5 * time.Minute}

// ClientNetwork is how many times clients may fail to prove who they are, from one network.
var ClientNetwork = Limit{Name: "client_network", Burst: 60, Per: time.Minute}

// PushClient is how many requests a client may push (RFC 9126 §7.4), and of one that proves nothing, anybody in its name from one network:
// twelve hundred a minute, counted by PushBundle.
var PushClient = Limit{Name: "push_client", Burst: 1200 / PushBundle, Per: time.Minute}

// PushBundle is how many pushed requests are one use of PushClient.
const PushBundle = 20

// Registration of clients by those who want one: from a network, where no token is brought; in an organization; and what is done to the
// registration of one client.
var (
	RegisterNetwork      = Limit{Name: "register_network", Burst: 10, Per: time.Hour}
	RegisterOrganization = Limit{Name: "register_organization", Burst: 300, Per: 10 * time.Minute}
	RegistrationClient   = Limit{Name: "registration_client", Burst: 60, Per: time.Minute}
)

// APIActor is how much one person or client may ask of the management API: six hundred requests a minute, counted by APIBundle.
var APIActor = Limit{Name: "api_actor", Burst: 600 / APIBundle, Per: time.Minute}

// APIBundle is how many requests are one use of APIActor. Of those that a replica has taken and nobody has made the rest is lost.
const APIBundle = 10

// NoticeEvery is how often the audit tells that a limit is reached, for each subject: once is enough to know, and strangers
// do not get to fill it.
const NoticeEvery = 15 * time.Minute

// Notice is the limit of telling of a limit.
func Notice(limit string) Limit { return Limit{Name: "notice_" + limit, Burst: 1, Per: NoticeEvery} }
