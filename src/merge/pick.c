/* SPDX-License-Identifier: Apache-2.0 */
/* The merges that need no model: none, first, concat. Pure; any thread. A failed member's text never enters an answer
 * (D-26). */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/outcome.h"
#include "seam/merge.h"

static bool is_good(const struct stage_view *v, int i)
{
    return v->outcomes[i] != NULL && outcome_is_ok(v->outcomes[i]);
}

/* A refusal is an answer too: it is what the model said. TEXT_NONE with nothing but tool calls; some providers send an
 * empty text beside a refusal or tool calls. */
static struct text said(const struct outcome *o)
{
    if (!text_is_blank(o->answer))
        return o->answer;
    return !text_is_blank(o->refusal) ? o->refusal : TEXT_NONE;
}

static void take(const struct stage_view *v, int i, struct merged *out)
{
    out->answer = said(v->outcomes[i]);
    out->winner = i;
    out->selected[i] = true;
}

/* none: one model's answer as it is; of several, none (they are in answers[]). */
static void merge_none(const struct stage_view *v, struct arena *a, struct merged *out)
{
    (void)a;
    if (v->n == 1 && is_good(v, 0))
        take(v, 0, out);
}

static bool first_enough(const struct stage_view *v)
{
    int good = 0;

    for (int i = 0; i < v->n; i++)
        good += is_good(v, i);
    return good >= v->quorum;
}

/* first: of the answers that are there, the one that ended first. */
static void merge_first(const struct stage_view *v, struct arena *a, struct merged *out)
{
    int best = -1;

    (void)a;
    for (int i = 0; i < v->n; i++)
        if (is_good(v, i) && (best < 0 || v->outcomes[i]->ended_ms < v->outcomes[best]->ended_ms))
            best = i;
    if (best >= 0)
        take(v, best, out);
}

/* concat: "## <model>", blank line, text, joined by a blank line, in the order asked, failures left out (DESIGN 11).
 * Written in escaped form, so that the answers are copied and not decoded. */
static void merge_concat(const struct stage_view *v, struct arena *a, struct merged *out)
{
    struct buf b;

    buf_init(&b, 0);
    for (int i = 0; i < v->n; i++) {
        struct text t;

        if (!is_good(v, i))
            continue;
        t = said(v->outcomes[i]);
        if (t.p == NULL)
            continue; /* only tool calls */
        buf_add_str(&b, b.len > 0 ? "\\n\\n## " : "## ");
        text_add_escaped(&b, text_of(v->names[i]));
        buf_add_str(&b, "\\n\\n");
        text_add_escaped(&b, t);
        out->selected[i] = true;
    }
    if (b.len > 0)
        out->answer = (struct text){.p = arena_copy(a, b.p, b.len), .len = b.len, .is_escaped = true};
    buf_done(&b);
}

static const struct merge_ops none = {.name = "none", .default_quorum_max = 2, .merge = merge_none};
static const struct merge_ops first = {
    .name = "first", .default_quorum_max = 1, .enough = first_enough, .merge = merge_first};
static const struct merge_ops concat = {.name = "concat", .default_quorum_max = 2, .merge = merge_concat};

const struct merge_ops *const *merge_all(int *out_n)
{
    static const struct merge_ops *const all[] = {&none, &first, &concat};

    *out_n = (int)(sizeof(all) / sizeof(all[0]));
    return all;
}
