package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

const maxToken = 16 << 10 // bytes

// token is `keizer token`.
func (p *program) token() *cobra.Command {
	return orgFlag(group("token", "Get tokens, look at them, and end them", p.tokenDecode(), p.tokenIntrospect(), p.tokenRevoke(),
		p.tokenLogin(), p.tokenClientCredentials()))
}

// takesToken lets a token be given as the argument or, so that it stays out of the shell's history, on standard input.
func takesToken(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return takes("TOKEN")(cmd, args)
	}
	return nil
}

func (p *program) readToken(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return strings.TrimSpace(args[0]), nil
	}
	if isTerminal(p.stdin) {
		return "", usage("give the token as argument, or on standard input")
	}
	body, err := readClientFile("TOKEN", "-", p.stdin)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(body))
	if token == "" {
		return "", usage("there is no token on standard input")
	}
	return token, nil
}

// decoded is what a token shows of itself. Nothing of it is proven unless Verified.
type decoded struct {
	Form     string          `json:"form"` // "jwt", "opaque" or "unknown"
	Kind     string          `json:"kind,omitempty"`
	Header   json.RawMessage `json:"header,omitempty"`
	Claims   json.RawMessage `json:"claims,omitempty"`
	Verified *bool           `json:"verified,omitempty"` // only where it was asked for
	Expired  *bool           `json:"expired,omitempty"`
	Note     string          `json:"note,omitempty"`
}

func (p *program) tokenDecode() *cobra.Command {
	var verify bool
	cmd := &cobra.Command{
		Use: "decode [TOKEN]", Short: "Show what a token says, or what kind of opaque token it is", Args: takesToken,
		Long: "Show the header and claims of a JWT, unverified unless --verify is given, or say what kind of opaque token it is.\n" +
			"Without TOKEN, or with -, it is read from standard input.",
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := p.readToken(args)
			if err != nil {
				return err
			}
			shown, typ, err := decode(token)
			if err != nil {
				return err
			}
			if !verify || shown.Form != "jwt" {
				return p.showDecoded(shown)
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					good, err := r.signed(ctx, token)
					if err != nil {
						return err
					}
					return p.showVerdict(r.org, shown, good)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				_, err := house.Keys.Verify(ctx, token, keys.Algorithms(), typ)
				if err != nil && !errors.Is(err, keys.ErrToken) {
					return fmt.Errorf("verify token: %w", err)
				}
				return p.showVerdict(org, shown, err == nil)
			})
		},
	}
	cmd.Annotations = eitherWay
	cmd.Flags().BoolVar(&verify, "verify", false, "check the signature with the keys of the organization")
	return cmd
}

// showVerdict shows a token, and whether the organization has signed it.
func (p *program) showVerdict(org *tenant.Org, shown decoded, good bool) error {
	shown.Verified = &good
	shown.Note = "signed by organization " + org.Slug
	if !good {
		shown.Note = "not signed by organization " + org.Slug
	}
	if err := p.showDecoded(shown); err != nil {
		return err
	}
	if !good {
		return failed(fmt.Errorf("organization %q did not sign this token", org.Slug))
	}
	return nil
}

// signed says whether the organization has signed a JWT, by the keys that it publishes and the issuer that it has.
func (r *remote) signed(ctx context.Context, token string) (bool, error) {
	var org organization
	if err := r.get(ctx, &org, r.in()...); err != nil {
		return false, err
	}
	all, err := unpaged[struct {
		KID    string          `json:"kid"`
		Alg    string          `json:"alg"`
		Public jose.JSONWebKey `json:"public_jwk"`
	}](ctx, r, nil, r.in("keys")...)
	if err != nil {
		return false, err
	}
	for _, key := range all {
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Alg)})
		if err != nil || signed.Signatures[0].Header.KeyID != key.KID {
			continue
		}
		payload, err := signed.Verify(key.Public)
		if err != nil {
			return false, nil //nolint:nilerr // that is the answer
		}
		var claims struct {
			Issuer string `json:"iss"`
		}
		return json.Unmarshal(payload, &claims) == nil && claims.Issuer == org.Issuer, nil
	}
	return false, nil
}

func (p *program) showDecoded(d decoded) error {
	if p.output == "json" {
		return p.json(d)
	}
	fields := []field{{"form", d.Form}, {"kind", d.Kind}}
	if d.Verified != nil {
		fields = append(fields, field{"verified", yes(*d.Verified)})
	}
	if d.Expired != nil {
		fields = append(fields, field{"expired", yes(*d.Expired)})
	}
	if err := p.show(nil, append(fields, field{"note", d.Note})...); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"header", d.Header}, {"claims", d.Claims}} {
		if part.text == nil {
			continue
		}
		text, err := json.MarshalIndent(part.text, "", "  ")
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		for line := range strings.Lines(part.name + "\n" + string(text)) {
			fmt.Fprintln(p.stdout, printable(strings.TrimSuffix(line, "\n")))
		}
	}
	return nil
}

