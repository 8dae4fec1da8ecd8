/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the value of one option as its row of the table says and writes it into its field. Never looks at other
 * options. Values of secret options appear in no message. Main thread. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/config_internal.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/units.h"

enum { WORDS_MAX = 16, SHOWN_MAX = 80 };

/* One scalar on its way into a field. */
struct value {
    struct config_loader *l;
    const struct option *opt;
    const char *path;
    const char *text;
    struct config_place at;
};

bool config_text_is_clean(struct config_loader *l, struct config_place at, const char *path, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            config_error(l->report, at, "%s: the value holds a control character (a line break?)", path);
            return false;
        }
    }
    return true;
}

/* The value as messages quote it. */
static const char *quoted(const struct value *v)
{
    bool is_hidden = v->opt->type == OPT_SECRET || (v->opt->flags & OPT_HIDDEN) != 0 ||
                     (v->opt->type == OPT_URL && strchr(v->text, '@') != NULL);

    if (is_hidden)
        return "the value";
    return arena_printf(v->l->arena, "'%.*s%s'", SHOWN_MAX, v->text, strlen(v->text) > SHOWN_MAX ? "..." : "");
}

static const char *or_auto(const struct value *v)
{
    return (v->opt->flags & OPT_AUTO) != 0 ? ", or auto" : "";
}

static int units_int(const char *s, int64_t *out)
{
    for (const char *p = s; *p != '\0'; p++)
        if (*p < '0' || *p > '9')
            return -EINVAL;
    return units_count(s, out);
}

static const struct {
    int (*read)(const char *s, int64_t *out);
    const char *form;
} number_types[OPT_TYPE_MAX] = {
    [OPT_INT] = {units_int, "an integer"},
    [OPT_COUNT] = {units_count, "a count: write it like 60, 25k or 1.5M"},
    [OPT_SIZE] = {units_size, "a size: write it like 4096, 512KiB or 4MiB"},
    [OPT_DURATION] = {units_duration, "a duration: write a number with its unit, like 250ms, 5s, 2m or 1h"},
    [OPT_MONEY] = {units_nano, "a price: write USD with at most 9 decimals, like 2.50"},
};

static bool set_number(const struct value *v, int64_t *out)
{
    char low[32];
    char high[32];
    int64_t number = 0;
    int r;

    if ((v->opt->flags & OPT_AUTO) != 0 && strcmp(v->text, "auto") == 0) {
        *out = 0;
        return true;
    }
    r = number_types[v->opt->type].read(v->text, &number);
    if (r == -EINVAL) {
        config_error(v->l->report, v->at, "%s: %s is not %s%s", v->path, quoted(v), number_types[v->opt->type].form,
                     or_auto(v));
        return false;
    }
    if (r < 0 || (v->opt->max > 0 && (number < v->opt->min || number > v->opt->max))) {
        option_write_number(v->opt->type, v->opt->min, low, sizeof(low));
        option_write_number(v->opt->type, v->opt->max, high, sizeof(high));
        if (v->opt->max > 0)
            config_error(v->l->report, v->at, "%s: %s is out of range: %s to %s%s", v->path, quoted(v), low, high,
                         or_auto(v));
        else
            config_error(v->l->report, v->at, "%s: %s is too large", v->path, quoted(v));
        return false;
    }
    *out = number;
    return true;
}

/* "a, b, c" and an array of the words. */
static size_t split_words(const char *words, char out[][32], const char *pointers[], struct buf *listed)
{
    size_t n = 0;

    while (n < WORDS_MAX && option_word(words, n, out[n], sizeof(out[n]))) {
        buf_printf(listed, "%s%s", n == 0 ? "" : ", ", out[n]);
        pointers[n] = out[n];
        n++;
    }
    return n;
}

static bool set_word(const struct value *v, int *out)
{
    char words[WORDS_MAX][32];
    const char *pointers[WORDS_MAX];
    const char *near;
    struct buf listed;
    bool is_known = false;
    size_t n;

    buf_init(&listed, 0);
    n = split_words(v->opt->words, words, pointers, &listed);
    for (size_t i = 0; i < n && !is_known; i++) {
        if (strcmp(words[i], v->text) == 0) {
            *out = (int)i;
            is_known = true;
        }
    }
    if (!is_known) {
        near = n < 2 ? NULL : names_nearest(v->text, pointers, n);
        config_error(v->l->report, v->at, "%s: %s is not %s%s%s%s%s", v->path, quoted(v), n == 1 ? "" : "one of ",
                     listed.p, near == NULL ? "" : " (did you mean '", near == NULL ? "" : near,
                     near == NULL ? "" : "'?)");
    }
    buf_done(&listed);
    return is_known;
}

