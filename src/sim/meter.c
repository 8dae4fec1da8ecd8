/* SPDX-License-Identifier: Apache-2.0 */
/* What one API key may use of one meter: an exact sliding window of the arrivals that were let in, and how many are
 * under way. Nothing is approximated: each arrival is kept until it leaves the window. Loop thread.
 * A window is (now - window, now]; tokens count at arrival with what will be billed. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/sim_internal.h"

enum { ARRIVALS_FIRST = 64 };

struct arrival {
    int64_t at_us;
    int32_t input;
    int32_t output;
};

struct meter {
    char *name;
    struct arrival *ring; /* ring[cap]; first, then n, oldest first */
    size_t cap;           /* a power of two, or 0 */
    size_t first;
    size_t n;
    int64_t input; /* sums over the ring */
    int64_t output;
    int64_t in_flight;
};

struct meter *meter_new(const char *name)
{
    struct meter *m = mem_zero(sizeof(*m));

    m->name = mem_strdup(name);
    return m;
}

void meter_free(struct meter *m)
{
    if (m == NULL)
        return;
    mem_free(m->ring);
    mem_free(m->name);
    mem_free(m);
}

bool meter_is(const struct meter *m, const char *name)
{
    return strcmp(m->name, name) == 0;
}

static const struct arrival *arrival_at(const struct meter *m, size_t i)
{
    return &m->ring[(m->first + i) & (m->cap - 1)];
}

static int64_t weight(const struct arrival *a, enum dimension d)
{
    switch (d) {
    case METER_REQUESTS:
        return 1;
    case METER_INPUT:
        return a->input;
    case METER_OUTPUT:
        return a->output;
    default:
        return (int64_t)a->input + a->output;
    }
}

static int64_t used(const struct meter *m, enum dimension d)
{
    const int64_t sums[] = {(int64_t)m->n, m->input + m->output, m->input, m->output};

    return sums[d];
}

static int64_t limit_of(const struct sim_model *model, enum dimension d)
{
    const int64_t limits[] = {model->requests_per_window, model->tokens_per_window, model->input_tokens_per_window,
                              model->output_tokens_per_window};

    return limits[d];
}

static bool has_window(const struct sim_model *model)
{
    for (int d = 0; d < METER_WINDOWS; d++)
        if (limit_of(model, (enum dimension)d) > 0)
            return true;
    return false;
}

static void expire(struct meter *m, const struct sim_model *model, int64_t now_us)
{
    while (m->n > 0 && arrival_at(m, 0)->at_us <= now_us - model->window_us) {
        m->input -= arrival_at(m, 0)->input;
        m->output -= arrival_at(m, 0)->output;
        m->first = (m->first + 1) & (m->cap - 1);
        m->n--;
    }
}

static void push(struct meter *m, struct arrival a)
{
    if (m->n == m->cap) {
        size_t cap = m->cap > 0 ? m->cap * 2 : ARRIVALS_FIRST;
        struct arrival *ring = mem_alloc(sizeof(*ring) * cap);

        for (size_t i = 0; i < m->n; i++)
            ring[i] = *arrival_at(m, i);
        mem_free(m->ring);
        m->ring = ring;
        m->cap = cap;
        m->first = 0;
    }
    m->ring[(m->first + m->n) & (m->cap - 1)] = a;
    m->n++;
    m->input += a.input;
    m->output += a.output;
}

/* How long until `excess` of the dimension has left the window; -1: it never will. */
static int64_t wait_for(const struct meter *m, const struct sim_model *model, enum dimension d, int64_t excess,
                        int64_t now_us)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct arrival *a = arrival_at(m, i);

        excess -= weight(a, d);
        if (excess <= 0)
            return a->at_us + model->window_us - now_us;
    }
    return -1;
}

static int check(const struct meter *m, const struct sim_model *model, enum dimension d, const struct arrival *a,
                 struct overrun *over)
{
    static const char *const decisions[] = {"over_rpm", "over_tpm", "over_input_tpm", "over_output_tpm"};
    int64_t limit = limit_of(model, d);
    int64_t excess = used(m, d) + weight(a, d) - limit;

    if (limit <= 0 || excess <= 0)
        return 0;
    over->decision = decisions[d];
    over->dimension = d;
    over->limit = limit;
    over->used = used(m, d);
    over->requested = weight(a, d);
    over->wait_us = over->requested > limit ? -1 : wait_for(m, model, d, excess, a->at_us);
    return -EBUSY;
}

static int32_t clamp_tokens(int64_t n)
{
    return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (int32_t)n;
}

int meter_enter(struct meter *m, const struct sim_model *model, int64_t now_us, int64_t input, int64_t output,
                struct overrun *over)
{
    struct arrival a = {now_us, clamp_tokens(input), clamp_tokens(output)};

    if (has_window(model)) {
        expire(m, model, now_us);
        for (int d = 0; d < METER_WINDOWS; d++)
            if (check(m, model, (enum dimension)d, &a, over) < 0)
                return -EBUSY;
    }
    if (model->concurrency > 0 && m->in_flight >= model->concurrency) {
        *over = (struct overrun){.decision = "over_concurrency",
                                 .dimension = METER_CONCURRENCY,
                                 .limit = model->concurrency,
                                 .used = m->in_flight,
                                 .requested = 1,
                                 .wait_us = 1000000};
        return -EBUSY;
    }
    if (has_window(model))
        push(m, a);
    m->in_flight++;
    return 0;
}

void meter_leave(struct meter *m)
{
    CHECK(m->in_flight > 0);
    m->in_flight--;
}

int64_t meter_in_flight(const struct meter *m)
{
    return m->in_flight;
}

bool meter_level(struct meter *m, const struct sim_model *model, enum dimension d, int64_t now_us, struct level *out)
{
    int64_t limit = limit_of(model, d);
    int64_t left;

    if (limit <= 0)
        return false;
    expire(m, model, now_us);
    left = limit - used(m, d);
    *out = (struct level){
        .limit = limit,
        .left = left > 0 ? left : 0,
        .reset_us = m->n > 0 ? arrival_at(m, m->n - 1)->at_us + model->window_us - now_us : 0,
    };
    return true;
}
