/* SPDX-License-Identifier: Apache-2.0 */
/* What no single value can say: references between options, limits that contradict each other, and defaults that are
 * computed from other options. A value that was already reported is not judged again. Main thread. */
#include <string.h>

#include "app/config_internal.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"
#include "core/job.h"
#include "core/registry.h"

/* DESIGN 7: the bucket is 2 % of a request limit; W = 60 s; J starts at 500 ms. */
static const double window_s = 60.0;
static const double spread_s = 0.5;

static struct config_model *model_of(const struct config_object *o)
{
    return o->base;
}

static struct config_place place_of(const struct config_object *o, const char *option)
{
    struct config_place at;

    (void)config_state_of(o, option, &at);
    return at;
}

static bool is_bad(const struct config_object *o, const char *option)
{
    return config_state_of(o, option, NULL) == OPTION_BAD;
}

static bool is_unset(const struct config_object *o, const char *option)
{
    return config_state_of(o, option, NULL) == OPTION_UNSET;
}

static const char *shown(enum option_type type, int64_t v)
{
    static _Thread_local char texts[4][32]; /* a message shows at most four */
    static _Thread_local unsigned next;
    char *text = texts[next++ % ARRAY_LEN(texts)];

    option_write_number(type, v, text, sizeof(texts[0]));
    return text;
}

static void link_provider(struct config_loader *l, const struct config_object *o)
{
    struct config_model *m = model_of(o);
    const char **names = mem_zero((l->config->n_providers + 1) * sizeof(*names));
    const char *near = NULL;

    for (size_t i = 0; i < l->config->n_providers; i++) {
        names[i] = l->config->providers[i].name;
        if (m->provider_name != NULL && strcmp(names[i], m->provider_name) == 0)
            m->provider = &l->config->providers[i];
    }
    if (m->provider == NULL && m->provider_name != NULL && !is_bad(o, "models.*.provider")) {
        near = names_nearest(m->provider_name, names, l->config->n_providers);
        config_error(l->report, place_of(o, "models.*.provider"), "%s.provider: there is no provider '%s'%s%s%s",
                     o->path, m->provider_name, near == NULL ? "" : " (did you mean '", near == NULL ? "" : near,
                     near == NULL ? "" : "'?)");
    }
    mem_free(names);
}

/* D-02: connect, first_byte, idle <= total <= jobs.deadline. Defaults give way, what was written does not. */
static void check_timeouts(struct config_loader *l, const struct config_object *o)
{
    static const char *const parts[] = {"connect", "first_byte", "idle"};
    struct config_timeout *t = &model_of(o)->timeout;
    int64_t *values[] = {&t->connect_us, &t->first_byte_us, &t->idle_us};
    int64_t deadline = l->config->jobs.deadline_us;

    if (!is_bad(&l->objects[0], "jobs.deadline") && t->total_us > deadline) {
        if (is_unset(o, "models.*.timeout.total"))
            t->total_us = deadline;
        else if (!is_bad(o, "models.*.timeout.total"))
            config_error(l->report, place_of(o, "models.*.timeout.total"),
                         "%s.timeout.total: %s is longer than jobs.deadline (%s)", o->path,
                         shown(OPT_DURATION, t->total_us), shown(OPT_DURATION, deadline));
    }
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *option = arena_printf(l->arena, "models.*.timeout.%s", parts[i]);

        if (*values[i] <= t->total_us || is_bad(o, option) || is_bad(o, "models.*.timeout.total"))
            continue;
        if (is_unset(o, option))
            *values[i] = t->total_us;
        else
            config_error(l->report, place_of(o, option), "%s.timeout.%s: %s is longer than timeout.total (%s)", o->path,
                         parts[i], shown(OPT_DURATION, *values[i]), shown(OPT_DURATION, t->total_us));
    }
}

