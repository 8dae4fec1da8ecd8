/* SPDX-License-Identifier: Apache-2.0 */
/* Which offsets of a partition are finished: pure arithmetic. Offsets come as they are delivered; there are gaps
 * (compaction, transaction markers), so nothing here ever adds one to find "the next record".
 *
 * What is committed is (base, bitmap): base is the lowest delivered and unfinished offset, or the place behind the last
 * delivered one when all are finished; the bitmap says which offsets from base on are finished. 16,384 bits always fit
 * into the 4,096 characters a broker keeps, so the bitmap is never stripped: intake of the partition stops at that span
 * instead. source: DESIGN 6, reference/kafka.md 5.3 */
#ifndef CORE_WINDOW_H
#define CORE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

enum { WINDOW_SPAN = 16384 };

struct window {
    int64_t base;                    /* lowest offset that may be unfinished */
    int64_t next;                    /* behind the last delivered offset; start before any */
    int64_t n_open;                  /* delivered and unfinished */
    uint64_t open[WINDOW_SPAN / 64]; /* ring of bits: offset % WINDOW_SPAN */
    uint64_t done[WINDOW_SPAN / 64];
};

/* An empty window that starts at `start`. */
void window_init(struct window *w, int64_t start);
/* Loads the bitmap of a commit at `base` (== the window's start). -EINVAL: not ours or damaged, the window stays empty.
 * `high`: high watermark, -1 unknown; a bitmap that reaches beyond it is refused. */
int window_load(struct window *w, const char *metadata, int64_t high);
/* Notes a delivered offset. 0: opened; 1: it was finished before (skip the record); -ENOSPC: beyond the span, hold the
 * record and try again when the base has moved; -EINVAL: below the base or delivered before (skip it). */
int window_open(struct window *w, int64_t offset);
/* Marks an opened offset finished. */
void window_close(struct window *w, int64_t offset);
/* What to commit now; the metadata is appended to `out` (nothing when no bit is set). */
void window_position(const struct window *w, int64_t *out_base, struct buf *out);
/* Is the span far from full? False stops polling the partition. */
bool window_has_room(const struct window *w);

#endif
