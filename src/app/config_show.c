/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as it is in effect, with the place each value came from: `tutti config show`. Written from the
 * option table, so that it lists exactly what the manual lists. Secrets are never shown. Main thread. */
#include <stdio.h>
#include <string.h>

#include "app/config_internal.h"
#include "base/json_write.h"
#include "base/mem.h"

enum { VALUE_COLUMN = 44 /* where the origin stands */ };

struct show {
    const struct config_loader *l;
    struct buf *out;
    struct json_write *json; /* NULL: YAML */
    char section[128];       /* of the line before */
};

static const char hidden[] = "(hidden)";

/* user:password@ of a URL is blotted out. */
static void add_url(struct buf *b, const char *url)
{
    const char *host = strstr(url, "://");
    const char *at;

    host = host != NULL ? host + 3 : url;
    at = memchr(host, '@', strcspn(host, "/?#"));
    if (at == NULL)
        buf_add_str(b, url);
    else
        buf_printf(b, "%.*s***%s", (int)(host - url), url, at);
}

static void add_list(struct buf *b, const struct option *o, const struct config_list *list)
{
    buf_add_char(b, '[');
    for (size_t i = 0; i < list->n; i++)
        buf_printf(b, "%s%s", i > 0 ? ", " : "", (o->flags & OPT_HIDDEN) != 0 ? hidden : list->items[i]);
    buf_add_char(b, ']');
}

/* kafka.properties hold passwords under names that librdkafka chooses: values of all but the harmless ones are hidden.
 */
static bool is_secret_name(const char *name)
{
    static const char *const words[] = {"password", "secret", "key", "jaas", "token", "oauthbearer", "username", "pem"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(name, words[i]) != NULL)
            return true;
    return false;
}

static void add_map(struct buf *b, const struct option *o, const struct config_map *map)
{
    buf_add_char(b, '{');
    for (size_t i = 0; i < map->n; i++)
        buf_printf(b, "%s%s: %s", i > 0 ? ", " : "", map->pairs[i].name,
                   o->type == OPT_MAP_TEXT && is_secret_name(map->pairs[i].name) ? hidden : map->pairs[i].value);
    buf_add_char(b, '}');
}

static void add_text(struct buf *b, const struct option *o, const char *s)
{
    if (s == NULL)
        buf_add_str(b, (o->flags & OPT_AUTO) != 0 ? "auto" : "null");
    else if (o->type == OPT_SECRET)
        buf_add_str(b, hidden);
    else if (o->type == OPT_URL)
        add_url(b, s);
    else
        buf_add_str(b, s);
}

/* A limit of 0 and a price of -1 say that there is none. */
static void add_number(struct buf *b, const struct option *o, int64_t v)
{
    char text[48];

    if ((o->flags & OPT_AUTO) != 0 && v == 0) {
        buf_add_str(b, "auto");
    } else if (o->fallback == NULL && (o->type == OPT_MONEY ? v < 0 : v == 0)) {
        buf_add_str(b, "null");
    } else if (o->type == OPT_MONEY) {
        struct json_write w;

        jw_init(&w, b);
        jw_usd(&w, v);
    } else {
        option_write_number(o->type, v, text, sizeof(text));
        buf_add_str(b, text);
    }
}

static void add_value(struct buf *b, const struct option *o, const void *field)
{
    char word[32] = "";

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
    case OPT_URL:
    case OPT_PATH:
        add_text(b, o, *(const char *const *)field);
        break;
    case OPT_BOOL:
        buf_add_str(b, *(const bool *)field ? "true" : "false");
        break;
    case OPT_ENUM:
        (void)option_word(o->words, (size_t) * (const int *)field, word, sizeof(word));
        buf_add_str(b, word);
        break;
    case OPT_LIST:
        add_list(b, o, field);
        break;
    case OPT_MAP_TEXT:
    case OPT_MAP_JSON:
        add_map(b, o, field);
        break;
    default:
        add_number(b, o, *(const int64_t *)field);
        break;
    }
}

/* Without a default of its own a value that is there was computed from other options. */
static const char *unset_origin(const struct option *opt, const struct buf *value)
{
    static const char *const nothing[] = {"null", "[]", "{}"};

    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        if (strcmp(value->p, nothing[i]) == 0)
            return "not set";
    return opt->fallback != NULL ? "default" : "computed";
}

