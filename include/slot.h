/* SPDX-License-Identifier: Apache-2.0 */
/* kafka.slot: auto. A process leases the lowest free number of its group in Redis and keeps it while it lives, so that
 * names built from it (transactional.id) are few and come back after a restart. */
#ifndef SLOT_H
#define SLOT_H

#include <stdint.h>

struct loop;
struct redis;
struct slot;

/* Leases the lowest free number 1.. of the group; waits for Redis for as long as it takes.
 * owner    unique for this process start (a random name)
 * lease_ms 0: 15 s; renewed at a fifth of it
 * leased   once, with the number in decimal ("1"), valid until slot_release()
 * lost     once at most, after leased: somebody else holds it, after a long stall of ours; the process must stop
 * Callbacks never come from inside. owns: r stays the caller's and must outlive the slot. */
struct slot *slot_lease(struct loop *l, struct redis *r, const char *group, const char *owner, int64_t lease_ms,
                        void (*leased)(void *arg, const char *slot), void (*lost)(void *arg), void *arg);
/* Gives the number back and frees the slot; leased and lost do not come any more. released (may be NULL) comes once,
 * when Redis has it or cannot be asked (about a second): only then may r be freed. NULL is fine: then nothing comes. */
void slot_release(struct slot *s, void (*released)(void *arg), void *arg);

#endif
