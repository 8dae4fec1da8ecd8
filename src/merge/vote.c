/* SPDX-License-Identifier: Apache-2.0 */
/* vote: what most of the weight says. Each good answer from which something can be extracted casts one vote of its
 * model's weight. Pure; any thread. source: DESIGN 11, reference/providers.md 6 */
#include <errno.h>
#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "merge/extract.h"
#include "merge/merge.h"

/* What some of the answers say. */
struct option {
    struct text folded;
    double votes;    /* sum of the weights */
    double heaviest; /* the largest of them: decides a tie */
    int first;       /* the first call of that weight */
};

struct count {
    struct option options[64];
    int n_options;
    int of_call[64]; /* index into options, -1: no vote */
    double cast;
};

/* Sums of weights like 0.1 + 0.2 and 0.3 are a tie. */
static bool is_more(double a, double b)
{
    return a - b > 1e-9 * fmax(fabs(a), fabs(b));
}

static int find_option(struct count *c, struct text folded)
{
    for (int i = 0; i < c->n_options; i++)
        if (text_equal(c->options[i].folded, folded))
            return i;
    c->options[c->n_options] = (struct option){.folded = folded, .first = -1};
    return c->n_options++;
}

static void cast(struct count *c, int call, struct text folded, double weight)
{
    int which = find_option(c, folded);
    struct option *o = &c->options[which];

    c->of_call[call] = which;
    c->cast += weight;
    o->votes += weight;
    if (o->first < 0 || is_more(weight, o->heaviest)) {
        o->heaviest = weight;
        o->first = call;
    }
}

/* Most votes, then the heaviest single vote, then the order asked (options stand in the order in which they came up).
 */
static int find_winner(const struct count *c)
{
    int best = 0;

    for (int i = 1; i < c->n_options; i++) {
        const struct option *o = &c->options[i], *b = &c->options[best];
        bool is_tie = !is_more(o->votes, b->votes) && !is_more(b->votes, o->votes);

        if (is_more(o->votes, b->votes) || (is_tie && is_more(o->heaviest, b->heaviest)))
            best = i;
    }
    return best;
}

static int vote_check(struct text conf, struct arena *a, struct merge_error *why)
{
    struct extract *e = arena_alloc(a, sizeof(*e));

    return extract_read(conf, a, e, why);
}

static int vote_merge(const struct stage_view *v, struct arena *a, struct merged *out, const char **why)
{
    struct extract *e = arena_alloc(a, sizeof(*e));
    struct count *c = arena_zero(a, sizeof(*c));
    struct ballot *ballots = arena_zero(a, sizeof(*ballots) * (size_t)v->n);
    struct merge_error bad;
    int winner;

    CHECK(v->n <= (int)ARRAY_LEN(c->options));
    if (extract_read(v->conf, a, e, &bad) < 0) {
        *why = "the extract of the merge object cannot be read";
        return -ENOMSG;
    }
    for (int i = 0; i < v->n; i++) {
        c->of_call[i] = -1;
        if (merge_is_good(v, i))
            ballots[i].value = extract_value(e, merge_said(v->outcomes[i]), a);
        if (ballots[i].value.p != NULL)
            cast(c, i, extract_fold(ballots[i].value, a), v->weights[i]);
    }
    for (int i = 0; i < v->n; i++)
        ballots[i].votes = c->of_call[i] >= 0 ? c->options[c->of_call[i]].votes : -1;
    out->ballots = ballots;
    if (c->n_options == 0) {
        *why = "no answer cast a vote: extract found nothing in any of them";
        return -ENOMSG;
    }
    winner = find_winner(c);
    out->agreement = c->options[winner].votes / c->cast;
    out->winner = c->options[winner].first;
    out->answer = merge_said(v->outcomes[out->winner]);
    out->selected[out->winner] = true;
    return 0;
}

static const char *const keys[] = {"extract", NULL};

const struct merge_ops merge_vote = {
    .name = "vote", .default_quorum_max = 2, .keys = keys, .check = vote_check, .merge = vote_merge};
