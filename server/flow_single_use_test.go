package server_test

import (
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// racers send the same request many times at once, half of them to each of two replicas, and return the answers.
func racers(replicas [2]*servertest.House, each int, send func(*servertest.House) *servertest.Answer) []*servertest.Answer {
	answers := make([]*servertest.Answer, 2*each)
	start := make(chan struct{})
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			<-start
			answers[i] = send(replicas[i%2])
		})
	}
	close(start)
	wait.Wait()
	return answers
}

// twoReplicas puts up two servers on one database.
func twoReplicas(t *testing.T, databaseURL string, window time.Duration) [2]*servertest.House {
	configure := func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = window }
	one := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL, Configure: configure})
	two := servertest.Start(t, servertest.Options{ReplicaOf: one, Configure: configure})
	return [2]*servertest.House{one, two}
}

const rounds = 5

func TestACodeRedeemedByManyAtTwoReplicasHasOneWinner(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 10*time.Second)
		org := replicas[0].In("default")
		replicas[0].User(org, "alice")
		client := replicas[0].Client(org, manage.ClientSpec{SkipConsent: true})
		visitor := client.Visitor()
		for range rounds {
			code := visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
			winners := 0
			for _, answer := range racers(replicas, 16, func(h *servertest.House) *servertest.Answer {
				return client.TokenAt(h, "grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier)
			}) {
				switch {
				case answer.Status == 200:
					winners++
				case answer.Status != 400 || answer.Text("error") != "invalid_grant":
					t.Errorf("a loser heard %d %s", answer.Status, answer.Body)
				}
			}
			if winners != 1 {
				t.Errorf("%d winners", winners)
			}
		}
	})
}

func TestARefreshTokenRacedWithoutAWindowHasOneWinnerAndEndsItsFamily(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		org := replicas[0].In("default")
		replicas[0].User(org, "alice")
		client := replicas[0].Client(org, manage.ClientSpec{SkipConsent: true})
		for range rounds {
			token := client.Tokens("alice", "openid offline_access").Text("refresh_token")
			var successor string
			winners := 0
			for _, answer := range racers(replicas, 16, func(h *servertest.House) *servertest.Answer {
				return client.TokenAt(h, "grant_type", "refresh_token", "refresh_token", token)
			}) {
				switch {
				case answer.Status == 200:
					winners++
					successor = answer.Text("refresh_token")
				case answer.Status != 400 || answer.Text("error") != "invalid_grant":
					t.Errorf("a loser heard %d %s", answer.Status, answer.Body)
				}
			}
			if winners != 1 {
				t.Errorf("%d winners", winners)
			}
			if answer := client.Refresh(successor); answer.Status != 400 || answer.Text("error") != "invalid_grant" {
				t.Errorf("a token that was used twice ends its family: %d %s", answer.Status, answer.Body)
			}
		}
	})
}

func TestARefreshTokenRacedWithinTheWindowHasOneSuccessor(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 10*time.Second)
		org := replicas[0].In("default")
		replicas[0].User(org, "alice")
		client := replicas[0].Client(org, manage.ClientSpec{SkipConsent: true})
		for range rounds {
			token := client.Tokens("alice", "openid offline_access").Text("refresh_token")
			before := familySize(t, replicas[0], token)
			successors, access := map[string]int{}, map[string]int{}
			for _, answer := range racers(replicas, 16, func(h *servertest.House) *servertest.Answer {
				return client.TokenAt(h, "grant_type", "refresh_token", "refresh_token", token)
			}) {
				if answer.Status != 200 {
					t.Errorf("a racer heard %d %s", answer.Status, answer.Body)
					continue
				}
				successors[answer.Text("refresh_token")]++
				access[answer.Text("access_token")]++
			}
			if len(successors) != 1 || len(access) != 1 {
				t.Errorf("%d successors, %d access tokens", len(successors), len(access))
			}
			if grown := familySize(t, replicas[0], token) - before; grown != 1 {
				t.Errorf("the family has grown by %d", grown)
			}
			for successor := range successors {
				if answer := client.Refresh(successor); answer.Status != 200 {
					t.Errorf("the successor: %d %s", answer.Status, answer.Body)
				}
			}
		}
	})
}