static void check_largest_call(struct config_loader *l, const struct config_object *o)
{
    static const char option[] = "models.*.limits.largest_call";
    struct config_model *m = model_of(o);
    int64_t limit = m->limits.tokens_per_minute;
    int64_t *largest = &m->limits.largest_call;

    if (is_bad(o, option) || is_bad(o, "models.*.limits.tokens_per_minute") || is_bad(o, "models.*.max_output_tokens"))
        return;
    if (limit == 0) {
        if (*largest > 0)
            config_error(l->report, place_of(o, option), "%s.limits.largest_call needs tokens_per_minute beside it",
                         o->path);
        return;
    }
    if (is_unset(o, option)) {
        *largest = limit / 20 > 2 * m->max_output_tokens ? limit / 20 : 2 * m->max_output_tokens;
        *largest = *largest > limit / 2 ? limit / 2 : *largest;
    } else if (*largest >= limit) {
        config_error(l->report, place_of(o, option), "%s.limits.largest_call: %s is not below tokens_per_minute (%s)",
                     o->path, shown(OPT_COUNT, *largest), shown(OPT_COUNT, limit));
        return;
    } else if (*largest > limit / 2) {
        config_warning(
            l->report, place_of(o, option),
            "%s.limits.largest_call: %s is more than half of tokens_per_minute (%s): less than half of the limit "
            "can be used",
            o->path, shown(OPT_COUNT, *largest), shown(OPT_COUNT, limit));
    }
    if (m->max_output_tokens >= *largest)
        config_error(
            l->report, place_of(o, "models.*.max_output_tokens"),
            "%s.max_output_tokens: %s leaves no room for a prompt in limits.largest_call (%s): every call would end "
            "over_pool",
            o->path, shown(OPT_COUNT, m->max_output_tokens), shown(OPT_COUNT, *largest));
}

/* Tells who owns a name: the model whose id it is, or one listed before with it as alias. */
static const struct config_model *owner_of(const struct config *c, const char *name, const struct config_model *asking)
{
    for (size_t i = 0; i < c->n_models; i++)
        if (&c->models[i] != asking && strcmp(c->models[i].id, name) == 0)
            return &c->models[i];
    for (size_t i = 0; i < c->n_models && &c->models[i] != asking; i++)
        for (size_t k = 0; k < c->models[i].aliases.n; k++)
            if (strcmp(c->models[i].aliases.items[k], name) == 0)
                return &c->models[i];
    return NULL;
}

static void check_aliases(struct config_loader *l, const struct config_object *o)
{
    const struct config_model *m = model_of(o);

    for (size_t i = 0; i < m->aliases.n; i++) {
        const char *alias = m->aliases.items[i];
        const struct config_model *owner = owner_of(l->config, alias, m);

        if (owner != NULL)
            config_error(l->report, place_of(o, "models.*.aliases"), "%s.aliases: '%s' is already %s of models.%s",
                         o->path, alias, strcmp(owner->id, alias) == 0 ? "the id" : "an alias", owner->id);
    }
}

/* The names of a model as a job may use them, of this configuration alone: what core will look them up in. */
static struct registry names_of(const struct config *c)
{
    struct provider *providers = mem_zero(sizeof(*providers) * (c->n_models + 1));
    struct model *models = mem_zero(sizeof(*models) * (c->n_models + 1));

    for (size_t i = 0; i < c->n_models; i++) {
        const struct config_model *m = &c->models[i];

        providers[i].id = m->provider != NULL ? m->provider->name : "";
        models[i] = (struct model){.id = m->id,
                                   .provider = &providers[i],
                                   .vendor_model = m->name,
                                   .aliases = m->aliases.items,
                                   .n_aliases = m->aliases.n};
    }
    return (struct registry){
        .providers = providers, .n_providers = c->n_models, .models = models, .n_models = c->n_models};
}

/* Two models may share provider and vendor name (other parameters): then the qualified name means the first of them. */
static bool is_same_row(const struct model *found, const struct model *m, bool is_qualified)
{
    return found == m || (is_qualified && found != NULL && strcmp(found->provider->id, m->provider->id) == 0 &&
                          strcmp(found->vendor_model, m->vendor_model) == 0);
}

