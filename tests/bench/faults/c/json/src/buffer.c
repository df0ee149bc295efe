#include "json.h"

#include <stdlib.h>
#include <string.h>

static void reserve(buffer *b, size_t more)
{
    if (b->length + more + 1 <= b->room)
        return;
    size_t room = b->room ? b->room : 16;
    while (room < b->length + more + 1)
        room *= 2;
    b->bytes = realloc(b->bytes, room);
    b->room = room;
}

void buffer_add(buffer *b, const char *bytes, size_t length)
{
    reserve(b, length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
    b->bytes[b->length] = 0;
}

void buffer_char(buffer *b, char c)
{
    buffer_add(b, &c, 1);
}

char *buffer_take(buffer *b)
{
    reserve(b, 0);
    b->bytes[b->length] = 0;
    char *bytes = b->bytes;
    *b = (buffer){0};
    return bytes;
}
