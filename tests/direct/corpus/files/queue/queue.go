package queue

import "errors"

var ErrEmpty = errors.New("empty")

type Queue struct {
	items []int
}

type Stack struct {
	items []int
}

func (q *Queue) Push(item int) {
	q.items = append(q.items, item)
}

func (q *Queue) Pop() (int, error) {
	item := q.items[0]
	q.items = q.items[1:]
	return item, nil
}

func (s *Stack) Push(item int) {
	s.items = append(s.items, item)
}

func (s *Stack) Pop() (int, error) {
	if len(s.items) == 0 {
		return 0, ErrEmpty
	}
	last := len(s.items) - 1
	item := s.items[last]
	s.items = s.items[:last]
	return item, nil
}
