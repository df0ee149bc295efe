#include "map.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *copy(const char *text)
{
    char *made = malloc(strlen(text) + 1);
    return strcpy(made, text);
}

static size_t hash(const char *key)
{
    size_t h = 5381;
    for (; *key; key++)
        h = h * 33 + (size_t)tolower((unsigned char)*key);
    return h;
}

void map_init(map *m)
{
    m->room = 4;
    m->count = 0;
    m->next_order = 0;
    m->slots = calloc(m->room, sizeof *m->slots);
}

void map_free(map *m)
{
    for (size_t i = 0; i < m->room; i++) {
        entry *e = m->slots[i];
        while (e) {
            entry *next = e->next;
            free(e->key);
            free(e->value);
            free(e);
            e = next;
        }
    }
    free(m->slots);
}

static void grow(map *m)
{
    size_t room = m->room * 2;
    entry **slots = calloc(room, sizeof *slots);
    for (size_t i = 0; i < m->room; i++) {
        entry *e = m->slots[i];
        while (e) {
            entry *next = e->next;
            size_t at = hash(e->key) % room;
            e->next = slots[at];
            slots[at] = e;
            e = next;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->room = room;
}

static entry **find(const map *m, const char *key)
{
    entry **at = &m->slots[hash(key) % m->room];
    while (*at && strcasecmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

void map_set(map *m, const char *key, const char *value)
{
    entry **at = find(m, key);
    if (*at) {
        free((*at)->value);
        (*at)->value = copy(value);
        return;
    }
    if (m->count >= m->room) {
        grow(m);
        at = find(m, key);
    }
    entry *made = malloc(sizeof *made);
    made->key = copy(key);
    made->value = copy(value);
    made->order = m->next_order++;
    made->next = NULL;
    *at = made;
    m->count++;
}

const char *map_get(const map *m, const char *key)
{
    entry *e = *find(m, key);
    return e ? e->value : NULL;
}

int map_remove(map *m, const char *key)
{
    entry **at = find(m, key);
    entry *gone = *at;
    if (!gone)
        return 0;
    *at = gone->next;
    free(gone->key);
    free(gone->value);
    free(gone);
    m->count--;
    return 1;
}

static int by_order(const void *a, const void *b)
{
    const entry *left = *(entry *const *)a, *right = *(entry *const *)b;
    return (left->order > right->order) - (left->order < right->order);
}

entry **map_sorted(const map *m)
{
    entry **all = malloc((m->count + 1) * sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < m->room; i++)
        for (entry *e = m->slots[i]; e; e = e->next)
            all[n++] = e;
    all[n] = NULL;
    qsort(all, n, sizeof *all, by_order);
    return all;
}
