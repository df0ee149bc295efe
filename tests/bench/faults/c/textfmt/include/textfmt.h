#ifndef TEXTFMT_H
#define TEXTFMT_H

#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

void buf_init(struct buf *b);
void buf_free(struct buf *b);
void buf_add(struct buf *b, const char *text, size_t len);
void buf_adds(struct buf *b, const char *text);
void buf_pad(struct buf *b, char c, size_t count);

size_t utf8_width(const char *text, size_t len);
size_t utf8_cut(const char *text, size_t columns);

char *wrap(const char *text, size_t columns);

enum align { ALIGN_LEFT, ALIGN_RIGHT, ALIGN_CENTRE };

struct table {
    size_t columns;
    const enum align *aligns;
};

char *table_format(const struct table *t, const char *const *cells, size_t rows);

#endif
