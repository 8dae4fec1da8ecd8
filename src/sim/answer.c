/* SPDX-License-Identifier: Apache-2.0 */
/* The text of an answer, whatever the dialect: it depends on model and prompt only. Never writes a body. No state; any
 * thread. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "sim/dialect.h"

/* Pieces of an answer in their escaped form, so that making 4 KB of text is nothing but copying: words, Markdown,
 * quotes, and what is beyond ASCII both as UTF-8 and as escapes. */
static const char *const pieces[] = {
    "the ",
    "answer ",
    "depends ",
    "on ",
    "many ",
    "small ",
    "choices, ",
    "and ",
    "a ",
    "river ",
    "runs ",
    "through ",
    "it. ",
    "Some ",
    "say ",
    "otherwise; ",
    "we ",
    "count ",
    "seven ",
    "reasons: ",
    "**first**, ",
    "*second*, ",
    "`code`, ",
    "\\\"quoted\\\" ",
    "\\n- item ",
    "\\n\\n## Part\\n",
    "na\xc3\xafve ",
    "caf\\u00e9 ",
    "\xe2\x80\x94 ",
    "\\ud83d\\ude00 ",
    "C:\\\\dir ",
    "\xe6\x97\xa5\xe6\x9c\xac ",
};
static_assert(ARRAY_LEN(pieces) == 32, "five bits choose a piece");

/* Fills text with exactly `bytes` or a few less (never inside of a character or escape); escaped form. */
static struct text make_text(struct buf *scratch, const struct exchange *x)
{
    size_t bytes = (size_t)x->answer_bytes;
    struct rng r;

    rng_seed(&r, x->seed);
    buf_clear(scratch);
    buf_add_str(scratch, "ANSWER ");
    text_add_escaped(scratch, text_of(x->model->name));
    buf_printf(scratch, ": %.8s ", x->prompt_hash);
    while (scratch->len < bytes) {
        uint64_t bits = rng_u64(&r);

        for (int i = 0; i < 12 && scratch->len < bytes; i++, bits >>= 5)
            buf_add_str(scratch, pieces[bits & 31]);
    }
    return text_cut((struct text){.p = scratch->p, .len = scratch->len, .is_escaped = true}, bytes);
}

struct text answer_words(struct buf *scratch, const struct exchange *x)
{
    if (x->answer_bytes == 0)
        return TEXT_LIT("");
    if (x->answer != NULL)
        return text_cut(text_of(x->answer), (size_t)x->answer_bytes);
    return make_text(scratch, x);
}

struct text answer_arguments(const struct exchange *x)
{
    return x->answer != NULL ? text_of(x->answer) : TEXT_LIT("{}");
}

bool answer_next(struct text *rest, size_t bytes, struct text *out)
{
    struct text piece = text_cut(*rest, bytes);

    if (piece.len == 0)
        piece.len = rest->len; /* one character that is larger: all the rest */
    if (piece.len == 0)
        return false;
    rest->p += piece.len;
    rest->len -= piece.len;
    *out = piece;
    return true;
}

void answer_id(char out[64], const char *prefix, const struct exchange *x)
{
    (void)snprintf(out, 64, "%s%s%02u", prefix, x->prompt_hash, x->attempt);
}
