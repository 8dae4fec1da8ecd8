/* SPDX-License-Identifier: Apache-2.0 */
/* The text of an answer, whatever the dialect: it depends on seed, model and prompt only. Never writes a body. No
 * state; any thread. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "sim/dialect.h"

/* Sentences of two halves, so that making 4 KB of text is nothing but copying. */
static const char *const beginnings[] = {
    "A good plan keeps ",    "The first draft shows ", "Every small step adds to ", "A calm reader notices ",
    "The morning brings ",   "Long walks improve ",    "An old map explains ",      "Simple tools support ",
    "The river follows ",    "Clear words carry ",     "A short list saves ",       "Patient work repays ",
    "The garden needs ",     "Most teams enjoy ",      "A quiet room protects ",    "Good questions open ",
    "The second try gives ", "Honest numbers guide ",  "A warm lamp lights ",       "Careful tests guard ",
    "The north wind moves ", "Old friends remember ",  "A new idea changes ",       "Early trains reach ",
    "The market offers ",    "Plain answers earn ",    "A blue bird watches ",      "Steady hands finish ",
    "The library holds ",    "Fresh bread improves ",  "A clean desk invites ",     "Slow rain feeds ",
};
static const char *const endings[] = {
    "the common aim. ",  "what counts most. ", "a better result. ",  "the open fields. ",    "the small details. ",
    "the whole story. ", "a simple answer. ",  "the long road. ",    "more than it costs. ", "the next step. ",
    "every visitor. ",   "the quiet hours. ",  "the old town. ",     "a little time. ",      "the hard parts. ",
    "those who wait. ",  "the shared goal. ",  "a fair price. ",     "the far shore. ",      "what others missed. ",
    "the bright days. ", "the main point. ",   "a second look. ",    "the common ground. ",  "the people nearby. ",
    "a safe way home. ", "the easy choices. ", "the late evening. ", "what was promised. ",  "the best of it. ",
    "a lasting habit. ", "the good news. ",
};
static_assert(ARRAY_LEN(beginnings) == 32 && ARRAY_LEN(endings) == 32, "five bits choose a half");

/* For prompts that order `markup`: Markdown, quotes, and what is beyond ASCII both as UTF-8 and as escapes; escaped. */
static const char *const marked[] = {
    "the ",          "answer ",
    "**first**, ",   "*second*, ",
    "`code`, ",      "\\\"quoted\\\" ",
    "\\n- item ",    "\\n\\n## Part\\n",
    "na\xc3\xafve ", "caf\\u00e9 ",
    "\xe2\x80\x94 ", "\\ud83d\\ude00 ",
    "C:\\\\dir ",    "\xe6\x97\xa5\xe6\x9c\xac ",
    "counts ",       "through ",
};
static_assert(ARRAY_LEN(marked) == 16, "four bits choose a piece");

static void add_sentences(struct buf *scratch, struct rng *r, size_t bytes)
{
    while (scratch->len < bytes) {
        uint64_t bits = rng_u64(r);

        for (int i = 0; i < 6 && scratch->len < bytes; i++, bits >>= 10) {
            buf_add_str(scratch, beginnings[bits & 31]);
            buf_add_str(scratch, endings[bits >> 5 & 31]);
        }
    }
}

static void add_marked(struct buf *scratch, struct rng *r, size_t bytes)
{
    while (scratch->len < bytes) {
        uint64_t bits = rng_u64(r);

        for (int i = 0; i < 16 && scratch->len < bytes; i++, bits >>= 4)
            buf_add_str(scratch, marked[bits & 15]);
    }
}

/* Fills text with `bytes` or a little less: whole sentences when one fits, and never a part of a character or escape;
 * escaped form. */
static struct text make_text(struct buf *scratch, const struct exchange *x)
{
    size_t bytes = (size_t)x->answer_bytes, head;
    struct rng r;
    struct text t;

    rng_seed(&r, x->seed);
    buf_clear(scratch);
    buf_add_str(scratch, "ANSWER ");
    text_add_escaped(scratch, text_of(x->model->name));
    buf_printf(scratch, ": %.8s ", x->prompt_hash);
    head = scratch->len;
    (x->is_marked ? add_marked : add_sentences)(scratch, &r, bytes);
    t = text_cut((struct text){.p = scratch->p, .len = scratch->len, .is_escaped = true}, bytes);
    for (size_t n = t.len; !x->is_marked && n > head; n--)
        if (t.p[n - 1] == '.')
            return (struct text){.p = t.p, .len = n, .is_escaped = true};
    return t;
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
