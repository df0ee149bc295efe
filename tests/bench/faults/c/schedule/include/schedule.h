#pragma once

#include <stdbool.h>
#include <stddef.h>

struct heap {
    struct entry { long key; int value; } *entries;
    size_t count, room;
};

void heap_push(struct heap *heap, long key, int value);
bool heap_pop(struct heap *heap, long *key, int *value);

struct table {
    struct slot { char *name; int value; } *slots;
    size_t count, room;
};

void table_set(struct table *table, const char *name, int value);
bool table_find(const struct table *table, const char *name, int *value);
bool table_remove(struct table *table, const char *name);

enum { MAX_JOBS = 64 };

struct schedule {
    struct heap due;
    struct table ids;
    struct job { char name[24]; long every; int runs, limit; bool cancelled; } jobs[MAX_JOBS];
    int count;
    long now;
};

int schedule_add(struct schedule *s, const char *name, long delay, long every, int limit);
bool schedule_cancel(struct schedule *s, const char *name);
int schedule_run(struct schedule *s, long until);
int schedule_runs(const struct schedule *s, const char *name);