static void add_origin(struct buf *b, const struct show *s, const struct config_object *o, const struct option *opt,
                       const struct buf *value)
{
    struct config_place at = {0};

    if (config_state_of(o, opt->path, &at) == OPTION_UNSET)
        buf_add_str(b, unset_origin(opt, value));
    else if (at.origin != NULL)
        buf_add_str(b, at.origin);
    else
        buf_printf(b, "%s:%d", s->l->config->path, at.line);
}

/* The headings that the path needs and the line before has not written yet; gives the last name of the path. */
static const char *open_sections(struct show *s, const char *path, int depth)
{
    const char *name = path;
    const char *dot;

    while ((dot = strchr(name, '.')) != NULL) {
        size_t len = (size_t)(dot - path);

        if (strncmp(s->section, path, len) != 0 || (s->section[len] != '.' && s->section[len] != '\0'))
            buf_printf(s->out, "%*s%.*s:\n", depth * 2, "", (int)(dot - name), name);
        depth++;
        name = dot + 1;
    }
    snprintf(s->section, sizeof(s->section), "%.*s", name > path ? (int)(name - path - 1) : 0, path);
    buf_printf(s->out, "%*s", depth * 2, "");
    return name;
}

static void show_option(struct show *s, const struct config_object *o, const struct option *opt)
{
    bool is_entry = o->home != HOME_CONFIG;
    /* below "models.*." and "providers.*." paths count from the entry */
    const char *path = is_entry ? strchr(opt->path, '*') + 2 : opt->path;
    struct buf value, origin;

    buf_init(&value, 0);
    buf_init(&origin, 0);
    add_value(&value, opt, (const char *)o->base + opt->offset);
    add_origin(&origin, s, o, opt, &value);
    if (s->json != NULL) {
        struct buf key;

        buf_init(&key, 0);
        buf_printf(&key, "%s%s%s", o->path, is_entry ? "." : "", path);
        jw_key_text(s->json, text_slice(key.p, key.len));
        jw_open(s->json, '{');
        jw_kv_text(s->json, "value", text_slice(value.p, value.len));
        jw_kv_text(s->json, "origin", text_slice(origin.p, origin.len));
        jw_close(s->json, '}');
        buf_done(&key);
    } else {
        size_t begin = s->out->len, width;
        const char *name = open_sections(s, path, is_entry ? 2 : 0);

        buf_printf(s->out, "%s: ", name);
        buf_add(s->out, value.p, value.len);
        while (begin < s->out->len && memchr(s->out->p + begin, '\n', s->out->len - begin) != NULL)
            begin += (size_t)((char *)memchr(s->out->p + begin, '\n', s->out->len - begin) - (s->out->p + begin)) + 1;
        width = s->out->len - begin;
        buf_printf(s->out, "%*s# ", width < VALUE_COLUMN ? (int)(VALUE_COLUMN - width) : 1, "");
        buf_add(s->out, origin.p, origin.len);
        buf_add_char(s->out, '\n');
    }
    buf_done(&value);
    buf_done(&origin);
}

static void show_object(struct show *s, const struct config_object *o)
{
    size_t n;
    const struct option *all = option_all(&n);

    s->section[0] = '\0';
    for (size_t i = 0; i < n; i++)
        if (all[i].home == o->home)
            show_option(s, o, &all[i]);
}

static void show_entries(struct show *s, enum option_home home, const char *heading)
{
    bool is_first = true;

    for (size_t i = 0; i < s->l->n_objects; i++) {
        const struct config_object *o = &s->l->objects[i];

        if (o->home != home)
            continue;
        if (is_first && s->json == NULL)
            buf_printf(s->out, "%s:\n", heading);
        is_first = false;
        if (s->json == NULL)
            buf_printf(s->out, "  %s:\n", strchr(o->path, '.') + 1);
        show_object(s, o);
    }
}

void config_show(const struct config_loader *l, bool is_json, struct buf *out)
{
    struct json_write w;
    struct show s = {.l = l, .out = out, .json = is_json ? &w : NULL};

    jw_init(&w, out);
    if (is_json)
        jw_open(&w, '{');
    show_object(&s, &l->objects[0]);
    show_entries(&s, HOME_PROVIDER, "providers");
    show_entries(&s, HOME_MODEL, "models");
    if (is_json) {
        jw_close(&w, '}');
        buf_add_char(out, '\n');
    }
}
