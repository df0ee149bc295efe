#include "schedule.h"

#include <stdio.h>

int schedule_add(struct schedule *s, const char *name, long delay, long every, int limit)
{
    int known;
    if (s->count == MAX_JOBS || table_find(&s->ids, name, &known))
        return -1;
    int id = s->count++;
    struct job *job = &s->jobs[id];
    snprintf(job->name, sizeof job->name, "%s", name);
    job->every = every;
    job->limit = limit;
    table_set(&s->ids, name, id);
    heap_push(&s->due, s->now + delay, id);
    return id;
}

bool schedule_cancel(struct schedule *s, const char *name)
{
    int id;
    if (!table_find(&s->ids, name, &id))
        return false;
    s->jobs[id].cancelled = true;
    return table_remove(&s->ids, name);
}

static bool again(const struct job *job)
{
    return job->every > 0 && (job->limit == 0 || job->runs < job->limit);
}

/* Run what is due up to a time; jobs that repeat are due again. */
int schedule_run(struct schedule *s, long until)
{
    int ran = 0, id;
    long when;
    while (heap_pop(&s->due, &when, &id)) {
        if (when > until) {
            heap_push(&s->due, when, id);
            break;
        }
        struct job *job = &s->jobs[id];
        if (job->cancelled)
            continue;
        s->now = when;
        job->runs++;
        ran++;
        if (again(job))
            heap_push(&s->due, when + job->every, id);
    }
    s->now = until;
    return ran;
}

int schedule_runs(const struct schedule *s, const char *name)
{
    int id;
    return table_find(&s->ids, name, &id) ? s->jobs[id].runs : -1;
}
