/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a tree out of libfyaml's events. Events, not documents: anchors, tags and duplicate keys stay visible and
 * every token has its place. Never interprets a value. Main thread.
 *
 * libfyaml 0.7.12 silently ends its input at a NUL byte and at malformed UTF-8 (measured), so both are refused before.
 */
#include "app/config_yaml.h"

#include <libfyaml.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct builder {
    struct arena *arena;
    struct config_report *report;
    struct yaml_node *root;
    struct yaml_node *open[YAML_DEPTH_MAX]; /* containers not yet closed */
    struct yaml_node *key[YAML_DEPTH_MAX];  /* mapping: key that waits for its value */
    int depth;
    int skip;     /* > 0: inside a container used as a key, which is refused */
    bool is_over; /* a problem after which the rest means nothing */
};

struct yaml_node *yaml_new(struct arena *a, enum yaml_kind kind, struct config_place at, const char *text)
{
    struct yaml_node *n = arena_zero(a, sizeof(*n));

    n->kind = kind;
    n->place = at;
    n->text = arena_strdup(a, text == NULL ? "" : text);
    n->len = strlen(n->text);
    return n;
}

void yaml_add(struct yaml_node *parent, struct yaml_node *key, struct yaml_node *child)
{
    child->key = key;
    if (parent->last == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
}

struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key)
{
    for (struct yaml_node *n = mapping->first; n != NULL; n = n->next)
        if (n->key != NULL && strcmp(n->key->text, key) == 0)
            return n;
    return NULL;
}

bool yaml_is_null(const struct yaml_node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    if (n->kind != YAML_SCALAR || !n->is_plain)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
        if (strcmp(n->text, nulls[i]) == 0)
            return true;
    return false;
}

const char *yaml_kind_name(const struct yaml_node *n)
{
    static const char *const names[] = {"a single value", "a list", "a mapping", "an alias"};

    return yaml_is_null(n) ? "nothing" : names[n->kind];
}

static struct config_place place_of(struct fy_token *token)
{
    const struct fy_mark *from = token == NULL ? NULL : fy_token_start_mark(token);
    const struct fy_mark *to = token == NULL ? NULL : fy_token_end_mark(token);
    struct config_place at = {0};

    if (from == NULL)
        return at;
    at.line = from->line + 1;
    at.column = from->column + 1;
    at.width = to != NULL && to->line == from->line && to->column > from->column ? to->column - from->column : 1;
    return at;
}

/* Well-formed UTF-8 (Unicode 15 table 3-7), no control characters but tab, CR and LF. Returns the first bad byte or
 * NULL. */
