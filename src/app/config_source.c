/* SPDX-License-Identifier: Apache-2.0 */
/* Where a configuration comes from: which file is read, and what the environment and --set put over it. They are put
 * into the tree before it is read, so that one reader checks them all. Main thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/config_internal.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"

enum { NAME_MAX_BYTES = 128 };

/* Makes the sections on the way and replaces what was there. */
static void put(struct config_loader *l, struct yaml_node *root, const struct option *opt, const char *text,
                struct config_place at)
{
    char *rest = arena_strdup(l->arena, opt->path);
    struct yaml_node *section = root;
    struct yaml_node *child;
    char *key;

    while (section->kind == YAML_MAPPING && (key = strsep(&rest, ".")) != NULL) {
        child = yaml_find(section, key);
        if (child == NULL) {
            child = yaml_new(l->arena, YAML_MAPPING, at, NULL);
            yaml_add(section, yaml_new(l->arena, YAML_SCALAR, at, key), child);
        }
        if (rest == NULL) {
            child->kind = YAML_SCALAR;
            child->place = at;
            child->text = arena_strdup(l->arena, text);
            child->len = strlen(text);
            child->is_verbatim = true;
            child->is_plain = false;
            child->first = child->last = NULL;
        } else if (yaml_is_null(child)) {
            child->kind = YAML_MAPPING; /* "kafka:" with nothing below */
        }
        section = child;
    }
    /* a section that is no mapping is reported when it is read */
}

static void override_env(struct config_loader *l, struct yaml_node *root, const char *entry)
{
    char names[OPTION_MAX][NAME_MAX_BYTES];
    const char *pointers[OPTION_MAX];
    size_t n;
    const struct option *all = option_all(&n);
    const char *equals = strchr(entry, '=');
    struct config_place at = {0};
    const char *near;

    if (strncmp(entry, "TUTTI_", 6) != 0 || equals == NULL)
        return;
    at.origin = arena_copy(l->arena, entry, (size_t)(equals - entry));
    for (size_t i = 0; i < n; i++) {
        pointers[i] = option_env_name(&all[i], names[i], sizeof(names[i])) ? names[i] : NULL;
        if (pointers[i] != NULL && strcmp(at.origin, pointers[i]) == 0) {
            put(l, root, &all[i], equals + 1, at);
            return;
        }
    }
    /* Others may use the prefix: a Kubernetes service named tutti gives TUTTI_PORT and TUTTI_SERVICE_HOST. */
    if (strstr(at.origin, "__") == NULL)
        return;
    near = names_nearest(at.origin, pointers, n);
    if (near != NULL)
        config_error(l->report, at, "no such option (did you mean '%s'?)", near);
    else
        config_error(l->report, at,
                     "no such option; what stands below kafka.properties, providers and models is set in "
                     "the file: write ${env:NAME} there");
}

static void override_set(struct config_loader *l, struct yaml_node *root, const char *entry)
{
    const char *pointers[OPTION_MAX];
    size_t n;
    const struct option *all = option_all(&n);
    const char *equals = strchr(entry, '=');
    const struct option *opt = NULL;
    struct config_place at = {0};
    char ignored[NAME_MAX_BYTES];
    const char *near;
    char *key;

    key = arena_copy(l->arena, entry, equals == NULL ? strlen(entry) : (size_t)(equals - entry));
    at.origin = arena_printf(l->arena, "--set %s", key);
    if (equals == NULL) {
        config_error(l->report, at, "write --set KEY=VALUE");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        pointers[i] = option_env_name(&all[i], ignored, sizeof(ignored)) ? all[i].path : NULL;
        if (pointers[i] != NULL && strcmp(key, pointers[i]) == 0)
            opt = &all[i];
    }
    if (opt != NULL) {
        put(l, root, opt, equals + 1, at);
        return;
    }
    near = names_nearest(key, pointers, n);
    if (near != NULL)
        config_error(l->report, at, "no such option (did you mean '%s'?)", near);
    else
        config_error(l->report, at,
                     "no such option, or one that is set in the file only (kafka.properties, providers, models)");
}

void config_override(struct config_loader *l, struct yaml_node *root)
{
    for (const char *const *e = l->in->env; e != NULL && *e != NULL; e++)
        override_env(l, root, *e);
    for (size_t i = 0; i < l->in->n_sets; i++)
        override_set(l, root, l->in->sets[i]);
}

const char *config_find(const struct config_input *in)
{
    static const char *const places[] = {"tutti.yaml", "/etc/tutti/tutti.yaml"};
    const char *named = config_getenv(in, "TUTTI_CONFIG");

    if (in->path != NULL)
        return in->path;
    if (named != NULL && *named != '\0')
        return named;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}

int config_load(const struct config_input *in, struct config_report *report, struct config **out_config)
{
    const char *path = config_find(in);
    struct arena *arena;
    size_t len = 0;
    char *text;
    int r;

    if (path == NULL) {
        config_error(report, (struct config_place){0},
                     "no configuration file: give one with -c FILE or TUTTI_CONFIG, or "
                     "write ./tutti.yaml with 'tutti init' (/etc/tutti/tutti.yaml was looked for too)");
        return -ENOENT;
    }
    arena = arena_new(4096);
    text = config_read_file(arena, path, YAML_BYTES_MAX, &len);
    if (text == NULL) {
        config_report_source(report, path, NULL, 0);
        config_error(report, (struct config_place){0}, "cannot read the file: %s", strerror(errno));
        r = -ENOENT;
    } else {
        r = config_parse(text, len, strcmp(path, "-") == 0 ? "<stdin>" : path, in, report, out_config);
    }
    arena_free(arena);
    return r;
}
