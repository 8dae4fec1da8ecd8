/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the YAML tree beside the option table: known keys are set, unknown ones reported with the nearest spelling,
 * missing ones get their default. Main thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/config_internal.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"

enum { CHILDREN_MAX = 32, PATH_MAX_BYTES = 128, KEYS_SHOWN = 4 };

/* A mapping of the file: `pattern` is its path in the table, `path` as the user wrote it. */
struct section {
    const char *pattern;
    const char *path;
    size_t object;
};

static const char *join(struct arena *a, const char *path, const char *key)
{
    return *path == '\0' ? arena_strdup(a, key) : arena_printf(a, "%s.%s", path, key);
}

/* A path below `pattern` that ends in `key` ("limits.concurrency" for concurrency in models.*), or NULL. */
static const char *find_below(const char *pattern, const char *key)
{
    size_t prefix = *pattern == '\0' ? 0 : strlen(pattern) + 1;
    size_t key_len = strlen(key);
    size_t n;
    const struct option *all = option_all(&n);

    for (size_t i = 0; i < n; i++) {
        const char *path = all[i].path;
        size_t len = strlen(path);

        if (prefix > 0 && (strncmp(path, pattern, prefix - 1) != 0 || path[prefix - 1] != '.'))
            continue;
        if (len > prefix + key_len && path[len - key_len - 1] == '.' && strcmp(path + len - key_len, key) == 0 &&
            strchr(path + prefix, '*') == NULL)
            return path + prefix;
    }
    return NULL;
}

static const char *suggest(const struct section *s, const char *key)
{
    static _Thread_local char children[CHILDREN_MAX][64]; /* the answer may point into it */
    const char *pointers[CHILDREN_MAX];
    const char *ours = option_foreign(key);
    const char *below;
    size_t n = option_children(s->pattern, children, CHILDREN_MAX);

    for (size_t i = 0; i < n; i++) {
        pointers[i] = children[i];
        if (ours != NULL && strcmp(children[i], ours) == 0)
            return children[i];
    }
    below = find_below(s->pattern, ours != NULL ? ours : key);
    return below != NULL ? below : names_nearest(key, pointers, n);
}

/* One mistake is one problem: what stands there under another name is not missing too. */
static void excuse_missing(struct config_loader *l, const struct section *s, const char *near)
{
    const struct option *meant = option_find(join(l->arena, s->pattern, near));
    struct config_object *o = &l->objects[s->object];

    if (meant != NULL && (meant->flags & OPT_REQUIRED) != 0 && o->state[option_index(meant)] == OPTION_UNSET)
        o->state[option_index(meant)] = OPTION_BAD;
}

static void report_unknown(struct config_loader *l, const struct section *s, const struct yaml_node *node)
{
    const char *near = suggest(s, node->key->text);
    const char *in = *s->path == '\0' ? "" : arena_printf(l->arena, " in %s", s->path);

    if (near == NULL) {
        config_error(l->report, node->key->place, "unknown key '%s'%s", node->key->text, in);
        return;
    }
    config_error(l->report, node->key->place, "unknown key '%s'%s (did you mean '%s'?)", node->key->text, in, near);
    excuse_missing(l, s, near);
}

/* "; its keys: connect, first_byte", or "" where they are anybody's names. */
static const char *keys_of(struct config_loader *l, const char *pattern)
{
    char children[CHILDREN_MAX][64];
    size_t n = *pattern == '\0' ? 0 : option_children(pattern, children, CHILDREN_MAX);
    const char *keys = "";

    if (n == 0 || children[0][0] == '*')
        return "";
    for (size_t i = 0; i < n && i < KEYS_SHOWN; i++)
        keys = arena_printf(l->arena, "%s%s%s", keys, i == 0 ? "; its keys: " : ", ", children[i]);
    return n > KEYS_SHOWN ? arena_printf(l->arena, "%s ...", keys) : keys;
}

