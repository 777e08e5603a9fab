package auth_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
)

func TestTheScopesThatWereAskedForAndHeldAreOnRecord(t *testing.T) {
	p := &auth.Principal{Scopes: []string{"a", "b", "c"}}
	p.ScopeUse = auth.NewScopeUse(p.Scopes)
	if p.HasScope("d") || !p.HasScope("c") || !p.HasScope("a") || !p.HasScope("c") || p.HasScope("") {
		t.Error("HasScope is wrong")
	}
	if got := p.ScopeUse.Take(); !reflect.DeepEqual(got, []string{"a", "c"}) {
		t.Errorf("%q", got)
	}
	if got := p.ScopeUse.Take(); got != nil {
		t.Errorf("taken twice: %q", got)
	}
	if err := auth.Authorize(p, "b a"); err != nil {
		t.Error(err)
	}
	if got := p.ScopeUse.Take(); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("Authorize: %q", got)
	}
	c := p.Clone() // somebody gives less, or something of their own
	c.Scopes = []string{"c", "x"}
	if !c.HasScope("x") || !c.HasScope("c") {
		t.Error("the changed clone")
	}
	if got := p.ScopeUse.Take(); !reflect.DeepEqual(got, []string{"c"}) {
		t.Errorf("by a clone: %q", got)
	}
	var none *auth.ScopeUse
	if none.Take() != nil || !(&auth.Principal{Scopes: []string{"a"}}).HasScope("a") {
		t.Error("without a record")
	}
}

func TestUsesOfManyScopesAtOnceAreAllOnRecord(t *testing.T) {
	var scopes []string
	for i := range 150 {
		scopes = append(scopes, fmt.Sprint("s", i))
	}
	p := &auth.Principal{Scopes: scopes, ScopeUse: auth.NewScopeUse(scopes)}
	var mu sync.Mutex
	var taken []string
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := i; j < len(scopes); j += 3 { // some are asked for by two
				p.HasScope(scopes[j])
				if j%10 == 0 {
					got := p.ScopeUse.Take()
					mu.Lock()
					taken = append(taken, got...)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	taken = append(taken, p.ScopeUse.Take()...)
	slices.Sort(taken)
	slices.Sort(scopes)
	if got := slices.Compact(taken); !slices.Equal(got, slices.Compact(slices.Clone(scopes))) {
		t.Errorf("%d of %d", len(got), len(scopes))
	}
}

// BenchmarkHasScope is what the record adds to a question that every request asks.
func BenchmarkHasScope(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		b.Run(fmt.Sprintf("recorded=%v", recorded), func(b *testing.B) {
			p := &auth.Principal{Scopes: []string{"models:read", "files:write", "chat:write"}}
			if recorded {
				p.ScopeUse = auth.NewScopeUse(p.Scopes)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !p.HasScope("chat:write") {
					b.Fatal("no")
				}
			}
		})
	}
}
