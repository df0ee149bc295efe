package store

type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next *node[K, V]
}

// LRU keeps the entries that were used last.
type LRU[K comparable, V any] struct {
	limit   int
	nodes   map[K]*node[K, V]
	root    node[K, V]
	onEvict func(K, V)
}

// NewLRU makes a cache of a limited size.
func NewLRU[K comparable, V any](limit int, onEvict func(K, V)) *LRU[K, V] {
	c := &LRU[K, V]{limit: limit, nodes: make(map[K]*node[K, V]), onEvict: onEvict}
	c.root.prev, c.root.next = &c.root, &c.root
	return c
}

func (c *LRU[K, V]) unlink(n *node[K, V]) {
	n.prev.next = n.next
	n.next.prev = n.prev
}

func (c *LRU[K, V]) pushFront(n *node[K, V]) {
	n.prev = &c.root
	n.next = c.root.next
	n.prev.next = n
	n.next.prev = n
}

// Get finds an entry and marks it as used.
func (c *LRU[K, V]) Get(key K) (V, bool) {
	n, ok := c.nodes[key]
	if !ok {
		var zero V
		return zero, false
	}
	c.unlink(n)
	c.pushFront(n)
	return n.value, true
}

// Put adds or replaces an entry.
func (c *LRU[K, V]) Put(key K, value V) {
	if n, ok := c.nodes[key]; ok {
		n.value = value
		c.unlink(n)
		c.pushFront(n)
		return
	}
	if len(c.nodes) >= c.limit {
		c.evict()
	}
	n := &node[K, V]{key: key, value: value}
	c.nodes[key] = n
	c.pushFront(n)
}

func (c *LRU[K, V]) evict() {
	oldest := c.root.prev
	c.unlink(oldest)
	delete(c.nodes, oldest.key)
	if c.onEvict != nil {
		c.onEvict(oldest.key, oldest.value)
	}
}

// Keys lists the keys, the one used last first.
func (c *LRU[K, V]) Keys() []K {
	keys := make([]K, 0, len(c.nodes))
	for n := c.root.next; n != &c.root; n = n.next {
		keys = append(keys, n.key)
	}
	return keys
}
