/* SPDX-License-Identifier: Apache-2.0 */
/* Compares configurations option by option, as the table describes them: what a reload may change is its OPT_RELOAD
 * flag and nothing else. Never shows a value. Pure; any thread. */
#include "app/config_diff.h"

#include <string.h>

#include "app/config.h"
#include "app/config_table.h"
#include "base/buf.h"
#include "base/check.h"

enum { NAMES_MAX = 24 };

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_same_list(const struct config_list *a, const struct config_list *b)
{
    bool is_same = a->n == b->n;

    for (size_t i = 0; is_same && i < a->n; i++)
        is_same = is_same_text(a->items[i], b->items[i]);
    return is_same;
}

static bool is_same_map(const struct config_map *a, const struct config_map *b)
{
    bool is_same = a->n == b->n;

    for (size_t i = 0; is_same && i < a->n; i++)
        is_same =
            is_same_text(a->pairs[i].name, b->pairs[i].name) && is_same_text(a->pairs[i].value, b->pairs[i].value);
    return is_same;
}

static size_t size_of(enum option_type type)
{
    switch (type) {
    case OPT_STRING:
    case OPT_SECRET:
    case OPT_URL:
    case OPT_PATH:
        return sizeof(const char *);
    case OPT_BOOL:
        return sizeof(bool);
    case OPT_ENUM:
        return sizeof(int);
    case OPT_LIST:
        return sizeof(struct config_list);
    case OPT_MAP_TEXT:
    case OPT_MAP_JSON:
        return sizeof(struct config_map);
    default:
        return sizeof(int64_t);
    }
}

static bool is_same(const struct option *o, const void *before, const void *after)
{
    const void *a = (const char *)before + o->offset, *b = (const char *)after + o->offset;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
    case OPT_URL:
    case OPT_PATH:
        return is_same_text(*(const char *const *)a, *(const char *const *)b);
    case OPT_LIST:
        return is_same_list(a, b);
    case OPT_MAP_TEXT:
    case OPT_MAP_JSON:
        return is_same_map(a, b);
    default:
        return memcmp(a, b, size_of(o->type)) == 0;
    }
}

/* Names, until there are too many. */
struct names {
    struct buf *out;
    int n;
};

static void add_name(struct names *names, const char *section, const char *entry, const char *rest)
{
    if (names->n < NAMES_MAX)
        buf_printf(names->out, "%s%s%s%s", names->n > 0 ? "," : "", section, entry, rest);
    names->n++;
}

static void end_names(const struct names *names)
{
    if (names->n > NAMES_MAX)
        buf_printf(names->out, " and %d more", names->n - NAMES_MAX);
}

struct diff {
    const struct config *before, *after;
    struct names changed, restart;
};

/* The journal's URL that nobody wrote is that of Redis. */
static bool is_shadow(const struct diff *d, const struct option *o)
{
    return strcmp(o->path, "journal.url") == 0 && is_same_text(d->before->journal.url, d->before->redis.url) &&
           is_same_text(d->after->journal.url, d->after->redis.url);
}

static void diff_options(struct diff *d, enum option_home home, const char *entry, const void *before,
                         const void *after)
{
    size_t n;
    const struct option *all = option_all(&n);

    for (size_t i = 0; i < n; i++) {
        const struct option *o = &all[i];
        struct names *to = (o->flags & OPT_RELOAD) != 0 ? &d->changed : &d->restart;

        if (o->home != home || is_same(o, before, after) || is_shadow(d, o))
            continue;
        if (home == HOME_CONFIG)
            add_name(to, o->path, "", "");
        else
            add_name(to, home == HOME_MODEL ? "models." : "providers.", entry, strchr(o->path, '*') + 1);
    }
}

/* Providers or models, by name. */
struct entries {
    enum option_home home;
    const char *section;
    const char *rows;
    size_t n;
    size_t size;
};

static const void *row(const struct entries *e, size_t i)
{
    return e->rows + i * e->size;
}

/* The name is the first field of both. */
static const char *name_of(const void *entry)
{
    return *(const char *const *)entry;
}

static const void *find(const struct entries *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(name_of(row(e, i)), name) == 0)
            return row(e, i);
    return NULL;
}

static void diff_entries(struct diff *d, const struct entries *before, const struct entries *after)
{
    for (size_t i = 0; i < after->n; i++) {
        const void *there = find(before, name_of(row(after, i)));

        if (there == NULL)
            add_name(&d->changed, after->section, name_of(row(after, i)), " (new)");
        else
            diff_options(d, after->home, name_of(there), there, row(after, i));
    }
    for (size_t i = 0; i < before->n; i++)
        if (find(after, name_of(row(before, i))) == NULL)
            add_name(&d->changed, before->section, name_of(row(before, i)), " (gone)");
}

static struct entries providers_of(const struct config *c)
{
    return (struct entries){HOME_PROVIDER, "providers.", (const char *)c->providers, c->n_providers,
                            sizeof(*c->providers)};
}

static struct entries models_of(const struct config *c)
{
    return (struct entries){HOME_MODEL, "models.", (const char *)c->models, c->n_models, sizeof(*c->models)};
}

struct config_diff config_diff(const struct config *before, const struct config *after, struct buf *out_changed,
                               struct buf *out_restart)
{
    struct diff d = {
        .before = before, .after = after, .changed = {.out = out_changed}, .restart = {.out = out_restart}};
    const struct entries providers[] = {providers_of(before), providers_of(after)};
    const struct entries models[] = {models_of(before), models_of(after)};

    diff_options(&d, HOME_CONFIG, "", before, after);
    diff_entries(&d, &providers[0], &providers[1]);
    diff_entries(&d, &models[0], &models[1]);
    end_names(&d.changed);
    end_names(&d.restart);
    return (struct config_diff){.n_changed = d.changed.n, .n_restart = d.restart.n};
}

void config_keep(struct config *after, const struct config *before)
{
    size_t n;
    const struct option *all = option_all(&n);

    for (size_t i = 0; i < n; i++) {
        if ((all[i].flags & OPT_RELOAD) != 0)
            continue;
        CHECK(all[i].home == HOME_CONFIG); /* entries come and go: all of theirs can be reloaded */
        memcpy((char *)after + all[i].offset, (const char *)before + all[i].offset, size_of(all[i].type));
    }
}
