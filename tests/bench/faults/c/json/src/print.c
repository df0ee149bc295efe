#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_text(buffer *b, const char *text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    buffer_char(b, '"');
    for (; *text; text++) {
        const char *found = strchr(from, *text);
        if (found) {
            buffer_char(b, '\\');
            buffer_char(b, to[found - from]);
        } else {
            buffer_char(b, *text);
        }
    }
    buffer_char(b, '"');
}

static void print_number(buffer *b, double number)
{
    char digits[32];
    int length;
    if (floor(number) == number && fabs(number) < 1e15)
        length = snprintf(digits, sizeof digits, "%.0f", number);
    else
        length = snprintf(digits, sizeof digits, "%g", number);
    buffer_add(b, digits, (size_t)length);
}

static void print_value(buffer *b, const json *value)
{
    static const char *const words[] = {"false", "true"};
    switch (value->type) {
    case JSON_NULL:
        buffer_add(b, "null", 4);
        break;
    case JSON_BOOL:
        buffer_add(b, words[value->boolean], strlen(words[value->boolean]));
        break;
    case JSON_NUMBER:
        print_number(b, value->number);
        break;
    case JSON_STRING:
        print_text(b, value->text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buffer_char(b, value->type == JSON_ARRAY ? '[' : '{');
        for (size_t i = 0; i < value->count; i++) {
            if (i)
                buffer_char(b, ',');
            if (value->type == JSON_OBJECT) {
                print_text(b, value->keys[i]);
                buffer_char(b, ':');
            }
            print_value(b, value->items[i]);
        }
        buffer_char(b, value->type == JSON_ARRAY ? ']' : '}');
        break;
    }
}

char *json_print(const json *value)
{
    buffer b = {0};
    print_value(&b, value);
    return buffer_take(&b);
}