// kinds are the opaque tokens by their names, as far as strangers ever hold them.
var kinds = []struct {
	kind secret.Kind
	name string
}{
	{secret.Code, "authorization code"}, {secret.AccessToken, "access token"}, {secret.RefreshToken, "refresh token"}, {secret.Session, "session"},
	{secret.Interaction, "interaction"}, {secret.Flow, "browser binding of a flow"}, {secret.ClientSecret, "client secret"}, {secret.Setup, "setup link"},
	{secret.PAR, "pushed authorization request"}, {secret.Verification, "verification token"},
}

// decode reads a token as far as that is possible without any key. typ is the type that the header of a JWT names.
func decode(token string) (d decoded, typ string, err error) {
	if len(token) > maxToken {
		return d, "", usage("the token is longer than %d KiB", maxToken>>10)
	}
	for _, k := range kinds {
		if secret.Valid(k.kind, token) {
			return decoded{Form: "opaque", Kind: k.name, Note: "its form is right; whether it is good, only the server knows"}, "", nil
		}
		if strings.HasPrefix(token, "kz_"+string(k.kind)+"_") {
			return decoded{Form: "opaque", Kind: k.name, Note: "its form is wrong: it was cut or mistyped"}, "", nil
		}
	}
	parts := strings.Split(token, ".")
	switch len(parts) {
	case 3:
		header, claims := jsonPart(parts[0]), jsonPart(parts[1])
		if header == nil || claims == nil {
			return decoded{Form: "unknown", Note: "it has three parts like a JWT, but they are not JSON objects"}, "", nil
		}
		var head struct {
			Typ string `json:"typ"`
		}
		_ = json.Unmarshal(header, &head) // a typ that is no text is none
		return decoded{Form: "jwt", Header: header, Claims: claims, Expired: expired(claims)}, head.Typ, nil
	case 5:
		if header := jsonPart(parts[0]); header != nil {
			return decoded{Form: "jwe", Header: header, Note: "it is encrypted: only whom it is for can read it"}, "", nil
		}
	}
	return decoded{Form: "unknown", Note: "it is neither a JWT nor a token of Keizer"}, "", nil
}

// jsonPart returns the JSON object that a part of a JWT holds, or nil.
func jsonPart(part string) json.RawMessage {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil
	}
	if _, err := strictjson.Object(text); err != nil {
		return nil
	}
	return text
}

// expired says whether exp has passed, or nothing where there is no exp that could be read.
func expired(claims json.RawMessage) *bool {
	var times struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(claims, &times) != nil {
		return nil
	}
	seconds, err := times.Exp.Int64()
	if err != nil {
		return nil
	}
	past := !time.Unix(seconds, 0).After(time.Now())
	return &past
}

func (p *program) tokenIntrospect() *cobra.Command {
	return &cobra.Command{
		Use: "introspect [TOKEN]", Short: "Say what the database knows of an access or refresh token", Args: takesToken, Annotations: eitherWay,
		Long: "Say what the database knows of an access or refresh token. Without TOKEN, or with -, it is read from standard input.",
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := p.readToken(args)
			if err != nil {
				return err
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					found := map[string]any{"active": false}
					if knowable(token) {
						if err := r.post(ctx, map[string]any{"token": token}, &found, r.in("tokens", "introspect")...); err != nil {
							return err
						}
					}
					return p.show(found, introspected(found)...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				found, err := house.Operators.Introspect(ctx, token)
				if err != nil {
					return err
				}
				return p.show(found, introspected(found)...)
			})
		},
	}
}

// knowable reports whether a token can be one at all, as the API asks of it.
func knowable(token string) bool {
	return token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r < '!' || r > '~' })
}

func introspected(found map[string]any) (fields []field) {
	for name, value := range found {
		text := fmt.Sprint(value)
		var at time.Time
		switch v := value.(type) {
		case int64:
			at = time.Unix(v, 0)
		case float64: // as JSON has it
			at = time.Unix(int64(v), 0)
		case []string:
			text = strings.Join(v, " ")
		case []any:
			text = strings.TrimSuffix(fmt.Sprintln(v...), "\n")
		}
		if !at.IsZero() && (name == "exp" || name == "iat") {
			text = date(&at)
		}
		fields = append(fields, field{name, text})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields
}

func (p *program) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke [TOKEN]", Short: "End an access token, or with a refresh token everything that was granted with it", Args: takesToken, Annotations: eitherWay,
		Long: "End an access token, or with a refresh token everything that was granted with it. Without TOKEN, or with -, it is read from standard input.",
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := p.readToken(args)
			if err != nil {
				return err
			}
			show := func(org *tenant.Org, err error) error {
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("the token is not one that is good in organization %q", org.Slug)
				}
				if err != nil {
					return err
				}
				return p.show(map[string]bool{"revoked": true}, field{"revoked", "yes"})
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					var answer struct {
						Revoked bool `json:"revoked"`
					}
					var err error
					if knowable(token) {
						err = r.post(ctx, map[string]any{"token": token}, &answer, r.in("tokens", "revoke")...)
					}
					if err == nil && !answer.Revoked {
						err = storage.ErrNotFound
					}
					return show(r.org, err)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				return show(org, house.Operators.Revoke(ctx, token))
			})
		},
	}
}
