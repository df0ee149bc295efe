#include "schedule.h"

#include <assert.h>

static void fill(struct heap *heap, int count)
{
    for (int i = 0; i < count; i++)
        heap_push(heap, (i * 7919) % 101, i);
}

static void test_order(void)
{
    struct heap heap = {0};
    long last = -1, key;
    int value, seen = 0;
    fill(&heap, 100);
    while (heap_pop(&heap, &key, &value)) {
        assert(key >= last);
        last = key;
        seen++;
    }
    assert(seen == 100);
}

int main(void)
{
    test_order();
    return 0;
}