static bool set_bool(const struct value *v, bool *out)
{
    bool is_true = strcmp(v->text, "true") == 0;

    if (!is_true && strcmp(v->text, "false") != 0) {
        config_error(v->l->report, v->at, "%s: %s is not true or false", v->path, quoted(v));
        return false;
    }
    *out = is_true;
    return true;
}

static bool refuse_url(const struct value *v, const char *why)
{
    config_error(v->l->report, v->at, "%s: %s %s", v->path, quoted(v), why);
    return false;
}

static bool check_http_url(const struct value *v, const char *rest)
{
    if (strchr(rest, '@') != NULL)
        return refuse_url(v, "names a user: keys belong into api_key");
    if (strpbrk(rest, "?#") != NULL)
        return refuse_url(v, "must not have a query or a fragment");
    if (strstr(rest, "/chat/completions") != NULL)
        return refuse_url(v, "is too long: tutti adds /chat/completions itself");
    return true;
}

static bool set_url(const struct value *v, const char **out)
{
    const struct config_hooks *hooks = v->l->in->hooks;
    const char *why = NULL;
    const char *rest = strstr(v->text, "://");
    bool is_http = strncmp(v->opt->words, "http", 4) == 0;
    size_t len = strlen(v->text);
    bool is_known = false;
    char word[32];

    for (size_t i = 0; rest != NULL && option_word(v->opt->words, i, word, sizeof(word)); i++)
        is_known |= strlen(word) == (size_t)(rest - v->text) && strncmp(word, v->text, strlen(word)) == 0;
    /* redis://:password@host is the usual form of a password without a user */
    if (!is_known || rest[3] == '\0' || strchr("/?#", rest[3]) != NULL || strpbrk(v->text, " \t") != NULL ||
        (rest[3] == ':' && (is_http || strchr(rest, '@') == NULL))) {
        bool has_two = option_word(v->opt->words, 1, word, sizeof(word));

        CHECK(has_two);
        why = arena_printf(v->l->arena, "is not a URL that begins with %.*s:// or %s://",
                           (int)strcspn(v->opt->words, " "), v->opt->words, word);
        return refuse_url(v, why);
    }
    if (is_http) {
        if (!check_http_url(v, rest + 3))
            return false;
    } else if (hooks != NULL && hooks->check_redis_url != NULL && hooks->check_redis_url(v->text, &why) < 0) {
        return refuse_url(v, arena_printf(v->l->arena, "is not a Redis URL: %s", why == NULL ? "malformed" : why));
    }
    while (v->text[len - 1] == '/')
        len--;
    *out = arena_copy(v->l->arena, v->text, len);
    return true;
}

static bool set_path(const struct value *v, const char **out)
{
    const char *path = config_resolve(v->l, v->text);

    if (access(path, R_OK) < 0) {
        config_error(v->l->report, v->at, "%s: cannot read %s: %s", v->path, path, strerror(errno));
        return false;
    }
    *out = path;
    return true;
}

static bool set_string(const struct value *v, const char **out)
{
    if ((v->opt->flags & OPT_AUTO) != 0 && strcmp(v->text, "auto") == 0) {
        *out = NULL;
        return true;
    }
    if (v->opt->form != NULL && !v->opt->form(v->text)) {
        config_error(v->l->report, v->at, "%s: %s: %s%s", v->path, quoted(v), v->opt->form_help, or_auto(v));
        return false;
    }
    *out = arena_strdup(v->l->arena, v->text);
    return true;
}

/* Writes into the field; false when a problem was reported. */
static bool set_scalar(const struct value *v, void *field)
{
    switch (v->opt->type) {
    case OPT_INT:
    case OPT_COUNT:
    case OPT_SIZE:
    case OPT_DURATION:
    case OPT_MONEY:
        return set_number(v, field);
    case OPT_BOOL:
        return set_bool(v, field);
    case OPT_ENUM:
        return set_word(v, field);
    case OPT_URL:
        return set_url(v, field);
    case OPT_PATH:
        return set_path(v, field);
    default:
        return set_string(v, field);
    }
}

