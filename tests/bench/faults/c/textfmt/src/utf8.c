#include "textfmt.h"

static int is_start(unsigned char byte)
{
    return (byte & 0xC0) != 0x80;
}

size_t utf8_width(const char *text, size_t len)
{
    size_t width = 0;

    for (size_t i = 0; i < len; i++)
        width += is_start((unsigned char)text[i]);
    return width;
}

/* How many bytes the first COLUMNS signs take. */
size_t utf8_cut(const char *text, size_t columns)
{
    size_t at = 0;

    while (text[at]) {
        if (is_start((unsigned char)text[at]) && columns-- == 0)
            break;
        at++;
    }
    return at;
}