func TestTheWindowIsForTheSameAuthenticatedClientAndEnds(t *testing.T) {
	house := servertest.Start(t, servertest.Options{Configure: func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = time.Second }})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	public := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none"})
	other := house.Client(org, manage.ClientSpec{})

	first := client.Tokens("alice", "openid offline_access").Text("refresh_token")
	second := client.Refresh(first)
	again := client.Refresh(first)
	if again.Status != 200 || again.Text("refresh_token") != second.Text("refresh_token") || again.Text("id_token") != second.Text("id_token") {
		t.Fatalf("the same answer: %d %s", again.Status, again.Body)
	}
	eventually(t, "the window ends, and the family with it", func() bool { return client.Refresh(first).Status == 400 })
	if answer := client.Refresh(second.Text("refresh_token")); answer.Text("error") != "invalid_grant" {
		t.Errorf("the family lives on: %d %s", answer.Status, answer.Body)
	}

	first = public.Tokens("alice", "openid offline_access").Text("refresh_token")
	successor := public.Refresh(first).Text("refresh_token")
	if answer := public.Refresh(first); answer.Text("error") != "invalid_grant" {
		t.Errorf("a client that proves nothing has no window: %d %s", answer.Status, answer.Body)
	}
	if answer := public.Refresh(successor); answer.Text("error") != "invalid_grant" {
		t.Errorf("its family lives on: %d %s", answer.Status, answer.Body)
	}

	first = client.Tokens("alice", "openid offline_access").Text("refresh_token")
	if answer := other.Refresh(first); answer.Status != 400 || answer.Text("error") != "invalid_grant" {
		t.Errorf("another's token: %d %s", answer.Status, answer.Body)
	}
	successor = client.Refresh(first).Text("refresh_token")
	if successor == "" {
		t.Fatal("another's attempt must not cost the owner the token")
	}
	if answer := other.Refresh(first); answer.Text("error") != "invalid_grant" {
		t.Errorf("a spent token from another client: %d %s", answer.Status, answer.Body)
	}
	if answer := client.Refresh(successor); answer.Text("error") != "invalid_grant" {
		t.Error("a spent token in another's hands was stolen: the family ends")
	}
}

func TestACodeUsedTwiceEndsWhatWasIssuedForIt(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 10*time.Second)
		org := replicas[0].In("default")
		replicas[0].User(org, "alice")
		client := replicas[0].Client(org, manage.ClientSpec{SkipConsent: true})
		code := client.Visitor().Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
		tokens := client.Redeem(code)
		if !client.Active(tokens.Text("access_token")) || !client.Active(tokens.Text("refresh_token")) {
			t.Fatal("fresh tokens are active")
		}
		if answer := client.Redeem(code); answer.Status != 400 || answer.Text("error") != "invalid_grant" {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		for _, replica := range replicas {
			for _, token := range []string{"access_token", "refresh_token"} {
				answer := client.PostAt(replica, "/oauth2/introspect", "token", tokens.Text(token))
				if answer.JSON()["active"] != false || len(answer.JSON()) != 1 {
					t.Errorf("%s: %s", token, answer.Body)
				}
			}
			if answer := client.TokenAt(replica, "grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token")); answer.Text("error") != "invalid_grant" {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		}
	})
}

// familySize counts the refresh tokens of the family that a token belongs to.
func familySize(t *testing.T, house *servertest.House, token string) int {
	t.Helper()
	size, err := house.FamilySize(token)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// eventually waits for something that only time brings about: a row's stamp against a real database's clock.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !is(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(what + ": not within ten seconds")
		}
	}
}