static bool is_mapping(struct config_loader *l, const struct yaml_node *node, const struct section *s)
{
    if (node->kind == YAML_MAPPING)
        return true;
    if (node->kind != YAML_REFUSED && !yaml_is_null(node))
        config_error(l->report, node->place, "%s must be a mapping, not %s%s", *s->path == '\0' ? "the file" : s->path,
                     yaml_kind_name(node), keys_of(l, s->pattern));
    return false;
}

static size_t add_object(struct config_loader *l, enum option_home home, void *base, const char *path,
                         struct config_place at)
{
    struct config_object *o;

    l->objects = mem_resize(l->objects, (l->n_objects + 1) * sizeof(*l->objects));
    o = &l->objects[l->n_objects];
    memset(o, 0, sizeof(*o));
    o->home = home;
    o->base = base;
    o->path = path;
    o->place = at;
    return l->n_objects++;
}

/* 1-64 of letters, digits, . _ - for providers: `provider/vendor-id` names a model in a job. */
static bool check_entry_name(struct config_loader *l, enum option_home home, const struct yaml_node *node,
                             const char *path)
{
    static const char provider_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *name = node->key->text;
    size_t len = node->key->len;

    if (home == HOME_PROVIDER && (len == 0 || len > 64 || strspn(name, provider_chars) != len))
        config_error(l->report, node->key->place,
                     "%s: a provider's name has 1 to 64 letters, digits, dots, underscores or "
                     "hyphens",
                     path);
    else if (home == HOME_MODEL && (len == 0 || len > 200 || strpbrk(name, " \t\r\n\f\v") != NULL))
        config_error(l->report, node->key->place, "%s: a model's id has 1 to 200 characters without blanks", path);
    else
        return config_text_is_clean(l, node->key->place, path, name);
    return false;
}

static void load_section(struct config_loader *l, const struct section *s, const struct yaml_node *node);

/* providers: or models: one structure per entry, in the file's order. */
static void load_entries(struct config_loader *l, const struct section *s, enum option_home home,
                         const struct yaml_node *node)
{
    bool is_model = home == HOME_MODEL;
    const char *pattern = join(l->arena, s->pattern, "*");
    size_t n = 0;

    for (const struct yaml_node *e = node->first; e != NULL; e = e->next)
        n++;
    if (is_model)
        l->config->models = arena_zero(l->arena, (n + 1) * sizeof(struct config_model));
    else
        l->config->providers = arena_zero(l->arena, (n + 1) * sizeof(struct config_provider));
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next) {
        struct section entry = {.pattern = pattern, .path = join(l->arena, s->path, e->key->text)};
        void *base;

        (void)check_entry_name(l, home, e, entry.path);
        if (is_model) {
            l->config->models[l->config->n_models].id = arena_strdup(l->arena, e->key->text);
            base = &l->config->models[l->config->n_models++];
        } else {
            l->config->providers[l->config->n_providers].name = arena_strdup(l->arena, e->key->text);
            base = &l->config->providers[l->config->n_providers++];
        }
        entry.object = add_object(l, home, base, entry.path, e->key->place);
        load_section(l, &entry, e);
    }
}

static void load_key(struct config_loader *l, const struct section *s, const struct yaml_node *node)
{
    char pattern[PATH_MAX_BYTES];
    const struct option *opt;
    int len = snprintf(pattern, sizeof(pattern), "%s%s%s", s->pattern, *s->pattern == '\0' ? "" : ".", node->key->text);
    struct section below = {.pattern = pattern, .path = join(l->arena, s->path, node->key->text), .object = s->object};
    char entries[PATH_MAX_BYTES + 2];

    if (len >= (int)sizeof(pattern) ||
        strpbrk(node->key->text, ".*") != NULL) { /* '*' and dots mean more in the table */
        report_unknown(l, s, node);
        return;
    }
    (void)snprintf(entries, sizeof(entries), "%s.*", pattern);
    opt = option_find(pattern);
    if (opt != NULL)
        config_value_set(l, &l->objects[s->object], opt, node, below.path);
    else if (!option_is_section(pattern))
        report_unknown(l, s, node);
    else if (!is_mapping(l, node, &below))
        return;
    else if (option_is_section(entries))
        load_entries(l, &below, strcmp(pattern, "models") == 0 ? HOME_MODEL : HOME_PROVIDER, node);
    else
        load_section(l, &below, node);
}

