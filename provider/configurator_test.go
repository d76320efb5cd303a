package provider

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"
)

// fosite's getters fill what they find empty, without a lock. So nothing that they would fill may be empty.
func TestNoGetterOfFositeHasAnythingToFill(t *testing.T) {
	config := newConfigurator(Lifetimes{
		Code: time.Minute, Access: time.Minute, AccessJWT: time.Minute, ID: time.Minute, RefreshIdle: time.Minute, RefreshAbsolute: time.Minute,
	}, authenticated)
	empty := func() (names []string) {
		fields := reflect.ValueOf(*config.Config)
		for i := range fields.NumField() {
			if fields.Field(i).IsZero() {
				names = append(names, fields.Type().Field(i).Name)
			}
		}
		return names
	}

	before, called := empty(), 0
	getters := reflect.ValueOf(config)
	for i := range getters.NumMethod() {
		if getter := getters.Method(i); getter.Type().NumIn() == 1 && getter.Type().In(0) == reflect.TypeFor[context.Context]() {
			getter.Call([]reflect.Value{reflect.ValueOf(t.Context())})
			called++
		}
	}
	if called < 30 {
		t.Errorf("only %d getters were found", called)
	}
	after := empty()
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("%s is filled at first use", name)
		}
	}
	for name, set := range map[string]bool{
		"ScopeStrategy": config.ScopeStrategy != nil, "AudienceMatchingStrategy": config.AudienceMatchingStrategy != nil,
		"RedirectSecureChecker": config.RedirectSecureChecker != nil, "ClientAuthenticationStrategy": config.ClientAuthenticationStrategy != nil,
		"GetHTTPClient": config.GetHTTPClient(t.Context()) == nil, "GetJWKSFetcherStrategy": config.GetJWKSFetcherStrategy(t.Context()) == nil,
	} {
		if !set {
			t.Errorf("%s is left to fosite", name)
		}
	}
	// What it hands over for what is refused here must not quietly pass.
	if err := config.GetSecretsHasher(t.Context()).Compare(t.Context(), nil, nil); err == nil {
		t.Error("an empty secret is the secret of a client without one")
	}
	if config.GetScopeStrategy(t.Context())([]string{"a"}, "a.b") || config.GetAudienceStrategy(t.Context())([]string{"https://a"}, []string{"https://a/b"}) == nil {
		t.Error("what is only below of what was registered passes")
	}
}
