/* SPDX-License-Identifier: Apache-2.0 */
/* How the outcomes of a stage become one answer. Pure: no I/O, no clock; a merge that needs a model is a planned stage.
 */
#ifndef SEAM_MERGE_H
#define SEAM_MERGE_H

#include <stdbool.h>

#include "base/text.h"

struct arena;
struct outcome;

/* A stage as a merge sees it: members in the order asked. */
struct stage_view {
    int n;
    const char *const *names;              /* names[n]: request_model */
    const struct outcome *const *outcomes; /* outcomes[n]; NULL: not over yet */
    int quorum;
};

struct merged {
    struct text answer; /* TEXT_NONE: none (a `none` merge of several models) */
    int winner;         /* member whose answer it is, -1: nobody's alone */
    bool selected[64];  /* members whose text went into the answer */
};

struct merge_ops {
    const char *name;       /* the word in the job */
    int default_quorum_max; /* `first` 1, others 2 (CONTRACTS 3, quorum) */
    /* Is the stage satisfied before all members are over (late ones are then cancelled)? NULL: never. */
    bool (*enough)(const struct stage_view *v);
    /* Makes the answer out of the good outcomes (at least quorum of them); texts in the arena or slices of outcomes. */
    void (*merge)(const struct stage_view *v, struct arena *a, struct merged *out);
};

/* All strategies of src/merge, for app/wire.c; core gets them through its env. */
const struct merge_ops *const *merge_all(int *out_n);

#endif