static void load_section(struct config_loader *l, const struct section *s, const struct yaml_node *node)
{
    if (!is_mapping(l, node, s))
        return;
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next)
        load_key(l, s, e);
}

/* Defaults of what was not set, or could not be: the fields are whole whatever was reported. */
static void fill_defaults(struct config_loader *l, size_t object)
{
    struct config_object *o = &l->objects[object];
    size_t n;
    const struct option *all = option_all(&n);

    for (size_t i = 0; i < n; i++) {
        void *field = (char *)o->base + all[i].offset;
        enum option_state state = o->state[i];
        struct yaml_node *node;

        if (all[i].home != o->home || state == OPTION_SET)
            continue;
        if (all[i].type == OPT_MONEY)
            *(int64_t *)field = -1;
        if (state == OPTION_UNSET && (all[i].flags & OPT_REQUIRED) != 0) {
            config_error(l->report, o->place, "%s: '%s' is missing", o->path, strrchr(all[i].path, '.') + 1);
            o->state[i] = OPTION_BAD;
        }
        if (all[i].fallback == NULL)
            continue;
        node = yaml_new(l->arena, YAML_SCALAR, (struct config_place){0}, all[i].fallback);
        node->is_verbatim = true;
        config_value_set(l, o, &all[i], node, all[i].path);
        CHECK(o->state[i] == OPTION_SET); /* a default of the table that its own row refuses */
        o->state[i] = state;
    }
}

enum option_state config_state_of(const struct config_object *o, const char *option, struct config_place *out_at)
{
    const struct option *opt = option_find(option);
    size_t row;

    CHECK(opt != NULL && opt->home == o->home);
    row = option_index(opt);
    if (out_at != NULL)
        *out_at = o->state[row] != OPTION_UNSET && (o->places[row].line > 0 || o->places[row].origin != NULL)
                      ? o->places[row]
                      : o->place;
    return o->state[row];
}

int config_parse(const char *text, size_t len, const char *name, const struct config_input *in,
                 struct config_report *report, struct config **out_config)
{
    struct arena *arena = arena_new(16384);
    struct config *c = arena_zero(arena, sizeof(*c));
    struct config_loader l = {.in = in, .report = report, .config = c, .arena = arena};
    const char *slash = strrchr(name, '/');
    struct section top = {.pattern = "", .path = ""};
    struct yaml_node *root;

    c->arena = arena;
    c->path = arena_strdup(arena, name);
    l.dir = slash == NULL ? "." : slash == name ? "/" : arena_copy(arena, name, (size_t)(slash - name));
    config_report_source(report, name, text, len);
    root = yaml_parse(arena, text, len, report);
    if (root != NULL) {
        top.object = add_object(&l, HOME_CONFIG, c, "", (struct config_place){0});
        config_override(&l, root);
        load_section(&l, &top, root);
        for (size_t i = 0; i < l.n_objects; i++)
            fill_defaults(&l, i);
        config_cross_check(&l);
        if (in != NULL && in->out_shown != NULL && report->n_errors == 0)
            config_show(&l, in->is_shown_as_json, in->out_shown);
    }
    mem_free(l.objects);
    if (report->n_errors > 0) {
        config_free(c);
        return -EINVAL;
    }
    *out_config = c;
    return 0;
}

void config_free(struct config *c)
{
    if (c != NULL)
        arena_free(c->arena); /* c itself lives in it */
}