static bool add_item(const struct value *v, const char **items, size_t *n)
{
    const char *item = NULL;

    if (!config_text_is_clean(v->l, v->at, v->path, v->text) || !set_string(v, &item) || item == NULL)
        return false;
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(items[i], item) == 0) {
            config_error(v->l->report, v->at, "%s: %s is listed twice", v->path, quoted(v));
            return false;
        }
    }
    items[(*n)++] = item;
    return true;
}

static bool add_entry(struct value *v, const struct yaml_node *e, const char **items, size_t *n)
{
    v->at = e->place;
    if (e->kind == YAML_REFUSED)
        return false;
    if (e->kind != YAML_SCALAR || yaml_is_null(e)) {
        config_error(v->l->report, e->place, "%s: an entry must be a single value, not %s", v->path, yaml_kind_name(e));
        return false;
    }
    v->text = config_expand(v->l, e);
    return v->text != NULL && add_item(v, items, n);
}

/* A list; a single value is a list of one, and from the environment or a flag commas separate. */
static bool set_list(struct value *v, const struct yaml_node *node, struct config_list *out)
{
    const char **items;
    char *rest = node->is_verbatim ? arena_strdup(v->l->arena, node->text) : NULL;
    size_t room = 1;
    size_t n = 0;
    bool is_good = true;

    for (const struct yaml_node *e = node->first; e != NULL; e = e->next)
        room++;
    for (const char *p = node->text; *p != '\0'; p++)
        room += *p == ',';
    items = arena_zero(v->l->arena, room * sizeof(*items));
    while (rest != NULL) {
        v->text = strsep(&rest, ",");
        is_good &= add_item(v, items, &n);
    }
    if (node->kind == YAML_SCALAR && !node->is_verbatim)
        is_good = add_entry(v, node, items, &n);
    for (const struct yaml_node *e = node->first; e != NULL; e = e->next)
        is_good &= add_entry(v, e, items, &n);
    if (is_good)
        *out = (struct config_list){.items = items, .n = n};
    return is_good;
}

static bool set_any(struct value *v, const struct yaml_node *node, void *field)
{
    enum option_type type = v->opt->type;

    if (type == OPT_MAP_TEXT || type == OPT_MAP_JSON)
        return config_value_map(v->l, v->opt, node, v->path, field);
    if (node->kind != YAML_SCALAR && !(type == OPT_LIST && node->kind == YAML_SEQUENCE)) {
        config_error(v->l->report, v->at, "%s must be a %s, not %s", v->path, option_type_name(type),
                     yaml_kind_name(node));
        return false;
    }
    if (type == OPT_LIST)
        return set_list(v, node, field);
    v->text = config_expand(v->l, node);
    if (v->text == NULL || !config_text_is_clean(v->l, v->at, v->path, v->text))
        return false;
    if (*v->text == '\0' && (type == OPT_SECRET || type == OPT_URL || type == OPT_PATH) &&
        (v->opt->flags & OPT_REQUIRED) == 0)
        return true; /* "${env:X:-}": as if it were not there */
    if (type == OPT_SECRET && !node->is_verbatim && strstr(node->text, "${") == NULL)
        config_warning(v->l->report, node->key->place, "%s is written in the file: prefer ${env:NAME} or ${file:PATH}",
                       v->path);
    return set_scalar(v, field);
}

void config_value_set(struct config_loader *l, struct config_object *o, const struct option *opt,
                      const struct yaml_node *node, const char *path)
{
    struct value v = {.l = l, .opt = opt, .path = path, .text = node->text, .at = node->place};
    size_t row = option_index(opt);

    if (node->kind == YAML_REFUSED) {
        o->state[row] = OPTION_BAD; /* reported when it was parsed */
    } else if (!yaml_is_null(node)) {
        o->places[row] = node->place;
        o->state[row] = OPTION_BAD;
        if (set_any(&v, node, (char *)o->base + opt->offset))
            o->state[row] = OPTION_SET;
    }
}