static void check_name(struct config_loader *l, const struct registry *r, const struct model *m, const char *name,
                       bool is_qualified)
{
    const struct model *found = registry_find(r, text_of(name));

    for (size_t i = 0; i < l->n_objects && !is_same_row(found, m, is_qualified); i++)
        if (l->objects[i].home == HOME_MODEL && model_of(&l->objects[i]) == &l->config->models[m - r->models])
            config_error(l->report, l->objects[i].place,
                         "%s: the name '%s' means models.%s, so this model would not be asked", l->objects[i].path,
                         name, found != NULL ? found->id : "(none)");
}

/* Every id, alias and `provider/vendor-name` leads back to its own row (D-24). */
static void check_round_trips(struct config_loader *l)
{
    struct registry r = names_of(l->config);

    for (size_t i = 0; i < r.n_models; i++) {
        const struct model *m = &r.models[i];

        check_name(l, &r, m, m->id, false);
        for (size_t k = 0; k < m->n_aliases; k++)
            if (owner_of(l->config, m->aliases[k], &l->config->models[i]) == NULL) /* else it was reported */
                check_name(l, &r, m, m->aliases[k], false);
        if (l->config->models[i].provider != NULL)
            check_name(l, &r, m, arena_printf(l->arena, "%s/%s", m->provider->id, m->vendor_model), true);
    }
    mem_free((void *)r.providers);
    mem_free((void *)r.models);
}

static bool has_equal_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool has_equal_list(const struct config_list *a, const struct config_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool has_same_meter(const struct config_model *a, const struct config_model *b)
{
    return a->provider != NULL && b->provider != NULL && has_equal_text(a->name, b->name) &&
           has_equal_text(a->provider->base_url, b->provider->base_url) &&
           has_equal_text(a->provider->api_key, b->provider->api_key) &&
           has_equal_list(&a->provider->api_keys, &b->provider->api_keys);
}

/* Models of one provider, key and vendor name share a pool: their limits must be one (DESIGN 11). */
static void check_meter(struct config_loader *l, const struct config_object *o)
{
    const struct config_model *m = model_of(o);

    for (const struct config_model *other = l->config->models; other < m; other++) {
        if (has_same_meter(other, m) && memcmp(&other->limits, &m->limits, sizeof(m->limits)) != 0) {
            config_error(l->report, o->place,
                         "%s has the provider, key and vendor name of models.%s but other limits: they are "
                         "one meter",
                         o->path, other->id);
            return;
        }
    }
}

/* Ids and aliases of all models; to be freed. */
static const char **model_names(const struct config *c, size_t *out_n)
{
    const char **names;
    size_t room = c->n_models + 1;

    for (size_t i = 0; i < c->n_models; i++)
        room += c->models[i].aliases.n;
    names = mem_zero(room * sizeof(*names));
    *out_n = 0;
    for (size_t i = 0; i < c->n_models; i++) {
        names[(*out_n)++] = c->models[i].id;
        for (size_t k = 0; k < c->models[i].aliases.n; k++)
            names[(*out_n)++] = c->models[i].aliases.items[k];
    }
    return names;
}

/* Every item of the list must be a model's id or alias. */
static void check_names(struct config_loader *l, const char *what, struct config_place at,
                        const struct config_list *list)
{
    size_t n;
    const char **names = model_names(l->config, &n);

    for (size_t i = 0; i < list->n; i++) {
        bool is_known = false;
        const char *near;

        for (size_t k = 0; k < n && !is_known; k++)
            is_known = strcmp(names[k], list->items[i]) == 0;
        if (is_known)
            continue;
        near = names_nearest(list->items[i], names, n);
        config_error(l->report, at, "%s: there is no model '%s'%s%s%s", what, list->items[i],
                     near == NULL ? "" : " (did you mean '", near == NULL ? "" : near, near == NULL ? "" : "'?)");
    }
    mem_free(names);
}

static void check_default_models(struct config_loader *l)
{
    const struct config_jobs *jobs = &l->config->jobs;
    struct config_place at = place_of(&l->objects[0], "jobs.default_models");

    if (jobs->default_models.n > JOB_MODELS_MAX)
        config_error(l->report, at, "jobs.default_models: %zu models, a job asks at most %d", jobs->default_models.n,
                     (int)JOB_MODELS_MAX);
    check_names(l, "jobs.default_models", at, &jobs->default_models);
}

static void check_default_provider(struct config_loader *l)
{
    const struct config *c = l->config;

    for (size_t i = 0; i < c->n_providers; i++)
        if (c->jobs.default_provider == NULL || strcmp(c->providers[i].name, c->jobs.default_provider) == 0)
            return;
    if (c->jobs.default_provider != NULL)
        config_error(l->report, place_of(&l->objects[0], "jobs.default_provider"),
                     "jobs.default_provider: there is no provider '%s'", c->jobs.default_provider);
}

/* NULL: none. Aliases are no other model's id. */
static const struct config_model *model_named(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_models; i++) {
        if (strcmp(c->models[i].id, name) == 0)
            return &c->models[i];
        for (size_t k = 0; k < c->models[i].aliases.n; k++)
            if (strcmp(c->models[i].aliases.items[k], name) == 0)
                return &c->models[i];
    }
    return NULL;
}

