/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with places for values: `{{name}}`. Pure. */
#ifndef CORE_TEMPLATE_H
#define CORE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct arena;

struct template_var {
    const char *name;
    struct text value; /* either form */
};

/* Sorted by name (strcmp), each name once. */
struct template_vars {
    struct template_var *items; /* items[n] */
    size_t n;
};

/* May a var be called so? [A-Za-z_][A-Za-z0-9_.-]* */
bool template_is_name(const char *s, size_t n);
/* Puts the values in the places of their names. A place is `{{`, blanks or tabs, a name, blanks or tabs, `}}`; any
 * other brace is plain text. One pass: a value is never looked into. Nothing is escaped for any markup.
 *
 * t            either form; a text without places comes back as it is, another one plain, in the arena
 * max_bytes    of the decoded result
 * out_unbound  on -ENOENT: the name (plain, not NUL-terminated)
 * errors       -ENOENT a name that no var has, -E2BIG above max_bytes */
int template_expand(struct arena *a, struct text t, const struct template_vars *vars, size_t max_bytes,
                    struct text *out, struct text *out_unbound);

#endif
