#include "ring.h"

#define SIZE 8

static int items[SIZE];
static int head, count;

int ring_put(int item)
{
    items[(head + count) % SIZE] = item;
    count++;
    return 0;
}

int ring_get(int *item)
{
    if (count == 0)
        return -1;
    *item = items[head];
    head = (head + 1) % SIZE;
    count--;
    return 0;
}
