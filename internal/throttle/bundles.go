package throttle

import "sync"

// Bundles makes of many uses of a limit one: whoever has taken a bundle uses it up before the next is taken. What counts for all
// replicas is counted in few writes so. It is safe for concurrent use.
type Bundles struct {
	size int
	mu   sync.Mutex
	left map[string]int
}

// NewBundles returns bundles of so many uses each.
func NewBundles(size int) *Bundles { return &Bundles{size: size, left: make(map[string]int)} }

// Take uses one of a subject's bundle, and takes a new one where there is none left.
func (b *Bundles) Take(subject string, bundle func() error) error {
	b.mu.Lock()
	if b.left[subject] > 0 {
		b.left[subject]--
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	if err := bundle(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.left) >= mostSubjects {
		clear(b.left) // what was left of them is lost
	}
	b.left[subject] += b.size - 1
	return nil
}
