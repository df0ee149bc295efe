#include "buffer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(buffer *b)
{
    b->data = NULL;
    b->used = 0;
    b->room = 0;
}

void buffer_free(buffer *b)
{
    free(b->data);
    buffer_init(b);
}

static void reserve(buffer *b, size_t more)
{
    size_t need = b->used + more + 1;
    if (need <= b->room)
        return;
    size_t room = b->room ? b->room : 16;
    while (room < need)
        room *= 2;
    b->data = realloc(b->data, room);
    b->room = room;
}

void buffer_add(buffer *b, const char *text, size_t length)
{
    reserve(b, length);
    memcpy(b->data + b->used, text, length);
    b->used += length;
    b->data[b->used] = '\0';
}

void buffer_puts(buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

void buffer_putc(buffer *b, char c)
{
    buffer_add(b, &c, 1);
}

void buffer_trim(buffer *b)
{
    while (b->used > 0 && isspace((unsigned char)b->data[b->used - 1]))
        b->used--;
    if (b->data)
        b->data[b->used] = '\0';
}

char *buffer_take(buffer *b)
{
    reserve(b, 0);
    b->data[b->used] = '\0';
    char *data = b->data;
    buffer_init(b);
    return data;
}
