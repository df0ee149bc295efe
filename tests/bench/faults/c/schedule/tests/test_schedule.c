#include "schedule.h"

#include <assert.h>

static struct schedule s;

static void reset(void)
{
    s = (struct schedule){0};
}

static void test_repeats(void)
{
    reset();
    schedule_add(&s, "tick", 5, 10, 0);
    assert(schedule_run(&s, 4) == 0);
    assert(schedule_run(&s, 25) == 3);
    assert(schedule_runs(&s, "tick") == 3);
}

static void test_limit(void)
{
    reset();
    schedule_add(&s, "twice", 1, 1, 2);
    assert(schedule_run(&s, 100) == 2);
}

static void test_cancelled(void)
{
    reset();
    schedule_add(&s, "a", 1, 1, 0);
    schedule_add(&s, "b", 2, 2, 0);
    assert(schedule_cancel(&s, "a"));
    assert(schedule_run(&s, 10) == 5);
    assert(schedule_runs(&s, "a") == -1);
}

static void test_later(void)
{
    reset();
    schedule_run(&s, 50);
    schedule_add(&s, "late", 10, 0, 0);
    assert(schedule_run(&s, 59) == 0);
    assert(schedule_run(&s, 60) == 1);
}

int main(void)
{
    test_repeats();
    test_limit();
    test_cancelled();
    test_later();
    return 0;
}