/* Each model has one place in a chain: attempts are counted, journaled and named in the records by model. */
static void check_fallbacks(struct config_loader *l, const struct config_object *o)
{
    const struct config_model *m = model_of(o);
    struct config_place at = place_of(o, "models.*.fallbacks");
    const char *what = arena_printf(l->arena, "%s.fallbacks", o->path);

    check_names(l, what, at, &m->fallbacks);
    if (m->fallbacks.n > MODEL_FALLBACKS_MAX)
        config_error(l->report, at, "%s: %zu models, at most %d", what, m->fallbacks.n, (int)MODEL_FALLBACKS_MAX);
    for (size_t i = 0; i < m->fallbacks.n; i++) {
        const char *const *names = (const char *const *)m->fallbacks.items;
        const struct config_model *f = model_named(l->config, names[i]);

        if (f == NULL)
            continue;
        if (f == m)
            config_error(l->report, at, "%s: '%s' is the model itself", what, names[i]);
        for (size_t k = 0; k < i; k++)
            if (model_named(l->config, names[k]) == f)
                config_error(l->report, at, "%s: '%s' is '%s', which is there already", what, names[i], names[k]);
    }
}

static void check_keys(struct config_loader *l, const struct config_object *o)
{
    const struct config_provider *p = o->base;

    if (p->api_key != NULL && p->api_keys.n > 0)
        config_error(l->report, place_of(o, "providers.*.api_keys"), "%s: api_key and api_keys exclude each other",
                     o->path);
    if (p->api_keys.n > PROVIDER_KEYS_MAX)
        config_error(l->report, place_of(o, "providers.*.api_keys"), "%s.api_keys: %zu keys, at most %d", o->path,
                     p->api_keys.n, (int)PROVIDER_KEYS_MAX);
}

/* A topic that is read and written would feed itself; two kinds of records in one topic cannot be read. */
static void check_topics(struct config_loader *l)
{
    static const char *const options[] = {"kafka.topics.results",      "kafka.topics.calls",
                                          "kafka.topics.dead_letters", "kafka.topics.model_stats",
                                          "kafka.topics.batches",      "kafka.topics.control"};
    const struct config_kafka *k = &l->config->kafka;
    const char *const outputs[] = {k->results, k->calls, k->dead_letters, k->model_stats, k->batches, k->control};
    const struct config_object *o = &l->objects[0];
    struct config_place at;

    if (k->jobs.n == 0)
        config_error(l->report, place_of(&l->objects[0], "kafka.topics.jobs"),
                     "kafka.topics.jobs: name at least one topic");
    for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
        const char *other = NULL;

        for (size_t j = 0; j < k->jobs.n; j++)
            if (strcmp(k->jobs.items[j], outputs[i]) == 0)
                other = "kafka.topics.jobs";
        for (size_t j = 0; j < i; j++)
            if (strcmp(outputs[j], outputs[i]) == 0)
                other = options[j];
        if (other == NULL)
            continue;
        at = place_of(o, is_unset(o, options[i]) ? other : options[i]); /* one of the two was written */
        config_error(l->report, at, "%s: '%s' is also in %s", options[i], outputs[i], other);
    }
}

