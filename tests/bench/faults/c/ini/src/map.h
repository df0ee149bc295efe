#ifndef MAP_H
#define MAP_H
#include <stddef.h>

typedef struct entry {
    char *key;
    char *value;
    size_t order;
    struct entry *next;
} entry;

typedef struct map {
    entry **slots;
    size_t room;
    size_t count;
    size_t next_order;
} map;

void map_init(map *m);
void map_free(map *m);
void map_set(map *m, const char *key, const char *value);
const char *map_get(const map *m, const char *key);
int map_remove(map *m, const char *key);
/* Entries in the order in which they were first set; the caller frees the array. */
entry **map_sorted(const map *m);
#endif
