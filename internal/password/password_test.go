package password

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPasswordVerifiesAgainstItsOwnHashOnly(t *testing.T) {
	h := New(Options{})
	passwords := []string{
		"correct horse", "correct horse ", "Correct horse", "correct horse\x00", strings.Repeat("x", 72), strings.Repeat("x", 73),
		strings.Repeat("y", MaxLength), strings.Repeat("y", MaxLength-1) + "z", "pässwörter", "🦄🦄🦄🦄",
	}
	for i, p := range passwords {
		phc, err := h.Hash(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(phc, p) {
			t.Errorf("the hash shows the password: %s", phc)
		}
		for j, q := range passwords[:min(i+2, len(passwords))] {
			if j < i-1 {
				continue // each against its neighbours, which differ least
			}
			if ok, outdated, err := h.Verify(t.Context(), q, phc); ok != (i == j) || outdated || err != nil {
				t.Errorf("Verify(%.20q, hash of %.20q) = %v, %v, %v", q, p, ok, outdated, err)
			}
		}
	}
}

func TestAHashIsSaltedAndNamesItsParameters(t *testing.T) {
	h := New(Options{})
	a, errA := h.Hash(t.Context(), "same password")
	b, errB := h.Hash(t.Context(), "same password")
	if errA != nil || errB != nil || a == b {
		t.Fatalf("%q, %v and %q, %v", a, errA, b, errB)
	}
	if !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("form: %s", a)
	}
}

func TestWhatAHashTakesIsDecidedAndAHashThatTookOtherwiseIsOutdated(t *testing.T) {
	plain, costly := New(Options{}), New(Options{Memory: 32 << 10})
	before, err := plain.Hash(t.Context(), "same password")
	if err != nil {
		t.Fatal(err)
	}
	after, err := costly.Hash(t.Context(), "same password")
	if err != nil || !strings.HasPrefix(after, "$argon2id$v=19$m=32768,t=2,p=1$") {
		t.Fatalf("%q, %v", after, err)
	}
	for phc, want := range map[string]bool{before: true, after: false} {
		if ok, outdated, err := costly.Verify(t.Context(), "same password", phc); !ok || outdated != want || err != nil {
			t.Errorf("Verify of %.30s = %v, %v, %v", phc, ok, outdated, err)
		}
	}
}

// The vector is one of those that the reference implementation tests itself with (phc-winner-argon2, src/test.c).
func TestAHashMadeElsewhereVerifiesAndIsOutdated(t *testing.T) {
	h := New(Options{})
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, outdated, err := h.Verify(t.Context(), "password", phc); !ok || !outdated || err != nil {
		t.Errorf("Verify = %v, %v, %v", ok, outdated, err)
	}
	if ok, outdated, err := h.Verify(t.Context(), "passwore", phc); ok || outdated || err != nil {
		t.Errorf("Verify of another = %v, %v, %v", ok, outdated, err)
	}
}

func TestNothingVerifiesAgainstNone(t *testing.T) {
	h := New(Options{})
	for _, p := range []string{"", None, "password"} {
		if ok, _, err := h.Verify(t.Context(), p, None); ok || err != nil {
			t.Errorf("Verify(%q, None) = %v, %v", p, ok, err)
		}
	}
}

func TestATooLongPasswordNeverVerifies(t *testing.T) {
	h := New(Options{})
	long := strings.Repeat("a", MaxLength+1)
	if _, err := h.Hash(t.Context(), long); !errors.Is(err, ErrTooLong) {
		t.Errorf("Hash: %v", err)
	}
	phc, err := h.Hash(t.Context(), long[:MaxLength])
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := h.Verify(t.Context(), long, phc); ok || err != nil {
		t.Errorf("Verify of what begins like the password = %v, %v", ok, err)
	}
}

func TestAMalformedOrBoundlessHashIsRefusedBeforeAnyWork(t *testing.T) {
	h := New(Options{Slots: 1, Wait: time.Nanosecond})
	h.slots <- struct{}{} // whoever tries to work is busy
	good := "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if _, _, err := h.Verify(t.Context(), "password", good); !errors.Is(err, ErrBusy) {
		t.Fatalf("the good one: %v", err)
	}
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, phc := range []string{
		"", "!!", "$", "password", "$2a$10$abcdefghijklmnopqrstuv", good + "$", good[1:], " " + good, good + "\n", good[:60] + "\r\n" + good[60:],
		replace("v=19", "v=16"), replace("v=19", "v=019"),
		replace("m=19456", "m=4194304"), replace("m=19456", "m=262145"), replace("m=19456", "m=7"), replace("m=19456", "m=0"),
		replace("m=19456", "m=-1"), replace("m=19456", "m=+19456"), replace("m=19456", "m=019456"), replace("m=19456", "m="),
		replace("m=19456", "m=99999999999999999999"), replace("t=2", "t=11"), replace("t=2", "t=4294967296"), replace("t=2", "t=0"),
		replace("p=1", "p=5"), replace("p=1", "p=0"), replace("p=1", "p=256"), replace("p=1", "p=1,x=2"), replace("m=19456,t=2", "t=2,m=19456"),
		replace("$AAAAAAAAAAAAAAAAAAAAAA$", "$AAAA$"), replace("$AAAAAAAAAAAAAAAAAAAAAA$", "$$"), replace("$AAAAAAAAAAAAAAAAAAAAAA$", "$!!!!!!!!!!!!!!!!!!!!!!$"),
		replace("$AAAAAAAAAAAAAAAAAAAAAA$", "$"+strings.Repeat("A", 1<<20)+"$"), good[:len(good)-30],
	} {
		if ok, _, err := h.Verify(t.Context(), "password", phc); ok || !errors.Is(err, ErrMalformed) {
			t.Errorf("%.80q: %v, %v", phc, ok, err)
		}
	}
}

func TestWhoFindsNoSlotInTimeIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Slots: 2})
		h.slots <- struct{}{}
		h.slots <- struct{}{}
		start := time.Now()
		if err := h.Decoy(t.Context(), "password"); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("after %v", waited)
		}
		if h.waiting.Load() != 0 {
			t.Error("still counted as waiting")
		}
	})
}

func TestWhoeverWaitsGetsTheSlotThatFallsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Slots: 1})
		h.slots <- struct{}{}
		go func() {
			time.Sleep(1900 * time.Millisecond)
			<-h.slots
		}()
		if err := h.Decoy(t.Context(), "password"); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullQueueRefusesAtOnceAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Slots: 1, Queue: 3})
		h.slots <- struct{}{}
		for range 3 {
			go func() { _, _ = h.enter(t.Context(), false) }()
		}
		synctest.Wait()
		start := time.Now()
		if err := h.Decoy(t.Context(), "password"); !errors.Is(err, ErrBusy) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(3 * time.Second) // the three give up
		<-h.slots
		if err := h.Decoy(t.Context(), "password"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestACancelledCallerLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Slots: 1})
		h.slots <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := h.Verify(ctx, "password", None); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		<-h.slots
		if err := h.Decoy(ctx, "password"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a free slot: %v", err)
		}
		if h.waiting.Load() != 0 || len(h.slots) != 0 {
			t.Error("something is still held")
		}
	})
}

func TestHashesAtOnceNeverExceedTheSlots(t *testing.T) {
	const slots, callers = 2, 24
	h := New(Options{Slots: slots, Wait: time.Minute})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	var peak atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for h.waiting.Load() > 0 || peak.Load() == 0 {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapSys-now.HeapReleased))
			if in := len(h.slots); in > slots {
				t.Errorf("%d at once", in)
			}
			runtime.Gosched()
		}
	}()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := h.Decoy(t.Context(), "password"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	<-done
	// Two of 19 MiB in use and as much again that the collector has not fetched yet, with room to spare; all of them would be 456 MiB.
	if got := int64(peak.Load()) - int64(before.HeapSys-before.HeapReleased); got > 200<<20 {
		t.Errorf("the heap grew by %d MiB", got>>20)
	}
}

func TestAPasswordIsJudgedByLengthAndCommonness(t *testing.T) {
	for password, want := range map[string]error{
		"":                                ErrTooShort,
		"1234567":                         ErrTooShort,
		"password":                        ErrCommon,
		"PassWord":                        ErrCommon,
		"P@ssw0rd":                        ErrCommon,
		"12345678":                        ErrCommon,
		"qwertyuiop":                      ErrCommon,
		"iloveyou":                        ErrCommon,
		"$$$$$$$$$$$$":                    ErrCommon,
		"ab1cd2ef":                        nil,
		"correct horse":                   nil,
		"        x":                       nil,
		"🦄🦄🦁":                             nil,
		"with\x00nul":                     nil,
		"caf\xe9 au lait":                 ErrNoText,
		strings.Repeat("ab", 32):          nil,
		strings.Repeat("ab", 512):         nil,
		strings.Repeat("ab", 512) + "c":   ErrTooLong,
		strings.Repeat("ab", 1<<19):       ErrTooLong,
		strings.Repeat("a", MinLength+20): ErrCommon,
	} {
		if got := Check(password); !errors.Is(got, want) {
			t.Errorf("Check(%.30q) = %v, want %v", password, got, want)
		}
	}
}

func TestTheListOfCommonPasswordsIsWellFormed(t *testing.T) {
	if len(common()) < 500 {
		t.Fatalf("only %d", len(common()))
	}
	for word := range common() {
		if len(word) < MinLength || word != strings.ToLower(word) || strings.ContainsAny(word, " \t\r") {
			t.Errorf("%q can never be met", word)
		}
	}
}

func FuzzStoredHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=262144,t=10,p=4$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("!")
	f.Fuzz(func(t *testing.T, phc string) {
		p, salt, tag, err := parse(phc)
		if err != nil {
			return
		}
		if p.memory > 256<<10 || p.time > 10 || p.threads > 4 || p.time == 0 || p.threads == 0 || len(salt) < 8 || len(tag) < 16 {
			t.Fatalf("out of bounds: %+v", p)
		}
		if again := format(p, salt, tag); again != phc {
			t.Fatalf("%q is read like %q", phc, again)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	h := New(Options{})
	phc, err := h.Hash(b.Context(), fmt.Sprint(rand.Uint64()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, _, _ = h.Verify(b.Context(), "password", phc)
	}
}
