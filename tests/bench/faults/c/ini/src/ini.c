#include "ini.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buffer.h"

typedef struct reader {
    const char *at;
    int line;
    buffer section;
} reader;

static const struct {
    const char *word;
    int truth;
} FLAGS[] = {
    {"yes", 1}, {"on", 1}, {"true", 1}, {"1", 1}, {"no", 0}, {"off", 0}, {"false", 0}, {"0", 0},
};

static const struct {
    char letter;
    long factor;
} UNITS[] = {{'k', 1024L}, {'m', 1024L * 1024}, {'g', 1024L * 1024 * 1024}};

static int fail(ini *doc, const reader *r, const char *reason)
{
    snprintf(doc->error, sizeof doc->error, "line %d: %s", r->line, reason);
    return r->line;
}

static void skip_blank(reader *r)
{
    while (*r->at == ' ' || *r->at == '\t')
        r->at++;
}

static void next_line(reader *r)
{
    while (*r->at && *r->at != '\n')
        r->at++;
    if (*r->at == '\n') {
        r->at++;
        r->line++;
    }
}

/* Read up to one of STOPS or the end of the line, with quotes, escapes, comments and continued lines. */
static int read_value(reader *r, buffer *out)
{
    char quote = 0;
    while (*r->at && (*r->at != '\n' || quote)) {
        char c = *r->at;
        if (c == '\\' && r->at[1]) {
            r->at++;
            switch (*r->at) {
            case 'n':
                buffer_putc(out, '\n');
                break;
            case 't':
                buffer_putc(out, '\t');
                break;
            case '\n':
                r->line++;
                r->at++;
                skip_blank(r);
                continue;
            default:
                buffer_putc(out, *r->at);
            }
        } else if (quote && c == quote) {
            quote = 0;
        } else if (!quote && (c == '"' || c == '\'')) {
            quote = c;
        } else if (!quote && (c == ';' || c == '#') && isspace((unsigned char)r->at[-1])) {
            while (r->at[1] && r->at[1] != '\n')
                r->at++;
            buffer_trim(out);
        } else {
            if (c == '\n')
                r->line++;
            buffer_putc(out, c);
        }
        r->at++;
    }
    if (!quote)
        buffer_trim(out);
    return quote ? -1 : 0;
}

static int read_section(ini *doc, reader *r)
{
    const char *end = strpbrk(r->at, "]\n");
    if (!end || *end != ']')
        return fail(doc, r, "no ] after the section");
    const char *name = r->at + 1;
    if (*name == '.') {
        /* [.child] belongs to the section above */
        if (r->section.used == 0)
            return fail(doc, r, "no section above");
        buffer_add(&r->section, name, (size_t)(end - name));
    } else {
        r->section.used = 0;
        buffer_add(&r->section, name, (size_t)(end - name));
    }
    buffer_trim(&r->section);
    r->at = end + 1;
    return 0;
}

static int read_pair(ini *doc, reader *r)
{
    const char *equals = strpbrk(r->at, "=\n");
    if (!equals || *equals != '=')
        return fail(doc, r, "no = in the line");
    buffer key, value;
    buffer_init(&key);
    buffer_init(&value);
    if (r->section.used) {
        buffer_puts(&key, r->section.data);
        buffer_putc(&key, '.');
    }
    int append = equals > r->at && equals[-1] == '+';
    buffer_add(&key, r->at, (size_t)(equals - r->at) - (append ? 1 : 0));
    buffer_trim(&key);
    r->at = equals + 1;
    skip_blank(r);
    int bad = 0;
    if (append) {
        const char *before = map_get(&doc->values, key.data);
        if (before) {
            buffer_puts(&value, before);
            buffer_putc(&value, ',');
        }
    }
    if (read_value(r, &value) < 0)
        bad = fail(doc, r, "a quote is not closed");
    else
        map_set(&doc->values, key.data, value.data ? value.data : "");
    buffer_free(&key);
    buffer_free(&value);
    return bad;
}

int ini_parse(ini *doc, const char *text)
{
    map_init(&doc->values);
    doc->error[0] = '\0';
    reader r = {text, 1, {0}};
    int bad = 0;
    while (*r.at && !bad) {
        skip_blank(&r);
        switch (*r.at) {
        case '\n':
        case ';':
        case '#':
            break;
        case '[':
            bad = read_section(doc, &r);
            break;
        default:
            bad = read_pair(doc, &r);
        }
        if (!bad)
            next_line(&r);
    }
    buffer_free(&r.section);
    return bad;
}

void ini_free(ini *doc)
{
    map_free(&doc->values);
}

const char *ini_get(const ini *doc, const char *key)
{
    return map_get(&doc->values, key);
}

long ini_number(const ini *doc, const char *key, long otherwise)
{
    const char *text = ini_get(doc, key);
    if (!text || !*text)
        return otherwise;
    char *end;
    long number = strtol(text, &end, 0);
    if (end == text)
        return otherwise;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (tolower((unsigned char)*end) == UNITS[i].letter)
            return number * UNITS[i].factor;
    return *end ? otherwise : number;
}

int ini_flag(const ini *doc, const char *key, int otherwise)
{
    const char *text = ini_get(doc, key);
    for (size_t i = 0; text && i < sizeof FLAGS / sizeof *FLAGS; i++)
        if (strcasecmp(text, FLAGS[i].word) == 0)
            return FLAGS[i].truth;
    return otherwise;
}
