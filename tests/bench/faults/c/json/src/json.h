#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

typedef struct json {
    json_type type;
    bool boolean;
    double number;
    char *text;
    char **keys;
    struct json **items;
    size_t count, room;
} json;

typedef struct {
    char *bytes;
    size_t length, room;
} buffer;

void buffer_add(buffer *b, const char *bytes, size_t length);
void buffer_char(buffer *b, char c);
char *buffer_take(buffer *b);

json *json_new(json_type type);
void json_push(json *list, const char *key, json *item);
json *json_get(const json *object, const char *key);
json *json_at(const json *array, size_t index);
void json_free(json *value);

json *json_parse(const char *source, char *error, size_t room);
char *json_print(const json *value);

#endif
