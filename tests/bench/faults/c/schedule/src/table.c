#define _POSIX_C_SOURCE 200809L
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

static size_t hash(const char *name)
{
    size_t h = 1469598103934665603u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static size_t probe(const struct table *table, const char *name)
{
    size_t at = hash(name) & (table->room - 1);
    while (table->slots[at].name && strcmp(table->slots[at].name, name) != 0)
        at = (at + 1) & (table->room - 1);
    return at;
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->room = old.room ? 2 * old.room : 8;
    table->slots = calloc(table->room, sizeof *table->slots);
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].name)
            table->slots[probe(table, old.slots[i].name)] = old.slots[i];
    free(old.slots);
}

void table_set(struct table *table, const char *name, int value)
{
    if (4 * (table->count + 1) > 3 * table->room)
        grow(table);
    size_t at = probe(table, name);
    if (!table->slots[at].name) {
        table->slots[at].name = strdup(name);
        table->count++;
    }
    table->slots[at].value = value;
}

bool table_find(const struct table *table, const char *name, int *value)
{
    if (table->room == 0)
        return false;
    size_t at = probe(table, name);
    if (!table->slots[at].name)
        return false;
    *value = table->slots[at].value;
    return true;
}

bool table_remove(struct table *table, const char *name)
{
    int value;
    if (!table_find(table, name, &value))
        return false;
    size_t gap = probe(table, name);
    free(table->slots[gap].name);
    table->slots[gap].name = NULL;
    table->count--;
    for (size_t at = (gap + 1) & (table->room - 1); table->slots[at].name; at = (at + 1) & (table->room - 1)) {
        struct slot moved = table->slots[at];
        table->slots[at].name = NULL;
        table->slots[probe(table, moved.name)] = moved;
    }
    return true;
}
