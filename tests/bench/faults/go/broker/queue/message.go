package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Message is what travels.
type Message struct {
	ID       int
	Topic    string
	Body     string
	Priority int
	Due      time.Duration
	Tries    int
	Headers  map[string]string
}

func (m *Message) String() string {
	return fmt.Sprintf("#%d %s", m.ID, m.Topic)
}

// Decode reads "topic [key=value ...]: body". Known keys are prio and delay; others become headers.
func Decode(line string) (*Message, error) {
	head, body, found := strings.Cut(line, ":")
	if !found {
		return nil, fmt.Errorf("no colon in %q", line)
	}
	fields := strings.Fields(head)
	if len(fields) == 0 {
		return nil, fmt.Errorf("no topic in %q", line)
	}
	message := &Message{Topic: fields[0], Body: strings.TrimSpace(body), Headers: map[string]string{}}
	for _, field := range fields[1:] {
		key, value, found := strings.Cut(field, "=")
		if !found {
			return nil, fmt.Errorf("%q is no key=value", field)
		}
		switch strings.ToLower(key) {
		case "prio":
			number, err := strconv.Atoi(value)
			if err != nil {
				return nil, fmt.Errorf("prio: %w", err)
			}
			message.Priority = clamp(number, 0, 9)
		case "delay":
			delay, err := time.ParseDuration(value)
			if err != nil {
				return nil, fmt.Errorf("delay: %w", err)
			}
			message.Due = delay
		default:
			message.Headers[key] = value
		}
	}
	return message, nil
}

func clamp[T int | float64](value, low, high T) T {
	if value < low {
		return low
	}
	if value > high {
		return high
	}
	return value
}