static const char *find_bad_byte(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    const unsigned char *end = p + len;

    while (p < end) {
        uint32_t c = *p;
        int more = c < 0x80                 ? 0
                   : c >= 0xc2 && c <= 0xdf ? 1
                   : c >= 0xe0 && c <= 0xef ? 2
                   : c >= 0xf0 && c <= 0xf4 ? 3
                                            : -1;

        if (more < 0 || end - p <= more || (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return (const char *)p;
        if (more > 0)
            c &= 0x3fU >> more;
        for (int i = 1; i <= more; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return (const char *)p;
            c = c << 6 | (p[i] & 0x3f);
        }
        if ((more == 2 && c < 0x800) || (c >= 0xd800 && c <= 0xdfff) || (more == 3 && (c < 0x10000 || c > 0x10ffff)))
            return (const char *)p;
        p += more + 1;
    }
    return NULL;
}

static bool check_bytes(const char *bytes, size_t len, struct config_report *report)
{
    const char *bad = find_bad_byte(bytes, len);
    struct config_place at = {.line = 1, .column = 1, .width = 1};

    if (bad == NULL)
        return true;
    for (const char *p = bytes; p < bad; p++) {
        if (*p == '\n') {
            at.line++;
            at.column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            at.column++;
        }
    }
    config_error(report, at, "byte 0x%02x is not text: the file must be UTF-8 without control characters",
                 (unsigned char)*bad);
    return false;
}

static void refuse_extras(struct builder *b, struct fy_token *anchor, struct fy_token *tag)
{
    if (anchor != NULL)
        config_error(b->report, place_of(anchor), "anchors (&) are not supported: write the value where it is needed");
    if (tag != NULL)
        config_error(b->report, place_of(tag), "tags (!) are not supported");
}

/* Puts a new key or value where it belongs; false when it is not to be entered. */
static bool place_node(struct builder *b, struct yaml_node *n)
{
    struct yaml_node *parent;
    struct yaml_node *before;
    int top = b->depth - 1;

    if (b->depth == 0) {
        b->root = n;
        return true;
    }
    parent = b->open[top];
    if (parent->kind == YAML_SEQUENCE) {
        yaml_add(parent, NULL, n);
        return true;
    }
    if (b->key[top] == NULL) { /* it is a key */
        if (n->kind != YAML_SCALAR) {
            config_error(b->report, n->place, "a key must be a single value, not %s", yaml_kind_name(n));
            b->key[top] = yaml_new(b->arena, YAML_REFUSED, n->place, NULL);
            return false;
        }
        b->key[top] = n;
        return true;
    }
    if (b->key[top]->kind == YAML_REFUSED) {
        b->key[top] = NULL;
        return false;
    }
    before = yaml_find(parent, b->key[top]->text);
    if (before != NULL)
        config_error(b->report, b->key[top]->place, "duplicate key '%s' (first on line %d)", b->key[top]->text,
                     before->key->place.line);
    /* An empty value has no token. One on a line of its own is shown by its key: the line may be a secret's. */
    if (n->place.line != b->key[top]->place.line)
        n->place = b->key[top]->place;
    if (before == NULL)
        yaml_add(parent, b->key[top], n);
    b->key[top] = NULL;
    return true;
}

static void on_scalar(struct builder *b, const struct fy_event_scalar_data *s)
{
    struct yaml_node *n;
    const char *text;
    size_t len = 0;

    if (b->skip > 0)
        return;
    refuse_extras(b, s->anchor, s->tag);
    text = fy_token_get_text(s->value, &len);
    n = yaml_new(b->arena, YAML_SCALAR, place_of(s->value), NULL);
    if (text != NULL && len > 0) {
        n->text = arena_copy(b->arena, text, len);
        n->len = len;
    }
    n->is_plain = fy_token_scalar_style(s->value) == FYSS_PLAIN;
    if (memchr(n->text, '\0', n->len) != NULL) {
        config_error(b->report, n->place, "the text holds a NUL character (\\0)");
        n->len = strlen(n->text);
    }
    (void)place_node(b, n);
}

static void on_start(struct builder *b, enum yaml_kind kind, struct fy_token *start, struct fy_token *anchor,
                     struct fy_token *tag)
{
    struct yaml_node *n;

    if (b->skip > 0) {
        b->skip++;
        return;
    }
    refuse_extras(b, anchor, tag);
    n = yaml_new(b->arena, kind, place_of(start), NULL);
    if (b->depth == YAML_DEPTH_MAX) {
        config_error(b->report, n->place, "nested deeper than %d levels", YAML_DEPTH_MAX);
        b->is_over = true;
        return;
    }
    if (!place_node(b, n)) {
        b->skip = 1;
        return;
    }
    b->open[b->depth] = n;
    b->key[b->depth] = NULL;
    b->depth++;
}

static void on_end(struct builder *b)
{
    if (b->skip > 0)
        b->skip--;
    else
        b->depth--;
}

static void on_alias(struct builder *b, struct fy_token *token)
{
    if (b->skip > 0)
        return;
    config_error(b->report, place_of(token), "aliases (*) are not supported: write the value where it is needed");
    (void)place_node(b, yaml_new(b->arena, YAML_REFUSED, place_of(token), NULL));
}

static void on_event(struct builder *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (b->root != NULL) {
            config_error(b->report, place_of(e->document_start.document_start), "only one document per file");
            b->is_over = true;
        }
        break;
    case FYET_SCALAR:
        on_scalar(b, &e->scalar);
        break;
    case FYET_ALIAS:
        on_alias(b, e->alias.anchor);
        break;
    case FYET_MAPPING_START:
        on_start(b, YAML_MAPPING, e->mapping_start.mapping_start, e->mapping_start.anchor, e->mapping_start.tag);
        break;
    case FYET_SEQUENCE_START:
        on_start(b, YAML_SEQUENCE, e->sequence_start.sequence_start, e->sequence_start.anchor, e->sequence_start.tag);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        on_end(b);
        break;
    default:
        break;
    }
}

/* True when the line holds a reference: unquoted inside { } it is what the parser stumbled over. */
static bool has_reference(const char *bytes, size_t len, int line)
{
    const char *p = bytes;
    const char *end = bytes + len;

    for (; p != NULL && line > 1; line--) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p == NULL ? NULL : p + 1;
    }
    for (; p != NULL && p + 1 < end && *p != '\n'; p++)
        if (p[0] == '$' && p[1] == '{')
            return true;
    return false;
}

static void report_syntax(struct fy_diag *diag, const char *bytes, size_t len, struct config_report *report)
{
    void *at = NULL;
    struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at); /* later ones only follow from the first */

    if (e == NULL)
        config_error(report, (struct config_place){0}, "not YAML");
    else
        config_error(report, (struct config_place){.line = e->line, .column = e->column, .width = 1}, "%s%s", e->msg,
                     has_reference(bytes, len, e->line) ? " (put quotes around a value with ${...})" : "");
}

/* Feeds all events to the builder; false when the text is not YAML. */
static bool run_parser(struct builder *b, const char *bytes, size_t len)
{
    struct fy_diag_cfg diag_conf;
    struct fy_parse_cfg conf = {.flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE};
    struct fy_parser *parser = NULL;
    struct fy_event *event;
    bool is_good = false;

    fy_diag_cfg_default(&diag_conf);
    diag_conf.fp = NULL; /* collected, not printed */
    conf.diag = fy_diag_create(&diag_conf);
    CHECK(conf.diag != NULL);
    fy_diag_set_collect_errors(conf.diag, true);
    parser = fy_parser_create(&conf);
    CHECK(parser != NULL);
    if (fy_parser_set_string(parser, bytes, len) == 0) {
        while (!b->is_over && (event = fy_parser_parse(parser)) != NULL) {
            on_event(b, event);
            fy_parser_event_free(parser, event);
        }
        is_good = b->is_over || !fy_parser_get_stream_error(parser);
    }
    if (!is_good)
        report_syntax(conf.diag, bytes, len, b->report);
    fy_parser_destroy(parser);
    fy_diag_destroy(conf.diag);
    return is_good && !b->is_over;
}

struct yaml_node *yaml_parse(struct arena *a, const char *bytes, size_t len, struct config_report *report)
{
    struct builder b = {.arena = a, .report = report};

    if (len > YAML_BYTES_MAX) {
        config_error(report, (struct config_place){0}, "larger than %d MiB", YAML_BYTES_MAX / 1024 / 1024);
        return NULL;
    }
    if (!check_bytes(bytes, len, report))
        return NULL;
    if (len > 0 && !run_parser(&b, bytes, len))
        return NULL;
    if (b.root == NULL || yaml_is_null(b.root))
        return yaml_new(a, YAML_MAPPING, (struct config_place){0}, NULL);
    return b.root;
}
