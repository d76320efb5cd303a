package proof

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhatMethodsAmountTo(t *testing.T) {
	for _, test := range []struct {
		given [][]string
		amr   string
		acr   string
	}{
		{[][]string{{Password}}, "pwd", One},
		{[][]string{{Password}, {OTP}}, "pwd otp mfa", Multi},
		{[][]string{{Password}, {OTP, Channel}}, "pwd otp mca mfa", Multi},
		{[][]string{{Password}, {Key, Hardware}}, "pwd pop hwk mfa", Multi},
		{[][]string{{Key, Software, Present}}, "pop swk user mfa", Multi},
		{[][]string{{Key, Software}}, "pop swk", One},
		{[][]string{{OTP}}, "otp", One},
		{[][]string{{Federated}}, "fed", One},
		{[][]string{{Federated}, {OTP}}, "fed otp mfa", Multi},
		{[][]string{{Federated}, {Key, Hardware}}, "fed pop hwk mfa", Multi},
		{[][]string{{Federated}, {OTP, Channel}}, "fed otp mca", One},
		{[][]string{{Federated, Several}}, "fed", One},
		{[][]string{{OTP}, {OTP, Channel}}, "otp mca", One},
		{[][]string{{Password}, {Password}}, "pwd", One},
		{[][]string{{Password, Several}}, "pwd", One}, // what is not proven is not said
		{nil, "", One},
	} {
		amr := Together(test.given...)
		if got := strings.Join(amr, " "); got != test.amr || ACR(amr) != test.acr {
			t.Errorf("%v: %q %s, want %q %s", test.given, got, ACR(amr), test.amr, test.acr)
		}
	}
}

func TestWhatARequestAsks(t *testing.T) {
	for _, test := range []struct {
		name, values, claims string
		essential            bool
		wants, impossible    bool   // of somebody with one factor
		one, multi           string // what is answered
		demand               Demand
	}{
		{name: "nothing", one: One, multi: Multi},
		{name: "two, voluntarily", values: Multi, wants: true, one: One, multi: Multi, demand: Two},
		{name: "two, else one", values: Multi + " " + One, wants: true, one: One, multi: Multi, demand: TwoIfThere},
		{name: "one, else two", values: One + " " + Multi, one: One, multi: One},
		{name: "one", values: One, one: One, multi: One},
		{name: "unknown", values: "phr", one: One, multi: Multi},
		{name: "unknown, else two", values: "phr " + Multi, wants: true, one: One, multi: Multi, demand: Two},
		{name: "essential", claims: `{"id_token":{"acr":{"essential":true,"values":["` + Multi + `"]}}}`, essential: true, wants: true, one: One, multi: Multi, demand: Two},
		{name: "essential value", claims: `{"id_token":{"acr":{"essential":true,"value":"` + Multi + `"}}}`, essential: true, wants: true, one: One, multi: Multi, demand: Two},
		{name: "essential, any", claims: `{"id_token":{"acr":{"essential":true}}}`, one: One, multi: Multi},
		{name: "essential and acr_values", values: Multi, claims: `{"id_token":{"acr":{"essential":true}}}`, essential: true, wants: true, one: One, multi: Multi, demand: Two},
		{name: "essential, unknown", claims: `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`, essential: true, impossible: true, one: One, multi: Multi},
		{name: "voluntary claim", claims: `{"id_token":{"acr":{"values":["` + Multi + `"]}}}`, wants: true, one: One, multi: Multi, demand: Two},
		{name: "null", values: Multi, claims: `{"id_token":{"acr":null}}`, wants: true, one: One, multi: Multi, demand: Two},
		{name: "of others", claims: `{"userinfo":{"name":{"essential":true}},"id_token":{"auth_time":{"essential":true}}}`, one: One, multi: Multi},
	} {
		params := url.Values{}
		if test.values != "" {
			params.Set("acr_values", test.values)
		}
		if test.claims != "" {
			params.Set("claims", test.claims)
		}
		r, err := ReadRequest(params, nil)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if r.Essential != test.essential || r.WantsMulti(One) != test.wants || r.WantsMulti(Multi) || r.Impossible() != test.impossible ||
			r.Met(One) != test.one || r.Met(Multi) != test.multi || r.Demand() != test.demand {
			t.Errorf("%s: %+v wants %v, impossible %v, answers %s and %s, demands %d",
				test.name, r, r.WantsMulti(One), r.Impossible(), r.Met(One), r.Met(Multi), r.Demand())
		}
	}
}

func TestAClientsOwnValuesCountWhereItAsksForNone(t *testing.T) {
	own := []string{Multi}
	for _, test := range []struct {
		params url.Values
		demand Demand
	}{
		{nil, Two},
		{url.Values{"acr_values": {One}}, AsDecided},
		{url.Values{"claims": {`{"id_token":{"acr":{"values":["` + One + `"]}}}`}}, AsDecided},
		{url.Values{"claims": {`{"id_token":{"acr":{"essential":true}}}`}}, Two},
		{url.Values{"claims": {`{"id_token":{"nonce":null}}`}}, Two},
	} {
		if r, err := ReadRequest(test.params, own); err != nil || r.Demand() != test.demand {
			t.Errorf("%v: %d, %v", test.params, r.Demand(), err)
		}
	}
}

// S-034
func TestClaimsAreReadWithinBounds(t *testing.T) {
	for name, claims := range map[string]string{
		"no object": `[]`, "text": `"x"`, "null": `null`, "cut short": `{"id_token":`, "twice": `{"id_token":{},"id_token":{}}`,
		"id_token is text": `{"id_token":"x"}`, "userinfo is a list": `{"userinfo":[]}`, "acr is text": `{"id_token":{"acr":"x"}}`,
		"values is text": `{"id_token":{"acr":{"values":"x"}}}`, "essential is text": `{"id_token":{"acr":{"essential":"yes"}}}`,
		"deep":  `{"userinfo":` + strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_001),
		"large": `{"userinfo":{"a":{"value":"` + strings.Repeat("a", 100<<10) + `"}}}`,
		"many":  `{"id_token":{"acr":{"values":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 100), ",") + `]}}}`,
	} {
		began := time.Now()
		if _, err := ReadRequest(url.Values{"claims": {claims}}, nil); err == nil {
			t.Errorf("%s passes", name)
		}
		if took := time.Since(began); took > 20*time.Millisecond {
			t.Errorf("%s took %v", name, took)
		}
	}
	r, err := ReadRequest(url.Values{"acr_values": {strings.Repeat("a ", 1000)}}, nil)
	if err != nil || len(r.Values) != maxValues {
		t.Errorf("%d, %v", len(r.Values), err)
	}
	if slices.Contains(Values(), "") {
		t.Error("an acr is never empty")
	}
}
