#include "schedule.h"

#include <stdlib.h>

static void swap(struct entry *a, struct entry *b)
{
    struct entry held = *a;
    *a = *b;
    *b = held;
}

static void sift_up(struct heap *heap, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (heap->entries[parent].key <= heap->entries[at].key)
            return;
        swap(&heap->entries[parent], &heap->entries[at]);
        at = parent;
    }
}

static void sift_down(struct heap *heap, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            return;
        if (child + 1 < heap->count && heap->entries[child + 1].key < heap->entries[child].key)
            child++;
        if (heap->entries[at].key <= heap->entries[child].key)
            return;
        swap(&heap->entries[at], &heap->entries[child]);
        at = child;
    }
}

void heap_push(struct heap *heap, long key, int value)
{
    if (heap->count == heap->room) {
        heap->room = heap->room ? heap->room * 2 : 8;
        heap->entries = realloc(heap->entries, heap->room * sizeof *heap->entries);
    }
    heap->entries[heap->count] = (struct entry){key, value};
    sift_up(heap, heap->count++);
}

bool heap_pop(struct heap *heap, long *key, int *value)
{
    if (heap->count == 0)
        return false;
    *key = heap->entries[0].key;
    *value = heap->entries[0].value;
    heap->entries[0] = heap->entries[--heap->count];
    sift_down(heap, 0);
    return true;
}
