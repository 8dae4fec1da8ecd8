/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of single behaviours share: a world whose provider follows a script, one job run to its end, readers
 * of its result. */
#ifndef TESTS_SIM_BEHAVIOUR_H
#define TESTS_SIM_BEHAVIOUR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/world.h"

/* A script: for the nth request of a call to this model. */
struct line {
    const char *model; /* NULL: any */
    int nth;           /* -1: any */
    struct play play;
};

struct script {
    struct world world;
    const struct line *lines;
    int n;
};

static inline struct play follow(const struct entry *e, int nth, void *arg)
{
    const struct script *s = arg;

    for (int i = 0; i < s->n; i++)
        if ((s->lines[i].model == NULL || strcmp(s->lines[i].model, e->model) == 0) &&
            (s->lines[i].nth < 0 || s->lines[i].nth == nth))
            return s->lines[i].play;
    return (struct play){.act = ACT_OK, .latency_us = 200000};
}

static inline void setup(struct script *s, const struct line *lines, int n)
{
    world_init(&s->world, 7, 1);
    s->lines = lines;
    s->n = n;
    s->world.ledger.decide = follow;
    s->world.ledger.arg = s;
}

/* Runs one job to its end and returns its result. */
static inline json_t *run_job(struct script *s, const char *job)
{
    int64_t offset = world_job(&s->world, 0, "%s", job);
    json_t *r;

    if (s->world.crews[0].worker == NULL)
        world_add_worker(&s->world, 0, 1);
    assert_true(world_run_until_done(&s->world, INT64_C(1200000000)));
    r = world_result(&s->world, 0, offset);
    assert_non_null(r);
    return r;
}

static inline const char *str(const json_t *r, const char *key)
{
    const char *s = json_string_value(json_object_get(r, key));

    return s != NULL ? s : "(null)";
}

static inline long long num(const json_t *r, const char *key)
{
    return json_integer_value(json_object_get(r, key));
}

static inline const json_t *answer(const json_t *r, size_t i)
{
    return json_array_get(json_object_get(r, "answers"), i);
}

static inline bool has_reason(const json_t *r, const char *reason)
{
    const json_t *reasons = json_object_get(r, "degraded_reasons");

    for (size_t i = 0; i < json_array_size(reasons); i++)
        if (strcmp(json_string_value(json_array_get(reasons, i)), reason) == 0)
            return true;
    return false;
}

#endif
