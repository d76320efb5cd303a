package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often handshakes have the files looked at. It bounds what strangers can have read.
const lookEvery = time.Second

// A Keeper has the pair that is served with, and takes up a new one when the files change. It is safe for concurrent use.
type Keeper struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   [2]fs.FileInfo // the files as they were when they were last read
	broken string         // what was wrong with them then, "" if nothing was
	looked time.Time
}

// Open reads the files, and keeps what they hold.
func Open(certFile, keyFile string, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	k.seen = k.stat() // before they are read: what is written meanwhile is read again
	var err error
	if k.pair, err = Load(certFile, keyFile); err != nil {
		return nil, err
	}
	return k, nil
}

// Config is how connections are made: TLS 1.3 with whoever speaks it, else TLS 1.2 with ECDHE and AES-GCM (RFC 9325 §4.2). The suites of
// TLS 1.3 are not for choosing, and all of them are good.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current(), nil },
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// Leaf is the certificate that is served with.
func (k *Keeper) Leaf() *x509.Certificate { return k.current().Leaf }

// current looks whether the files have changed, a second after it last did. Files that cannot be served with leave everything as it was:
// they are told of once, and looked at again, for of two files one is written first.
func (k *Keeper) current() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.looked) < lookEvery {
		return k.pair
	}
	k.looked = now
	found := k.stat()
	if k.broken == "" && same(found[0], k.seen[0]) && same(found[1], k.seen[1]) {
		return k.pair
	}
	k.seen = found
	pair, err := Load(k.certFile, k.keyFile)
	if err != nil {
		if err.Error() != k.broken {
			k.log.Error("the new certificate cannot be served with; the one before is kept", "cause", err, "kept_until", k.pair.Leaf.NotAfter)
		}
		k.broken = err.Error()
		return k.pair
	}
	k.broken = ""
	if !pair.Leaf.Equal(k.pair.Leaf) {
		k.log.Info("a new certificate is served with", "serial", fmt.Sprintf("%x", pair.Leaf.SerialNumber), "expires", pair.Leaf.NotAfter)
	}
	k.pair = pair
	return k.pair
}

func (k *Keeper) stat() (found [2]fs.FileInfo) {
	for i, name := range []string{k.certFile, k.keyFile} {
		if info, err := os.Stat(name); err == nil { // one that is not there is not the same as before
			found[i] = info
		}
	}
	return found
}

// same reports whether a file was not written to or replaced in between. Where certificates are changed by a symbolic link, it is another file.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
