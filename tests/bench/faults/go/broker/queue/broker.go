// Package queue hands messages to subscribers, with delays, priorities and retries.
package queue

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"example.org/broker/topic"
)

// Handler deals with a message.
type Handler func(*Message) error

type subscription struct {
	name    string
	filter  topic.Filter
	handler Handler
}

// Limits bound what a broker does.
type Limits struct {
	Tries   int
	Backoff time.Duration
	Ceiling time.Duration
}

// Broker is the queue and who listens to it.
type Broker struct {
	limits  Limits
	now     time.Duration
	next    int
	waiting order
	subs    []subscription
	dead    []*Message
	counts  map[string]int
}

// Option changes a new broker.
type Option func(*Broker)

// WithTries sets how often a message is handed out.
func WithTries(count int) Option { return func(b *Broker) { b.limits.Tries = count } }

// WithBackoff sets the first pause and the longest.
func WithBackoff(first, ceiling time.Duration) Option {
	return func(b *Broker) {
		b.limits.Backoff = first
		b.limits.Ceiling = ceiling
	}
}

// New makes a broker.
func New(options ...Option) *Broker {
	broker := &Broker{
		limits: Limits{Tries: 3, Backoff: time.Second, Ceiling: time.Minute},
		counts: map[string]int{},
	}
	for _, option := range options {
		option(broker)
	}
	return broker
}

// Subscribe adds a handler; narrower filters are asked first.
func (b *Broker) Subscribe(name, filter string, handler Handler) error {
	parsed, err := topic.Parse(filter)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", name, err)
	}
	b.subs = append(b.subs, subscription{name, parsed, handler})
	sort.SliceStable(b.subs, func(i, j int) bool { return b.subs[i].filter.Narrower(b.subs[j].filter) })
	return nil
}

// Publish reads a line and queues the message.
func (b *Broker) Publish(line string) error {
	message, err := Decode(line)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	b.next++
	message.ID = b.next
	message.Due += b.now
	b.waiting.push(message)
	return nil
}

// Advance moves the clock and hands out what is due.
func (b *Broker) Advance(by time.Duration) (handled int) {
	until := b.now + by
	for {
		top := b.waiting.peek()
		if top == nil || top.Due > until {
			break
		}
		b.waiting.pop()
		if top.Due > b.now {
			b.now = top.Due
		}
		if b.deliver(top) {
			handled++
		}
	}
	b.now = until
	return handled
}

func (b *Broker) deliver(message *Message) bool {
	message.Tries++
	var problems []string
	taken := 0
	for _, sub := range b.subs {
		if !sub.filter.Matches(message.Topic) {
			continue
		}
		taken++
		if err := sub.handler(message); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", sub.name, err))
			continue
		}
		b.counts[sub.name]++
	}
	switch {
	case taken == 0:
		message.Headers["reason"] = "nobody listens"
		b.dead = append(b.dead, message)
		return false
	case len(problems) == 0:
		return true
	case message.Tries >= b.limits.Tries:
		message.Headers["reason"] = strings.Join(problems, "; ")
		b.dead = append(b.dead, message)
		return false
	}
	message.Due = b.now + b.pause(message.Tries)
	b.waiting.push(message)
	return false
}

// pause doubles from try to try.
func (b *Broker) pause(tries int) time.Duration {
	pause := b.limits.Backoff
	for i := 1; i < tries; i++ {
		pause *= 2
		if pause > b.limits.Ceiling {
			return b.limits.Ceiling
		}
	}
	return pause
}

// Dead lists what could not be delivered, and why.
func (b *Broker) Dead() []string {
	var lines []string
	for _, message := range b.dead {
		lines = append(lines, fmt.Sprintf("%v: %s", message, message.Headers["reason"]))
	}
	return lines
}

// Stats gives what each subscriber took, by name.
func (b *Broker) Stats() string {
	names := make([]string, 0, len(b.counts))
	for name := range b.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	var out strings.Builder
	for index, name := range names {
		if index > 0 {
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%s=%d", name, b.counts[name])
	}
	return out.String()
}