static void check_retry(struct config_loader *l)
{
    const struct config_object *o = &l->objects[0];
    struct config_retry *r = &l->config->retry;

    if (r->base_us <= r->cap_us || is_bad(o, "retry.base") || is_bad(o, "retry.cap"))
        return;
    if (is_unset(o, "retry.base"))
        r->base_us = r->cap_us;
    else
        config_error(l->report, place_of(o, "retry.base"), "retry.base: %s is longer than retry.cap (%s)",
                     shown(OPT_DURATION, r->base_us), shown(OPT_DURATION, r->cap_us));
}

/* Without a journal nobody remembers the ids: said only to who asked for it, the default gives way silently. */
static void check_dedupe(struct config_loader *l)
{
    const struct config_object *o = &l->objects[0];

    if (l->config->journal.is_enabled || l->config->jobs.dedupe_us == 0 ||
        config_state_of(o, "jobs.dedupe", NULL) != OPTION_SET || is_bad(o, "journal.enabled"))
        return;
    config_warning(l->report, place_of(o, "jobs.dedupe"),
                   "jobs.dedupe: has no effect with journal.enabled: false, which keeps no job ids");
}

static void name_api(struct config_loader *l, struct config_provider *p)
{
    char word[32] = "";

    (void)option_word(option_find("providers.*.api")->words, (size_t)p->api, word, sizeof(word));
    p->api_name = arena_strdup(l->arena, word);
}

void config_cross_check(struct config_loader *l)
{
    struct config *c = l->config;

    if (c->n_models == 0)
        config_error(l->report, (struct config_place){0}, "models: name at least one model");
    if (c->journal.url == NULL)
        c->journal.url = c->redis.url;
    for (size_t i = 0; i < c->n_providers; i++)
        name_api(l, &c->providers[i]);
    check_topics(l);
    check_retry(l);
    check_dedupe(l);
    check_default_models(l);
    check_default_provider(l);
    for (size_t i = 0; i < l->n_objects; i++) {
        const struct config_object *o = &l->objects[i];

        if (o->home == HOME_PROVIDER)
            check_keys(l, o);
        if (o->home != HOME_MODEL)
            continue;
        if (model_of(o)->name == NULL)
            model_of(o)->name = model_of(o)->id;
        link_provider(l, o);
        check_timeouts(l, o);
        check_largest_call(l, o);
        check_aliases(l, o);
        check_fallbacks(l, o);
    }
    for (size_t i = 0; i < l->n_objects; i++)
        if (l->objects[i].home == HOME_MODEL)
            check_meter(l, &l->objects[i]);
    check_round_trips(l);
}

static struct config_promise promise(int64_t limit, int64_t bucket)
{
    struct config_promise p = {.limit = limit, .bucket = bucket};

    p.rate = (double)(limit - bucket) / (window_s + spread_s);
    p.utilisation = (1.0 - (double)bucket / (double)limit) * window_s / (window_s + spread_s);
    return p;
}

struct config_promise config_promise_requests(int64_t requests_per_minute)
{
    int64_t bucket = requests_per_minute / 50;

    return promise(requests_per_minute, bucket < 1 ? 1 : bucket);
}

struct config_promise config_promise_tokens(int64_t tokens_per_minute, int64_t largest_call)
{
    return promise(tokens_per_minute, largest_call);
}
