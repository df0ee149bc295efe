#include "textfmt.h"

#include <string.h>

static const char *skip(const char *text)
{
    while (*text == ' ')
        text++;
    return text;
}

static size_t word_length(const char *text)
{
    return strcspn(text, " ");
}

static size_t put_long(struct buf *out, const char *word, size_t len, size_t columns)
{
    size_t cut = utf8_cut(word, columns);

    while (utf8_width(word, len) > columns) {
        buf_add(out, word, cut);
        buf_adds(out, "\n");
        word += cut;
        len -= cut;
        cut = utf8_cut(word, columns);
    }
    buf_add(out, word, len);
    return utf8_width(word, len);
}

char *wrap(const char *text, size_t columns)
{
    struct buf out;
    size_t used = 0;

    buf_init(&out);
    for (text = skip(text); *text; text = skip(text)) {
        size_t len = word_length(text);
        size_t width = utf8_width(text, len);

        if (used && used + 1 + width > columns) {
            buf_adds(&out, "\n");
            used = 0;
        }
        if (used) {
            buf_adds(&out, " ");
            used++;
        }
        used += put_long(&out, text, len, columns);
        text += len;
    }
    return out.data;
}
