package throttle

import (
	"slices"
	"testing"
	"time"
)

func TestANetworkIsAnAddressOrTheSubnetOfOneSubscriber(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":                 "192.0.2.7",
		"::ffff:192.0.2.7":          "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":      "2001:db8:1:2::/64",
		"2001:db8:1:2::1":           "2001:db8:1:2::/64",
		"2001:0DB8:0001:0002::FFFF": "2001:db8:1:2::/64",
		"2001:db8:1:3::1":           "2001:db8:1:3::/64",
		"fe80::1%eth0":              "fe80::/64",
		"::1":                       "::/64",
		"":                          "unknown",
		"localhost":                 "unknown",
		"192.0.2.7:443":             "unknown",
		"192.0.2.7, 198.51.100.1":   "unknown",
	} {
		if got := Network(address); got != want {
			t.Errorf("Network(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestABackoffLetsSomeThroughAndThenMakesEachWaitLonger(t *testing.T) {
	var waits []time.Duration
	for tries := range 12 {
		waits = append(waits, SignInStrange.Wait(tries))
	}
	s := time.Second
	want := []time.Duration{0, 0, 0, 0, 0, s, 4 * s, 16 * s, 64 * s, 256 * s, 900 * s, 900 * s}
	if !slices.Equal(waits, want) {
		t.Errorf("the waits are %v, want %v", waits, want)
	}
}

// The bound that is promised of an account: ten passwords in any quarter of an hour, and nothing to be gained by waiting until
// the tries are forgotten.
func TestAnAccountIsTriedTenTimesInAQuarterOfAnHourAtTheMost(t *testing.T) {
	b := SignInStrange
	var at time.Duration
	var times []time.Duration
	for len(times) < 30 {
		times = append(times, at)
		at += b.Wait(len(times))
	}
	for i, first := range times {
		if i+10 < len(times) && times[i+10]-first < 15*time.Minute {
			t.Errorf("eleven tries from the %dth on in %s", i+1, times[i+10]-first)
		}
	}
	if steady, afresh := int(b.Forget/b.Most), 10; steady < afresh {
		t.Errorf("who waits for %s gets %d tries, who goes on %d", b.Forget, afresh, steady)
	}
}

func TestEveryLimitHasANameOfItsOwn(t *testing.T) {
	names := []string{SignInStrange.Name}
	for _, l := range []Limit{
		SignInDevice, SignInNetwork, SignInOrganization, FactorPerson, CodesPerson, MailAddress, MailNetwork, MailOrganization, SignUpNetwork,
		SignUpOrganization, LinkNetwork, NamesPerson, ClientNetwork, RegisterNetwork, RegisterOrganization, RegistrationClient, APIActor, Notice(SignInStrange.Name),
	} {
		if slices.Contains(names, l.Name) || l.Burst <= 0 || l.Per <= 0 {
			t.Errorf("%+v", l)
		}
		names = append(names, l.Name)
	}
}
