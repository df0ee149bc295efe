#include "json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *start, *at;
    const char *wrong;
    int depth;
} parser;

#define MAX_DEPTH 32

static json *parse_value(parser *p);

static json *fail(parser *p, const char *wrong)
{
    if (!p->wrong)
        p->wrong = wrong;
    return NULL;
}

static void skip_blanks(parser *p)
{
    while (*p->at && isspace((unsigned char)*p->at))
        p->at++;
}

static bool accept(parser *p, char c)
{
    skip_blanks(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static void add_utf8(buffer *b, unsigned code)
{
    if (code < 0x80) {
        buffer_char(b, (char)code);
    } else if (code < 0x800) {
        buffer_char(b, (char)(0xc0 | code >> 6));
        buffer_char(b, (char)(0x80 | (code & 0x3f)));
    } else {
        buffer_char(b, (char)(0xe0 | code >> 12));
        buffer_char(b, (char)(0x80 | (code >> 6 & 0x3f)));
        buffer_char(b, (char)(0x80 | (code & 0x3f)));
    }
}

static bool parse_escape(parser *p, buffer *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *p->at++;
    if (c == 'u') {
        char digits[5] = {0};
        strncpy(digits, p->at, 4);
        char *end;
        unsigned code = (unsigned)strtoul(digits, &end, 16);
        if (end != digits + 4)
            return false;
        p->at += 4;
        add_utf8(b, code);
        return true;
    }
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return false;
    buffer_char(b, to[found - from]);
    return true;
}

static char *parse_text(parser *p)
{
    buffer b = {0};
    while (*p->at && *p->at != '"') {
        if (*p->at == '\\') {
            p->at++;
            if (!parse_escape(p, &b)) {
                fail(p, "bad escape");
                break;
            }
        } else {
            buffer_char(&b, *p->at++);
        }
    }
    char *text = buffer_take(&b);
    if (*p->at != '"') {
        free(text);
        fail(p, "open string");
        return NULL;
    }
    p->at++;
    return text;
}

static json *parse_list(parser *p, json_type type, char close)
{
    json *list = json_new(type);
    if (accept(p, close))
        return list;
    do {
        char *key = NULL;
        if (type == JSON_OBJECT) {
            if (!accept(p, '"') || !(key = parse_text(p)) || !accept(p, ':'))
                return fail(p, "expected a key");
        }
        json *item = parse_value(p);
        if (!item)
            return NULL;
        json_push(list, key, item);
        free(key);
    } while (accept(p, ','));
    return accept(p, close) ? list : fail(p, "open list");
}

static json *parse_number(parser *p)
{
    char *end;
    double number = strtod(p->at, &end);
    if (end == p->at)
        return fail(p, "unexpected character");
    p->at = end;
    json *value = json_new(JSON_NUMBER);
    value->number = number;
    return value;
}

static json *parse_word(parser *p)
{
    static const struct { const char *word; json_type type; bool boolean; } words[] = {
        {"null", JSON_NULL, false}, {"true", JSON_BOOL, true}, {"false", JSON_BOOL, false},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(p->at, words[i].word, length) == 0) {
            p->at += length;
            json *value = json_new(words[i].type);
            value->boolean = words[i].boolean;
            return value;
        }
    }
    return parse_number(p);
}

static json *parse_value(parser *p)
{
    skip_blanks(p);
    if (++p->depth > MAX_DEPTH)
        return fail(p, "too deep");
    json *value;
    if (accept(p, '[')) {
        value = parse_list(p, JSON_ARRAY, ']');
    } else if (accept(p, '{')) {
        value = parse_list(p, JSON_OBJECT, '}');
    } else if (accept(p, '"')) {
        char *text = parse_text(p);
        value = text ? json_new(JSON_STRING) : NULL;
        if (value)
            value->text = text;
    } else {
        value = parse_word(p);
    }
    p->depth--;
    return value;
}

json *json_parse(const char *source, char *error, size_t room)
{
    parser p = {.start = source, .at = source};
    json *value = parse_value(&p);
    skip_blanks(&p);
    if (value && *p.at)
        fail(&p, "something follows");
    if (p.wrong) {
        snprintf(error, room, "%s at %d", p.wrong, (int)(p.at - p.start));
        return NULL;
    }
    return value;
}
