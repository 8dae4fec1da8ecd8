/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who looked at a thing has to say about it. */
#ifndef BASE_FINDING_H
#define BASE_FINDING_H

enum finding_kind { FINDING_OK, FINDING_WARNING, FINDING_FAILURE };

/* Told once per thing looked at. `fix` is what to do, NULL: nothing. Borrowed. */
typedef void (*finding_fn)(void *arg, enum finding_kind kind, const char *what, const char *fix);

#endif
