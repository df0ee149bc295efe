#ifndef BUFFER_H
#define BUFFER_H
#include <stddef.h>

typedef struct buffer {
    char *data;
    size_t used;
    size_t room;
} buffer;

void buffer_init(buffer *b);
void buffer_free(buffer *b);
void buffer_add(buffer *b, const char *text, size_t length);
void buffer_puts(buffer *b, const char *text);
void buffer_putc(buffer *b, char c);
void buffer_trim(buffer *b);
char *buffer_take(buffer *b);
#endif
