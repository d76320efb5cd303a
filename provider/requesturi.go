package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

const (
	// maxObjectAnswer is what is read of an answer, in bytes.
	maxObjectAnswer = 64 << 10
	// maxObject is what is kept of it: more than that is no request object.
	maxObject = 16 << 10

	// objectPause is how often the address of a request object is asked at the most, whatever browsers name it.
	objectPause = time.Second
	// objectFor is how long a request object is kept at the most: one that is known by its digest, which does not change.
	objectFor = time.Hour
	// objectFresh is how long one is that may change, however much longer its server says.
	objectFresh = time.Minute

	maxObjects = 2000
)

// objectTypes are what a request object may be said to be (RFC 9101 §5.2.3 and §9.2, OpenID Connect Core 1.0 §6.2, which names none).
var objectTypes = []string{"application/oauth-authz-req+jwt", "application/jwt", "application/jose", "text/plain"}

// errRequestURI is the one answer to an address that gives no request object, for whichever reason (S-142).
var errRequestURI = fosite.ErrInvalidRequestURI.WithHint("There is no request object at the request_uri.")

// requestObjects fetches the request objects that clients keep at an address of theirs (OpenID Connect Core 1.0 §6.2, RFC 9101 §5.2).
type requestObjects struct {
	client *outbound.Client

	mu    sync.Mutex
	known map[objectName]*remoteObject
}

// objectName is of one client: what one keeps, another does not see. The address has no fragment.
type objectName struct {
	client uuid.UUID
	uri    string
}

type remoteObject struct {
	text     string
	digest   string    // of text, as a fragment has it
	fresh    time.Time // until when text may be used without being asked for by its digest
	tried    time.Time // when the last fetch ended
	err      error     // and with what
	fetching chan struct{}
}

func newRequestObjects(client *outbound.Client) *requestObjects {
	return &requestObjects{client: client, known: make(map[objectName]*remoteObject)}
}

// get returns what stands at one of the addresses that a client is registered with. Its fragment is no part of the address: it says which
// of the contents is meant: one that is known by another digest is asked for again.
func (r *requestObjects) get(ctx context.Context, client *fositestore.Client, uri string) (string, error) {
	address, fragment, _ := strings.Cut(uri, "#")
	registered := slices.ContainsFunc(client.RequestURIs(), func(one string) bool {
		one, _, _ = strings.Cut(one, "#")
		return one == address
	})
	if !registered {
		return "", fosite.ErrInvalidRequestURI.WithHint("The request_uri is not registered for this client.")
	}
	digest := ""
	if sum, err := base64url.Decode(fragment); err == nil && len(sum) == sha256.Size {
		digest = fragment
	}
	name := objectName{client.ID, address}
	for {
		text, wait, err := r.look(ctx, name, digest)
		if wait == nil {
			return text, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// look returns what is known, or a channel that is closed when more may be.
func (r *requestObjects) look(ctx context.Context, name objectName, digest string) (text string, wait chan struct{}, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	object := r.known[name]
	if object == nil {
		if len(r.known) >= maxObjects {
			r.evict(now)
		}
		object = &remoteObject{}
		r.known[name] = object
	}
	meant := object.text != "" && (digest == "" || digest == object.digest)
	lately := !object.tried.IsZero() && now.Sub(object.tried) < objectPause
	switch {
	case object.fetching != nil:
		return "", object.fetching, nil
	case meant && (now.Before(object.fresh) || digest != "" && now.Sub(object.tried) < objectFor):
		return object.text, nil, nil
	case lately && object.err == nil: // what stands there now, whatever a fragment says: some are no digest, and what is signed needs none
		return object.text, nil, nil
	case lately:
		return "", nil, errRequestURI.WithWrap(object.err)
	}
	object.fetching = make(chan struct{})
	// Detached: somebody who hangs up must not spend the fetch of all others.
	go r.fetch(context.WithoutCancel(ctx), object, name.uri)
	return "", object.fetching, nil
}

func (r *requestObjects) fetch(ctx context.Context, object *remoteObject, uri string) {
	began := time.Now()
	text, keep, err := r.read(ctx, uri)
	sum := sha256.Sum256([]byte(text))
	r.mu.Lock()
	defer r.mu.Unlock()
	object.text, object.err = text, err
	object.digest = base64.RawURLEncoding.EncodeToString(sum[:])
	object.fresh, object.tried = began.Add(keep), time.Now()
	close(object.fetching)
	object.fetching = nil
}

// read fetches a request object, and says for how long it may be kept.
func (r *requestObjects) read(ctx context.Context, uri string) (text string, keep time.Duration, err error) {
	body, header, err := r.client.Fetch(ctx, uri, strings.Join(objectTypes, ", "), maxObjectAnswer)
	if err != nil {
		return "", 0, err
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case err != nil || !slices.Contains(objectTypes, kind):
		return "", 0, errors.New("it is said to be something else")
	case len(body) == 0 || len(body) > maxObject:
		return "", 0, errors.New("it is empty, or longer than a request object may be")
	}
	return string(body), freshFor(header), nil
}

// freshFor reads for how long an answer may be used again (RFC 9111 §5.2.2), within bounds. One that does not say it, may not.
func freshFor(header http.Header) time.Duration {
	var keep time.Duration
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				keep = min(time.Duration(seconds)*time.Second, objectFresh)
			}
		}
	}
	return keep
}

// evict makes room: what nobody asked for lately goes, and if that is nothing, what comes to hand. It costs the next who asks a fetch.
func (r *requestObjects) evict(now time.Time) {
	for name, object := range r.known {
		if object.fetching == nil && now.Sub(object.tried) > objectFor {
			delete(r.known, name)
		}
	}
	for name, object := range r.known {
		if len(r.known) < maxObjects*3/4 {
			return
		}
		if object.fetching == nil {
			delete(r.known, name)
		}
	}
}
