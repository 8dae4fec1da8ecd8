/* SPDX-License-Identifier: Apache-2.0 */
/* Counts calls under way per model, with the highest number of each of the last windows. Never knows what a call is or
 * how it ended. Loop thread. */
#include "core/inflight.h"

#include <stdbool.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

enum { KEY_BYTES = 1024 };

struct inflight_model {
    UT_hash_handle hh;
    int n;          /* under way now */
    int64_t latest; /* number of the window that was entered last */
    struct {
        int64_t number; /* of the window this place holds */
        int max;
    } windows[INFLIGHT_WINDOWS]; /* by number modulo their count */
    char key[];
};

struct inflight {
    struct inflight_model *models;
};

/* The clock may stand before 1970 on a machine that has none. */
static int64_t number_of(int64_t at_ms)
{
    return at_ms > 0 ? at_ms / STATS_WINDOW_MS : 0;
}

int64_t stats_window_ms(int64_t at_ms)
{
    return number_of(at_ms) * STATS_WINDOW_MS;
}

/* False: too long to be counted. */
static bool make_key(char out[KEY_BYTES], const char *provider, const char *request_model, const char *vendor_model)
{
    const char *const parts[] = {provider, request_model, vendor_model};
    char *p = out;

    for (int i = 0; i < 3; i++) {
        size_t len = parts[i] != NULL ? strlen(parts[i]) : 0;

        if (len + 1 > (size_t)(out + KEY_BYTES - p))
            return false;
        if (len > 0)
            memcpy(p, parts[i], len);
        p += len;
        *p++ = '\x1f';
    }
    p[-1] = '\0';
    return true;
}

/* Enters the windows up to now: what was under way all the time is the most they have seen so far. A clock that was
 * set back stays in the latest window. */
static void enter(struct inflight_model *m, int64_t now_ms)
{
    int64_t now = number_of(now_ms);
    int64_t from = m->latest + 1 > now - INFLIGHT_WINDOWS + 1 ? m->latest + 1 : now - INFLIGHT_WINDOWS + 1;

    for (int64_t i = from; i <= now; i++) {
        m->windows[i % INFLIGHT_WINDOWS].number = i;
        m->windows[i % INFLIGHT_WINDOWS].max = m->n;
    }
    if (now > m->latest)
        m->latest = now;
}

struct inflight *inflight_new(void)
{
    return mem_zero(sizeof(struct inflight));
}

void inflight_free(struct inflight *f)
{
    struct inflight_model *m, *next;

    if (f == NULL)
        return;
    HASH_ITER(hh, f->models, m, next)
    {
        HASH_DEL(f->models, m);
        mem_free(m);
    }
    mem_free(f);
}

static struct inflight_model *add(struct inflight *f, const char *key, int64_t now_ms)
{
    size_t len = strlen(key);
    struct inflight_model *m;

    if (HASH_COUNT(f->models) >= INFLIGHT_MODELS)
        return NULL;
    m = mem_zero(sizeof(*m) + len + 1);
    memcpy(m->key, key, len + 1);
    m->latest = number_of(now_ms) - 1;
    HASH_ADD(hh, f->models, key, len, m);
    return m;
}

struct inflight_model *inflight_begin(struct inflight *f, const char *provider, const char *request_model,
                                      const char *vendor_model, int64_t now_ms)
{
    char key[KEY_BYTES] = "";
    struct inflight_model *m;

    if (f == NULL || !make_key(key, provider, request_model, vendor_model))
        return NULL;
    HASH_FIND_STR(f->models, key, m);
    if (m == NULL)
        m = add(f, key, now_ms);
    if (m == NULL)
        return NULL;
    enter(m, now_ms);
    if (++m->n > m->windows[m->latest % INFLIGHT_WINDOWS].max)
        m->windows[m->latest % INFLIGHT_WINDOWS].max = m->n;
    return m;
}

void inflight_end(struct inflight_model *m, int64_t now_ms)
{
    if (m == NULL)
        return;
    enter(m, now_ms);
    m->n--;
}

int inflight_max(struct inflight *f, const char *provider, const char *request_model, const char *vendor_model,
                 int64_t window_ms, int64_t now_ms)
{
    int64_t number = number_of(window_ms);
    char key[KEY_BYTES] = "";
    struct inflight_model *m = NULL;

    if (f != NULL && make_key(key, provider, request_model, vendor_model))
        HASH_FIND_STR(f->models, key, m);
    if (m == NULL)
        return 0;
    enter(m, now_ms);
    return m->windows[number % INFLIGHT_WINDOWS].number == number ? m->windows[number % INFLIGHT_WINDOWS].max : 0;
}
