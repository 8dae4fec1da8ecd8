/* SPDX-License-Identifier: Apache-2.0 */
/* The job key `vars`, and the texts of the input that its values are filled into while they are read. A job without
 * `vars` may have any braces in its texts. Pure but for the arena. source: CONTRACTS 3 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"
#include "core/template.h"

enum { POINTER_KEY_BYTES = 100, SUGGESTIONS_MAX = 256 };

static const size_t input_bytes_max = (size_t)8 << 20; /* values may be used many times: 1 MiB could become any size */

struct growing_vars {
    struct template_vars vars;
    int n, cap;
};

static void read_var(struct decode *d, struct text key, void *out)
{
    struct growing_vars *g = out;
    const char *word = decode_word(d, key, POINTER_KEY_BYTES);
    struct text value = TEXT_NONE;
    size_t len;
    const char *name = text_decode(d->arena, key, &len);

    if (!template_is_name(name, len)) {
        decode_fail_at(d, word, "a var's name must be letters, digits, _ . - and begin with a letter or _");
    } else if (scan_peek(&d->s) != SCAN_STRING) {
        decode_fail_at(d, word, "a var must be a string");
    } else {
        scan_text(&d->s, d->arena, &value);
        if (value.is_escaped) { /* once, and not in each place */
            const char *plain = text_decode(d->arena, value, &len);

            value = text_slice(plain, len);
        }
        g->vars.items = decode_grow(d, g->vars.items, g->n, &g->cap, sizeof(*g->vars.items));
        g->vars.items[g->n++] = (struct template_var){.name = name, .value = value};
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct template_var *)a)->name, ((const struct template_var *)b)->name);
}

static void read_vars(struct decode *d, void *unused)
{
    static const struct decode_table open = {.unknown = read_var};
    struct growing_vars *g = arena_zero(d->arena, sizeof(*g));

    (void)unused;
    if (!decode_is(d, SCAN_OBJECT, "vars must be an object of strings"))
        return;
    decode_object(d, &open, g);
    g->vars.n = (size_t)g->n;
    if (g->n > 1)
        qsort(g->vars.items, g->vars.n, sizeof(*g->vars.items), compare_names);
    for (size_t i = 1; i < g->vars.n; i++)
        if (strcmp(g->vars.items[i - 1].name, g->vars.items[i].name) == 0)
            decode_fail_at(d, decode_word(d, text_of(g->vars.items[i].name), POINTER_KEY_BYTES),
                           "the key is given twice");
    d->vars = &g->vars;
}

void decode_vars(struct decode *d, struct text raw)
{
    struct scan here = d->s;

    scan_init(&d->s, raw.p, raw.len);
    if (scan_peek(&d->s) != SCAN_NULL)
        decode_below(d, "vars", read_vars, NULL);
    d->s = here;
}

static void fail_unbound(struct decode *d, struct text name)
{
    const char *words[SUGGESTIONS_MAX];
    size_t n = d->vars->n < SUGGESTIONS_MAX ? d->vars->n : SUGGESTIONS_MAX;

    for (size_t i = 0; i < n; i++)
        words[i] = d->vars->items[i].name;
    decode_fail_word(d, "vars has no", name, words, n, "");
}

void decode_expand(struct decode *d, struct text *t)
{
    struct text unbound = TEXT_NONE;
    int r;

    if (d->vars == NULL || t->p == NULL || decode_has_failed(d))
        return;
    r = template_expand(d->arena, *t, d->vars, input_bytes_max - d->input_bytes, t, &unbound);
    if (r == -ENOENT)
        fail_unbound(d, unbound);
    else if (r < 0)
        decode_fail(d, "with its vars filled in the input is larger than 8 MiB");
    else
        d->input_bytes += t->len <= input_bytes_max - d->input_bytes ? t->len : input_bytes_max - d->input_bytes;
}
