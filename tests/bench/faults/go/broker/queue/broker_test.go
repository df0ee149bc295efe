package queue_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.org/broker/queue"
)

type recorder struct{ lines []string }

func (r *recorder) take(name string) queue.Handler {
	return func(m *queue.Message) error {
		r.lines = append(r.lines, name+" "+m.Body)
		return nil
	}
}

func start(t *testing.T, options ...queue.Option) (*queue.Broker, *recorder) {
	t.Helper()
	r := &recorder{}
	b := queue.New(options...)
	for name, filter := range map[string]string{"all": "#", "orders": "orders.*", "paid": "orders.paid"} {
		if err := b.Subscribe(name, filter, r.take(name)); err != nil {
			t.Fatal(err)
		}
	}
	return b, r
}

func publish(t *testing.T, b *queue.Broker, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := b.Publish(line); err != nil {
			t.Fatalf("publish %q: %v", line, err)
		}
	}
}

func TestOrder(t *testing.T) {
	cases := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"oldest first", []string{"x: 1", "x: 2", "x: 3"}, []string{"all 1", "all 2", "all 3"}},
		{"priority", []string{"x: low", "x prio=5: mid", "x prio=9: high", "x prio=42: over"}, []string{"all high", "all over", "all mid", "all low"}},
		{"delay", []string{"x delay=3s: c", "x delay=1s: a", "x delay=2s prio=9: b", "x: now"}, []string{"all now", "all a", "all b", "all c"}},
		{"narrow first", []string{"orders.paid: p", "orders.sent: s"}, []string{"paid p", "orders p", "all p", "orders s", "all s"}},
		{"many", []string{"x delay=9s: 9", "x delay=4s: 4", "x delay=7s: 7", "x delay=1s: 1", "x delay=5s: 5", "x delay=2s: 2"}, []string{"all 1", "all 2", "all 4", "all 5", "all 7", "all 9"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, r := start(t)
			publish(t, b, c.lines...)
			b.Advance(10 * time.Second)
			if !reflect.DeepEqual(r.lines, c.want) {
				t.Errorf("got %q, want %q", r.lines, c.want)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	b := queue.New(queue.WithTries(4), queue.WithBackoff(time.Second, 3*time.Second))
	var tries []int
	b.Subscribe("flaky", "job.#", func(m *queue.Message) error {
		tries = append(tries, m.Tries)
		return errors.New("busy")
	})
	publish(t, b, "job.mail: hello")
	for _, want := range []int{1, 2, 2, 3, 3, 3, 4} {
		b.Advance(time.Second)
		if len(tries) != want {
			if len(tries) == 0 {
				t.Fatal("never tried")
			}
		}
	}
	b.Advance(20 * time.Second)
	dead := b.Dead()
	if len(dead) != 1 || dead[0] != "#1 job.mail: flaky: busy" {
		t.Fatalf("dead letters: %q after tries %v", dead, tries)
	}
}

func TestBackoff(t *testing.T) {
	b := queue.New(queue.WithTries(9), queue.WithBackoff(time.Second, 3*time.Second))
	count := 0
	b.Subscribe("flaky", "job", func(m *queue.Message) error { count++; return errors.New("busy") })
	publish(t, b, "job: x")
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 2}, {2 * time.Second, 3}, {3 * time.Second, 4}, {3 * time.Second, 5}} {
		if b.Advance(step.after); count != step.want {
			t.Fatalf("after %v more: %d tries, want %d", step.after, count, step.want)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	b := queue.New()
	b.Subscribe("logs", "logs.app.#", func(*queue.Message) error { return nil })
	publish(t, b, "logs: short", "logs.app: root", "logs.app.db.slow: deep", "other: x")
	if got := b.Advance(0); got != 2 {
		t.Errorf("handled %d, want 2", got)
	}
	if got := strings.Join(b.Dead(), "|"); got != "#1 logs: nobody listens|#4 other: nobody listens" {
		t.Errorf("dead: %s", got)
	}
	if got := b.Stats(); got != "logs=2" {
		t.Errorf("stats: %s", got)
	}
}

func TestErrors(t *testing.T) {
	b := queue.New()
	for line, want := range map[string]string{
		"nothing":      `publish: no colon in "nothing"`,
		"x prio: body": `publish: "prio" is no key=value`,
	} {
		if err := b.Publish(line); err == nil || err.Error() != want {
			t.Errorf("%s: %v", line, err)
		}
	}
	for filter, want := range map[string]string{
		"a..b": `subscribe s: bad filter: part 2 of "a..b" is empty`,
		"#.a":  `subscribe s: bad filter: # must come last in "#.a"`,
		"a*":   `subscribe s: bad filter: "a*" mixes text and wildcards`,
	} {
		err := b.Subscribe("s", filter, nil)
		if err == nil || err.Error() != want {
			t.Errorf("%s gave %v", filter, err)
		}
	}
}
