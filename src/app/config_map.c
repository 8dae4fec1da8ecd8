/* SPDX-License-Identifier: Apache-2.0 */
/* Options whose keys the user chooses: librdkafka properties as text, request parameters as JSON by the YAML 1.2 core
 * schema. Main thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config_internal.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/scan.h"

static bool ends_with(const char *s, const char *end)
{
    size_t len = strlen(s);
    size_t end_len = strlen(end);

    return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

static bool check_property(struct config_loader *l, const struct yaml_node *node, const char *value, const char *path)
{
    const struct config_hooks *hooks = l->in->hooks;
    const char *name = node->key->text;
    char why[512] = "";

    if (hooks != NULL && hooks->check_property != NULL && hooks->check_property(name, value, why, sizeof(why)) < 0) {
        config_error(l->report, node->key->place, "%s: %s", path, *why == '\0' ? "librdkafka refuses it" : why);
        return false;
    }
    if ((ends_with(name, "password") || ends_with(name, "secret")) && strstr(node->text, "${") == NULL)
        config_warning(l->report, node->key->place, "%s.%s is written in the file: prefer ${env:NAME} or ${file:PATH}",
                       path, name);
    return true;
}

static bool text_value(struct config_loader *l, const struct yaml_node *node, const char *path, const char **out)
{
    const char *text;

    if (node->kind == YAML_REFUSED)
        return false;
    if (node->kind != YAML_SCALAR) {
        config_error(l->report, node->key->place,
                     "%s: '%s' must be a single value, not %s; write a.b.c: value in one line", path, node->key->text,
                     yaml_kind_name(node));
        return false;
    }
    text = config_expand(l, node);
    if (text == NULL)
        return false;
    /* a certificate given as PEM has line breaks */
    if (!ends_with(node->key->text, ".pem") && !config_text_is_clean(l, node->place, path, text))
        return false;
    if (ends_with(node->key->text, ".location") && strcmp(text, "probe") != 0 && *text != '\0')
        text = config_resolve(l, text);
    if (!check_property(l, node, text, path))
        return false;
    *out = arena_strdup(l->arena, text);
    return true;
}

static bool is_json_number(const char *s)
{
    struct scan scan;

    scan_init(&scan, s, strlen(s));
    return scan_peek(&scan) == SCAN_NUMBER && scan_skip(&scan, NULL) == 0 && scan_end(&scan) == 0;
}

/* True for what YAML's core schema or a person takes for a number: 0x1F, .5, +1, .inf. */
static bool looks_like_number(const char *s)
{
    const char *body = s + strspn(s, "+-");
    char *end;

    if (strcasecmp(body, ".inf") == 0 || strcasecmp(body, ".nan") == 0)
        return true;
    if ((*body < '0' || *body > '9') && *body != '.')
        return false;
    (void)strtod(s, &end);
    return end != s && *end == '\0';
}

static bool write_plain(struct config_loader *l, const struct yaml_node *node, const char *text, struct json_write *w)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0) {
        jw_bool(w, true);
    } else if (strcmp(text, "false") == 0 || strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0) {
        jw_bool(w, false);
    } else if (yaml_is_null(node)) {
        jw_null(w);
    } else if (is_json_number(text)) {
        jw_raw(w, text_of(text));
    } else if (looks_like_number(text)) {
        config_error(l->report, node->place, "'%s' is not a number as JSON writes it: quote it or write it like 0.5",
                     text);
        return false;
    } else {
        jw_str(w, text);
    }
    return true;
}

/* Depth is bounded by the parser's YAML_DEPTH_MAX. */
static bool write_json(struct config_loader *l, const struct yaml_node *node, struct json_write *w)
{
    bool is_mapping = node->kind == YAML_MAPPING;
    bool is_good = true;
    const char *text;

    if (node->kind == YAML_REFUSED)
        return false;
    if (node->kind == YAML_SCALAR) {
        text = config_expand(l, node);
        if (text == NULL)
            return false;
        if (node->is_plain)
            return write_plain(l, node, text, w);
        jw_str(w, text);
        return true;
    }
    jw_open(w, is_mapping ? '{' : '[');
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next) {
        if (is_mapping)
            jw_key_text(w, text_of(e->key->text));
        is_good &= write_json(l, e, w);
    }
    jw_close(w, is_mapping ? '}' : ']');
    return is_good;
}

static bool json_value(struct config_loader *l, const struct yaml_node *node, const char **out)
{
    struct json_write w;
    struct buf b;
    bool is_good;

    buf_init(&b, 0);
    jw_init(&w, &b);
    is_good = write_json(l, node, &w);
    if (is_good)
        *out = arena_copy(l->arena, b.p, b.len);
    buf_done(&b);
    return is_good;
}

bool config_value_map(struct config_loader *l, const struct option *opt, const struct yaml_node *node, const char *path,
                      struct config_map *out)
{
    struct config_pair *pairs;
    bool is_good = true;
    size_t room = 1;
    size_t n = 0;

    if (node->kind != YAML_MAPPING) {
        config_error(l->report, node->place, "%s must be a mapping, not %s", path, yaml_kind_name(node));
        return false;
    }
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next)
        room++;
    pairs = arena_zero(l->arena, room * sizeof(*pairs));
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next) {
        pairs[n].name = arena_strdup(l->arena, e->key->text);
        if (*e->key->text == '\0') {
            config_error(l->report, e->key->place, "%s: a name must not be empty", path);
            is_good = false;
        } else if (opt->type == OPT_MAP_TEXT ? text_value(l, e, path, &pairs[n].value)
                                             : json_value(l, e, &pairs[n].value)) {
            n++;
        } else {
            is_good = false;
        }
    }
    if (is_good)
        *out = (struct config_map){.pairs = pairs, .n = n};
    return is_good;
}
