#include "schedule.h"

#include <assert.h>
#include <stdio.h>

static int value_of(const struct table *table, const char *name)
{
    int value;
    return table_find(table, name, &value) ? value : -1;
}

static void test_many(void)
{
    struct table table = {0};
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "job %d", i);
        table_set(&table, name, i);
    }
    assert(table.count == 200);
    assert(value_of(&table, "job 0") == 0);
    assert(value_of(&table, "job 150") == 150);
}

static void test_remove(void)
{
    struct table table = {0};
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%d", i);
        table_set(&table, name, i);
    }
    for (int i = 0; i < 20; i += 2) {
        snprintf(name, sizeof name, "%d", i);
        assert(table_remove(&table, name));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert(value_of(&table, name) == (i % 2 ? i : -1));
    }
}

int main(void)
{
    test_many();
    test_remove();
    return 0;
}
