#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "ini.h"

static int needs_quotes(const char *value)
{
    size_t length = strlen(value);
    if (length == 0)
        return 0;
    return strpbrk(value, ";#\"") != NULL || value[0] == ' ' || value[length - 1] == ' ';
}

static void write_value(buffer *out, const char *value)
{
    int quoted = needs_quotes(value);
    if (quoted)
        buffer_putc(out, '"');
    for (; *value; value++) {
        switch (*value) {
        case '\n':
            buffer_puts(out, "\\n");
            break;
        case '\\':
        case '"':
            buffer_putc(out, '\\');
            buffer_putc(out, *value);
            break;
        default:
            buffer_putc(out, *value);
        }
    }
    if (quoted)
        buffer_putc(out, '"');
}

char *ini_write(const ini *doc)
{
    buffer out, section;
    buffer_init(&out);
    buffer_init(&section);
    entry **all = map_sorted(&doc->values);
    for (entry **at = all; *at; at++) {
        const char *dot = strrchr((*at)->key, '.');
        size_t length = dot ? (size_t)(dot - (*at)->key) : 0;
        if (length != section.used || strncmp((*at)->key, section.data ? section.data : "", length) != 0) {
            section.used = 0;
            buffer_add(&section, (*at)->key, length);
            if (out.used)
                buffer_putc(&out, '\n');
            buffer_putc(&out, '[');
            buffer_puts(&out, section.data);
            buffer_puts(&out, "]\n");
        }
        buffer_puts(&out, dot ? dot + 1 : (*at)->key);
        buffer_puts(&out, " = ");
        write_value(&out, (*at)->value);
        buffer_putc(&out, '\n');
    }
    free(all);
    buffer_free(&section);
    return buffer_take(&out);
}
