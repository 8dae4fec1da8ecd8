/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a job record: objects by tables of keys, arrays by item, and the one error with its JSON Pointer. What
 * the keys mean is in the other decode_*.c. Pure but for the arena. source: RFC 6901 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "core/decode.h"

enum { POINTER_KEY_BYTES = 100, MESSAGE_WORD_BYTES = 60, SHORT_BYTES = 200, DROPS_MAX = 16, LOG_PERIOD_US = 60000000 };

/* One reference token behind what stands in err->pointer; one that does not fit is left out. */
static void add_step(struct job_error *e, const char *word)
{
    size_t n = strlen(e->pointer), begin = n, room = sizeof(e->pointer) - 1;

    e->pointer[n++] = '/';
    for (; *word != '\0' && n + 2 <= room; word++) {
        bool is_special = *word == '~' || *word == '/';

        if (is_special)
            e->pointer[n++] = '~';
        e->pointer[n++] = (char)(!is_special ? *word : *word == '~' ? '0' : '1');
    }
    e->pointer[*word == '\0' ? n : begin] = '\0';
}

static void render(struct job_error *e, const struct decode_path *path)
{
    char number[16];

    if (path == NULL)
        return;
    render(e, path->up);
    snprintf(number, sizeof(number), "%d", path->index);
    if (strlen(e->pointer) + 4 < sizeof(e->pointer))
        add_step(e, path->key != NULL ? path->key : number);
}

bool decode_has_failed(const struct decode *d)
{
    return d->err->code != NULL;
}

void decode_fail_code(struct decode *d, const char *code, const char *message)
{
    struct job_error *e = d->err;

    if (e->code != NULL)
        return; /* the first one stands */
    e->code = code;
    e->stage = "decode";
    e->pointer[0] = '\0';
    render(e, d->path);
    snprintf(e->message, sizeof(e->message), "%s", message);
}

void decode_fail(struct decode *d, const char *message)
{
    decode_fail_code(d, "invalid_job", message);
}

void decode_fail_at(struct decode *d, const char *key, const char *message)
{
    const struct decode_path *here = d->path;
    struct decode_path below = {.up = here, .key = key};

    d->path = &below;
    decode_fail(d, message);
    d->path = here;
}

const char *decode_word(struct decode *d, struct text t, size_t max_bytes)
{
    size_t len;
    char *plain = text_decode(d->arena, t, &len);

    len = text_cut(text_slice(plain, len), max_bytes).len;
    plain[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)plain[i] < 0x20 || plain[i] == 0x7f)
            plain[i] = '?';
    return plain;
}

void decode_fail_word(struct decode *d, const char *what, struct text word, const char *const *words, size_t n,
                      const char *hint)
{
    const char *shown = decode_word(d, word, MESSAGE_WORD_BYTES);
    const char *nearest = names_nearest(text_decode(d->arena, word, NULL), words, n);
    char message[256];

    snprintf(message, sizeof(message), "%s '%s'%s%s%s%s", what, shown, nearest != NULL ? " (did you mean '" : "",
             nearest != NULL ? nearest : "", nearest != NULL ? "'?)" : "", hint != NULL ? hint : "");
    decode_fail(d, message);
}

bool decode_is(struct decode *d, enum scan_type type, const char *message)
{
    if (scan_peek(&d->s) == type)
        return true;
    decode_fail(d, message);
    return false;
}

void decode_below(struct decode *d, const char *key, decode_reader read, void *out)
{
    const struct decode_path *here = d->path;
    struct decode_path below = {.up = here, .key = key};

    d->path = &below;
    read(d, out);
    d->path = here;
}

bool decode_leaves_out(struct decode *d, const char *key)
{
    struct env *env = d->job->env;

    if (!env->is_lenient)
        return false;
    decode_note_drop(d, key);
    if (env->loop != NULL && log_is_due(&env->unknown_logged_us, loop_now_us(env->loop), LOG_PERIOD_US))
        log_event(LOG_WARN, "job_unknown_key", "topic=\"%s\" part=%d off=%lld hint=\"named in dropped_params\"",
                  d->job->pos.topic, d->job->pos.partition, (long long)d->job->pos.offset);
    return true;
}

static void fail_unknown(struct decode *d, const struct decode_table *t, struct text key)
{
    const char *words[64];
    const struct decode_path *here = d->path;
    struct decode_path below = {.up = here, .key = decode_word(d, key, POINTER_KEY_BYTES)};

    if (decode_leaves_out(d, below.key))
        return;
    for (size_t i = 0; i < t->n; i++)
        words[i] = t->keys[i].name;
    d->path = &below;
    decode_fail_word(d, "unknown key", key, words, t->n, t->hint);
    d->path = here;
}

static void read_value(struct decode *d, void *key_and_out)
{
    const void *const *both = key_and_out;
    const struct decode_key *k = both[0];

    if (k->param != NULL)
        decode_param(d, k->param, &d->params);
    else if (k->drop != NULL)
        decode_note_drop(d, k->drop);
    else
        k->read(d, (void *)both[1]);
}

