#include "json.h"

#include <stdlib.h>
#include <string.h>

json *json_new(json_type type)
{
    json *value = calloc(1, sizeof *value);
    value->type = type;
    return value;
}

void json_push(json *list, const char *key, json *item)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 4;
        list->items = realloc(list->items, list->room * sizeof *list->items);
        list->keys = realloc(list->keys, list->room * sizeof *list->keys);
    }
    list->keys[list->count] = key ? strdup(key) : NULL;
    list->items[list->count] = item;
    list->count++;
}

/* The last value of a key counts. */
json *json_get(const json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (size_t i = object->count; i-- > 0;)
        if (strcmp(object->keys[i], key) == 0)
            return object->items[i];
    return NULL;
}

json *json_at(const json *array, size_t index)
{
    if (!array || array->type != JSON_ARRAY || index >= array->count)
        return NULL;
    return array->items[index];
}

void json_free(json *value)
{
    if (!value)
        return;
    for (size_t i = 0; i < value->count; i++) {
        free(value->keys[i]);
        json_free(value->items[i]);
    }
    free(value->keys);
    free(value->items);
    free(value->text);
    free(value);
}
