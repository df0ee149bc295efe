#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "ini.h"

enum { DEEPEST = 8 };

static char *section_of(const char *key)
{
    const char *dot = strrchr(key, '.');
    size_t length = dot ? (size_t)(dot - key) : 0;
    char *section = malloc(length + 1);
    memcpy(section, key, length);
    section[length] = '\0';
    return section;
}

/* A name without a dot means the same section first, then the top. */
static const char *lookup(const ini *doc, const char *from, const char *name, buffer *full)
{
    if (!strchr(name, '.')) {
        char *section = section_of(from);
        full->used = 0;
        if (*section) {
            buffer_puts(full, section);
            buffer_putc(full, '.');
        }
        buffer_puts(full, name);
        free(section);
        const char *near = ini_get(doc, full->data);
        if (near)
            return near;
    }
    full->used = 0;
    buffer_puts(full, name);
    return ini_get(doc, name);
}

static int expand(const ini *doc, const char *key, const char *text, int depth, buffer *out)
{
    if (depth > DEEPEST)
        return -1;
    while (*text) {
        const char *mark = strstr(text, "${");
        if (!mark) {
            buffer_puts(out, text);
            break;
        }
        buffer_add(out, text, (size_t)(mark - text));
        const char *end = strchr(mark, '}');
        if (!end)
            return -1;
        buffer name, full;
        buffer_init(&name);
        buffer_init(&full);
        const char *inner = mark + 2;
        const char *otherwise = NULL;
        for (const char *c = inner; c + 1 < end; c++)
            if (c[0] == ':' && c[1] == '-')
                otherwise = c + 2;
        buffer_add(&name, inner, (size_t)((otherwise ? otherwise - 2 : end) - inner));
        const char *value = lookup(doc, key, name.data, &full);
        int bad = 0;
        if (value)
            bad = expand(doc, full.data, value, depth + 1, out);
        else if (otherwise)
            buffer_add(out, otherwise, (size_t)(end - otherwise));
        else
            bad = -1;
        buffer_free(&name);
        buffer_free(&full);
        if (bad)
            return bad;
        text = end + 1;
    }
    return 0;
}

char *ini_expand(const ini *doc, const char *key)
{
    const char *text = ini_get(doc, key);
    if (!text)
        return NULL;
    buffer out;
    buffer_init(&out);
    if (expand(doc, key, text, 0, &out) < 0) {
        buffer_free(&out);
        return NULL;
    }
    return buffer_take(&out);
}
