/* SPDX-License-Identifier: Apache-2.0 */
/* The merges that need no model: none, first, concat. Pure; any thread. A failed member's text never enters an answer
 * (D-26). */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "merge/merge.h"

bool merge_is_good(const struct stage_view *v, int i)
{
    return v->outcomes[i] != NULL && outcome_is_ok(v->outcomes[i]);
}

struct text merge_said(const struct outcome *o)
{
    if (!text_is_blank(o->answer))
        return o->answer;
    return !text_is_blank(o->refusal) ? o->refusal : TEXT_NONE;
}

static void take(const struct stage_view *v, int i, struct merged *out)
{
    out->answer = merge_said(v->outcomes[i]);
    out->winner = i;
    out->selected[i] = true;
}

/* none: one model's answer as it is; of several, none (they are in answers[]). */
static int merge_none(const struct stage_view *v, struct arena *a, struct merged *out, const char **why)
{
    (void)a;
    (void)why;
    if (v->n == 1 && merge_is_good(v, 0))
        take(v, 0, out);
    return 0;
}

static bool first_enough(const struct stage_view *v)
{
    int good = 0;

    for (int i = 0; i < v->n; i++)
        good += merge_is_good(v, i);
    return good >= v->quorum;
}

/* first: of the answers that are there, the one that ended first. */
static int merge_first(const struct stage_view *v, struct arena *a, struct merged *out, const char **why)
{
    int best = -1;

    (void)a;
    (void)why;
    for (int i = 0; i < v->n; i++)
        if (merge_is_good(v, i) && (best < 0 || v->outcomes[i]->ended_ms < v->outcomes[best]->ended_ms))
            best = i;
    if (best >= 0)
        take(v, best, out);
    return 0;
}

/* concat: "## <model>", blank line, text, joined by a blank line, in the order asked, failures left out (DESIGN 11).
 * Written in escaped form, so that the answers are copied and not decoded. */
static int merge_concat(const struct stage_view *v, struct arena *a, struct merged *out, const char **why)
{
    struct buf b;

    (void)why;
    buf_init(&b, 0);
    for (int i = 0; i < v->n; i++) {
        struct text t;

        if (!merge_is_good(v, i))
            continue;
        t = merge_said(v->outcomes[i]);
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
    return 0;
}

static const struct merge_ops none = {.name = "none", .default_quorum_max = 2, .merge = merge_none};
static const struct merge_ops first = {
    .name = "first", .default_quorum_max = 1, .enough = first_enough, .merge = merge_first};
static const struct merge_ops concat = {.name = "concat", .default_quorum_max = 2, .merge = merge_concat};

const struct merge_ops *const *merge_all(int *out_n)
{
    static const struct merge_ops *const all[] = {&none, &first, &concat, &merge_vote};

    *out_n = (int)ARRAY_LEN(all);
    return all;
}
