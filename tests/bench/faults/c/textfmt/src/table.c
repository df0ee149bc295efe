#include "textfmt.h"

#include <stdlib.h>
#include <string.h>

typedef void (*pad_fn)(struct buf *out, const char *cell, size_t len, size_t room);

static void pad_left(struct buf *out, const char *cell, size_t len, size_t room)
{
    buf_add(out, cell, len);
    buf_pad(out, ' ', room);
}

static void pad_right(struct buf *out, const char *cell, size_t len, size_t room)
{
    buf_pad(out, ' ', room);
    buf_add(out, cell, len);
}

static void pad_centre(struct buf *out, const char *cell, size_t len, size_t room)
{
    size_t before = room / 2;

    buf_pad(out, ' ', before);
    buf_add(out, cell, len);
    buf_pad(out, ' ', room - before);
}

static const pad_fn PADS[] = {
    [ALIGN_LEFT] = pad_left,
    [ALIGN_RIGHT] = pad_right,
    [ALIGN_CENTRE] = pad_centre,
};

static size_t *measure(const struct table *t, const char *const *cells, size_t rows)
{
    size_t *widths = calloc(t->columns, sizeof *widths);

    for (size_t i = 0; i < rows * t->columns; i++) {
        size_t width = utf8_width(cells[i], strlen(cells[i]));
        size_t column = i % t->columns;
        if (width > widths[column])
            widths[column] = width;
    }
    return widths;
}

char *table_format(const struct table *t, const char *const *cells, size_t rows)
{
    struct buf out;
    size_t *widths = measure(t, cells, rows);

    buf_init(&out);
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < t->columns; column++) {
            const char *cell = cells[row * t->columns + column];
            size_t len = strlen(cell);
            size_t room = widths[column] - utf8_width(cell, len);

            if (column)
                buf_adds(&out, " | ");
            PADS[t->aligns[column]](&out, cell, len, room);
        }
        buf_adds(&out, "\n");
    }
    free(widths);
    return out.data;
}
