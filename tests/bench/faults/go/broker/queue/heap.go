package queue

// order is a binary heap: what is due first, then the higher priority, then the older message.
type order struct {
	items []*Message
}

func before(a, b *Message) bool {
	if a.Due != b.Due {
		return a.Due < b.Due
	}
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.ID < b.ID
}

func (o *order) len() int { return len(o.items) }

func (o *order) push(m *Message) {
	o.items = append(o.items, m)
	at := len(o.items) - 1
	for at > 0 {
		parent := (at - 1) / 2
		if !before(o.items[at], o.items[parent]) {
			break
		}
		o.items[at], o.items[parent] = o.items[parent], o.items[at]
		at = parent
	}
}

func (o *order) peek() *Message {
	if len(o.items) == 0 {
		return nil
	}
	return o.items[0]
}

func (o *order) pop() *Message {
	top := o.items[0]
	last := len(o.items) - 1
	o.items[0] = o.items[last]
	o.items = o.items[:last]
	at := 0
	for {
		child := 2*at + 1
		if child >= len(o.items) {
			break
		}
		if child+1 < len(o.items) && before(o.items[child+1], o.items[child]) {
			child++
		}
		if !before(o.items[child], o.items[at]) {
			break
		}
		o.items[at], o.items[child] = o.items[child], o.items[at]
		at = child
	}
	return top
}
