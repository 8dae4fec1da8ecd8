/* SPDX-License-Identifier: Apache-2.0 */
/* How the outcomes of a stage become one answer. Pure: no I/O, no clock; a merge that needs a model is a planned stage.
 */
#ifndef SEAM_MERGE_H
#define SEAM_MERGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct arena;
struct outcome;

/* A stage as a merge sees it: its calls in the order asked, the samples of a model one after the other. */
struct stage_view {
    int n;
    const char *const *names;              /* names[n]: request_model */
    const struct outcome *const *outcomes; /* outcomes[n]; NULL: not over yet */
    const double *weights;                 /* weights[n], > 0 */
    int quorum;
    struct text conf; /* the job's merge object, raw JSON that check() found good; TEXT_NONE: only a name was given */
};

/* What a vote made of one answer. */
struct ballot {
    struct text value; /* what was extracted; TEXT_NONE: nothing, it cast no vote */
    double votes;      /* weight of all that say the same; -1: it cast no vote */
};

struct merged {
    struct text answer;           /* TEXT_NONE: none (a `none` merge of several models) */
    int winner;                   /* call whose answer it is, -1: nobody's alone */
    bool selected[64];            /* calls whose text went into the answer */
    const struct ballot *ballots; /* ballots[n] of a vote, else NULL; in the arena */
    double agreement;             /* with ballots: share of the weight cast that agrees with the winner */
};

/* What is wrong in a merge object: the place below "/merge" and words for people. */
struct merge_error {
    char pointer[96];
    char message[200];
};

struct merge_ops {
    const char *name;        /* the word in the job */
    int default_quorum_max;  /* `first` 1, others 2 (CONTRACTS 3, quorum) */
    const char *const *keys; /* keys of the merge object beside "strategy", NULL-ended; NULL: none */
    /* Checks the merge object (raw JSON, known to have no other keys). -EINVAL with *why filled. NULL: nothing to
     * check.
     */
    int (*check)(struct text conf, struct arena *a, struct merge_error *why);
    /* Is the stage satisfied before all members are over (late ones are then cancelled)? NULL: never. */
    bool (*enough)(const struct stage_view *v);
    /* Makes the answer out of the good outcomes (at least quorum of them); texts in the arena or slices of outcomes.
     * 0, or -ENOMSG: they cannot be merged (job error merge_failed), *why is static text. */
    int (*merge)(const struct stage_view *v, struct arena *a, struct merged *out, const char **why);
};

/* All strategies of src/merge, for app/wire.c; core gets them through its env. */
const struct merge_ops *const *merge_all(int *out_n);

#endif
