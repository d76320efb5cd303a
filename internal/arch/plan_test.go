package arch

// module is the import path that every room of the house begins with.
const module = "github.com/keizer-auth/keizer"

// floors says on which floor each room stands. A room may import any room of a lower floor. A package that is not named
// here fails the test, so that nobody adds a room without deciding where it stands. "internal/*" names every folder there.
var floors = map[string]int{
	"cmd/keizer": 6,

	"server":            5,
	"server/servertest": 5,

	"provider":      4,
	"login":         4,
	"login/account": 4,
	"admin":         4,
	"playground":    4,

	"web":           3,
	"manage":        3,
	"people":        3,
	"provider/keys": 3,

	"login/upstream":      2,
	"storage":             2,
	"storage/fositestore": 2,

	"config":              1,
	"migrations":          1,
	"provider/prompt":     1,
	"storage/storagetest": 1,
	"internal/*":          1,
}

// stairs are the imports within one floor, or up from test furniture, that are meant. The rest of a floor's rooms do not
// know one another: the public faces of floor 4 least of all.
var stairs = map[string][]string{
	"storage/fositestore": {"storage"},
	"server/servertest":   {"server"},
	"manage":              {"provider/keys"}, // whoever makes an organization makes its keys
	"config":              {"internal/*"},
	"migrations":          {"internal/*"},
	"provider/prompt":     {"internal/*"},
	"internal/*":          {"internal/*"},
	"storage/storagetest": {"storage", "migrations", "internal/*"},
}

// furniture is what only tests may import. It alone may skip a test or read the environment to learn what the machine has.
var furniture = map[string]bool{
	"storage/storagetest":   true,
	"server/servertest":     true,
	"internal/providertest": true,
	"internal/upstreamtest": true,
	"internal/mailtest":     true,
}

// testsMayImport adds to the floors what the test files of a room may import: furniture from above its own floor.
var testsMayImport = map[string][]string{
	"server":     {"server/servertest"},
	"migrations": {"storage/storagetest"},
}

// wall confines a third-party module, or a package of the standard library, to the rooms that may meet it.
type wall struct {
	path  string   // import path or its beginning
	rooms []string // rooms whose code and tests may import it
	tests []string // rooms whose tests may, besides; "*" is all
}

var walls = []wall{
	// The database is met through storage, so that no query starts without a tenant. Tests are no exception.
	{path: "gorm.io/", rooms: []string{"storage", "storage/storagetest"}},
	{path: "github.com/ncruces/", rooms: []string{"storage", "storage/storagetest"}, tests: []string{"migrations"}},
	{path: "github.com/jackc/pgx", rooms: []string{"storage", "storage/storagetest"}, tests: []string{"migrations"}},
	{path: "github.com/pressly/goose", rooms: []string{"migrations"}},

	// fosite is a frozen core: its faults are mended where it is met, so it is met in two rooms.
	{path: "github.com/ory/", rooms: []string{"provider", "storage/fositestore"}},
	{path: "github.com/go-jose/go-jose/v3"},
	{
		path:  "github.com/go-jose/go-jose/v4",
		rooms: []string{"provider", "provider/keys", "login/upstream", "internal/relyingparty", "cmd/keizer"},
		tests: []string{"server", "server/servertest", "internal/providertest", "internal/upstreamtest"},
	},

	{path: "github.com/gin-gonic/", rooms: []string{"server", "provider", "login", "login/account", "playground", "admin", "web"}},
	{path: "github.com/danielgtaylor/huma", rooms: []string{"admin"}},
	{path: "golang.org/x/oauth2", rooms: []string{"internal/relyingparty", "login/upstream"}, tests: []string{"*"}},
	{path: "github.com/coreos/go-oidc", rooms: []string{"internal/relyingparty", "login/upstream"}, tests: []string{"*"}},

	{path: "github.com/go-webauthn/", rooms: []string{"people"}, tests: []string{"login", "server"}},
	{path: "github.com/pquerna/otp", rooms: []string{"people"}, tests: []string{"login", "login/account", "server"}},
	{path: "github.com/wneessen/go-mail", rooms: []string{"internal/mail"}},
	{path: "github.com/nicksnyder/go-i18n", rooms: []string{"internal/messages"}},
	{path: "github.com/ccojocar/zxcvbn-go", rooms: []string{"internal/password"}},
	{path: "github.com/go-crypt/", rooms: []string{"internal/password"}},

	{path: "github.com/chromedp/", rooms: []string{"server/servertest"}},

	{path: "github.com/knadh/koanf", rooms: []string{"config"}},
	{path: "go.yaml.in/yaml", rooms: []string{"internal/strictyaml"}},
	{path: "github.com/spf13/", rooms: []string{"cmd/keizer"}},
	{path: "github.com/lmittmann/tint", rooms: []string{"cmd/keizer"}},
	{path: "github.com/alexedwards/argon2id", rooms: []string{"internal/password"}},
	{path: "testing", tests: []string{"*"}},
}

// pure rooms decide without asking anybody, so that their whole behaviour fits in a table of a test.
var pure = map[string][]string{
	"provider/prompt": {"net/http", "database/sql", "os", "log/slog"},
}

// topLevel are the folders that may stand at the top, besides those of the rooms.
var topLevel = []string{"docs"}

// vagueFolders are names that say nothing of what is in them, and so attract everything.
var vagueFolders = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "lib", "pkg", "x"}

// vagueTypes are the endings of type names that hide what the thing does.
var vagueTypes = []string{"Manager", "Service", "Helper", "Impl", "DTO"}

// environment are the functions of package os that read the process's environment, which only the process and its
// configuration may.
var environment = []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}

var mayReadEnvironment = []string{"cmd/keizer", "config"}
