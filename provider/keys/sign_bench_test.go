package keys

import (
	"encoding/json"
	"testing"
	"time"
)

// The cost of a token beside that of its bare signature: what is between them is ours.
func BenchmarkSign(b *testing.B) {
	claims := map[string]any{
		"iss": "https://id.example/o/acme", "sub": "0b5f5d2e-8a65-4a35-9d0c-6a9f0f6f9a00", "aud": "3kq7w2", "exp": time.Now().Unix(), "iat": time.Now().Unix(),
		"nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "auth_time": time.Now().Unix(), "sid": "x",
	}
	for _, alg := range Algorithms() {
		m := mustGenerate(b, alg)
		input := make([]byte, 500)
		b.Run(alg+"/signature", func(b *testing.B) {
			for b.Loop() {
				if _, err := m.sign(input); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/token", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				payload, err := json.Marshal(claims)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := m.compact("JWT", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