static void read_known(struct decode *d, const struct decode_table *t, size_t i, uint64_t *seen, void *out)
{
    if (*seen & UINT64_C(1) << i)
        decode_fail_at(d, t->keys[i].name, "the key is given twice");
    *seen |= UINT64_C(1) << i;
    if (scan_peek(&d->s) == SCAN_NULL)
        scan_skip(&d->s, NULL); /* as if it were not there */
    else
        decode_below(d, t->keys[i].name, read_value, (const void *[]){&t->keys[i], out});
}

void decode_object(struct decode *d, const struct decode_table *t, void *out)
{
    struct text key;
    uint64_t seen = 0;

    CHECK(t->n <= 64);
    if (!decode_is(d, SCAN_OBJECT, "must be an object"))
        return;
    scan_enter_object(&d->s);
    while (!decode_has_failed(d) && scan_next_key(&d->s, &key)) {
        size_t i = 0;

        while (i < t->n && !text_is(key, t->keys[i].name))
            i++;
        if (i < t->n)
            read_known(d, t, i, &seen, out);
        else if (t->unknown != NULL)
            t->unknown(d, key, out);
        else
            fail_unknown(d, t, key);
    }
}

void decode_pass_over(struct decode *d, struct text key, void *unused)
{
    (void)key;
    (void)unused;
    scan_skip(&d->s, NULL);
}

void decode_ahead(struct decode *d, const struct decode_table *t, void *out)
{
    struct scan again = d->s;

    decode_object(d, t, out);
    d->s = again;
}

int decode_items(struct decode *d, decode_reader read, void *out)
{
    const struct decode_path *here = d->path;
    struct decode_path item = {.up = here};

    if (!decode_is(d, SCAN_ARRAY, "must be an array"))
        return 0;
    scan_enter_array(&d->s);
    d->path = &item;
    while (!decode_has_failed(d) && scan_next_item(&d->s)) {
        read(d, out);
        item.index++;
    }
    d->path = here;
    return item.index;
}

int64_t decode_int(struct decode *d, int64_t min, int64_t max, const char *message)
{
    int64_t v = -1;

    if (scan_peek(&d->s) != SCAN_NUMBER || scan_int(&d->s, &v) < 0 || v < min || v > max)
        decode_fail(d, message);
    return v;
}

void decode_text(struct decode *d, void *out_text)
{
    if (decode_is(d, SCAN_STRING, "must be a string"))
        scan_text(&d->s, d->arena, out_text);
}

void decode_short(struct decode *d, void *out_text)
{
    struct text *out = out_text;
    size_t len;

    if (!decode_is(d, SCAN_STRING, "must be a string of 1 to 200 bytes"))
        return;
    scan_text(&d->s, d->arena, out);
    text_decode(d->arena, *out, &len); /* its escapes do not count */
    if (len < 1 || len > SHORT_BYTES)
        decode_fail(d, "must be a string of 1 to 200 bytes");
}

void decode_skip(struct decode *d, void *unused)
{
    (void)unused;
    scan_skip(&d->s, NULL);
}

void decode_refuse(struct decode *d, void *unused)
{
    (void)unused;
    decode_fail(d, "tutti cannot pass this on yet; leave it out");
}

struct text decode_raw(struct decode *d)
{
    struct text raw = TEXT_NONE;
    bool is_string = false, has_escape = false;
    size_t n = 0;
    char *p;

    scan_skip(&d->s, &raw);
    p = arena_alloc(d->arena, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];

        if (is_string && c == '\\') { /* checked: another byte follows */
            has_escape = true;
            p[n++] = c;
            c = raw.p[++i];
        } else if (c == '"') {
            is_string = !is_string;
        } else if (!is_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
            continue;
        }
        p[n++] = c;
    }
    if (has_escape) {
        struct text repaired = scan_repair(d->arena, (struct text){.p = p, .len = n, .is_escaped = true});

        return text_slice(repaired.p, repaired.len);
    }
    return text_slice(p, n);
}

struct text decode_raw_checked(struct decode *d, decode_reader check)
{
    struct scan again;

    (void)scan_peek(&d->s); /* passes over white space */
    again = d->s;
    check(d, NULL);
    if (decode_has_failed(d))
        return TEXT_NONE;
    d->s = again;
    return decode_raw(d);
}

void decode_note_drop(struct decode *d, const char *name)
{
    struct job_spec *spec = d->spec;

    scan_skip(&d->s, NULL);
    for (int i = 0; i < spec->n_dropped; i++)
        if (text_is(spec->dropped[i], name))
            return;
    if (d->drops == NULL)
        d->drops = arena_alloc(d->arena, sizeof(*d->drops) * DROPS_MAX);
    spec->dropped = d->drops;
    if (spec->n_dropped < DROPS_MAX)
        d->drops[spec->n_dropped++] = text_of(name);
}

void *decode_grow(struct decode *d, void *items, int n, int *cap, size_t size)
{
    void *more;

    if (n < *cap)
        return items;
    *cap = *cap == 0 ? 2 : *cap * 2;
    more = arena_zero(d->arena, size * (size_t)*cap);
    if (n > 0)
        memcpy(more, items, size * (size_t)n);
    return more;
}
