/* SPDX-License-Identifier: Apache-2.0 */
/* Fills values into a text with places for them. Works on decoded bytes, since JSON may write any brace or letter as an
 * escape; the request escapes the result once. Never reads what it has put in. Pure but for the arena. Any thread.
 * source: CONTRACTS 3 (vars) */
#include "core/template.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static bool is_first_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_name_char(char c)
{
    return is_first_char(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

bool template_is_name(const char *s, size_t n)
{
    if (n == 0 || !is_first_char(s[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_name_char(s[i]))
            return false;
    return true;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

static bool is_pair(const char *p, const char *end, char brace)
{
    return end - p >= 2 && p[0] == brace && p[1] == brace;
}

/* The byte behind the place that begins at `p`; NULL: no place begins there. */
static const char *end_of_place(const char *p, const char *end, struct text *out_name)
{
    const char *name;

    if (!is_pair(p, end, '{'))
        return NULL;
    name = p = skip_blanks(p + 2, end);
    if (p == end || !is_first_char(*p))
        return NULL;
    while (p < end && is_name_char(*p))
        p++;
    *out_name = text_slice(name, (size_t)(p - name));
    p = skip_blanks(p, end);
    return is_pair(p, end, '}') ? p + 2 : NULL;
}

static int compare(const char *name, struct text key)
{
    int order = strncmp(name, key.p, key.len);

    return order != 0 ? order : name[key.len] != '\0';
}

static const struct template_var *find(const struct template_vars *vars, struct text name)
{
    size_t from = 0, to = vars->n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = compare(vars->items[middle].name, name);

        if (order == 0)
            return &vars->items[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

int template_expand(struct arena *a, struct text t, const struct template_vars *vars, size_t max_bytes,
                    struct text *out, struct text *out_unbound)
{
    size_t len = t.len;
    const char *begin = t.is_escaped ? text_decode(a, t, &len) : t.p;
    const char *end = begin + len, *p = begin, *done = begin, *behind;
    struct text name = TEXT_NONE;
    struct buf b;
    int r = 0;

    buf_init(&b, 0);
    while (r == 0 && b.len <= max_bytes && (p = memchr(p, '{', (size_t)(end - p))) != NULL) {
        const struct template_var *var;

        behind = end_of_place(p, end, &name);
        if (behind == NULL) {
            p++; /* the next brace may begin one: {{{name}}} */
            continue;
        }
        var = find(vars, name);
        buf_add(&b, done, (size_t)(p - done));
        if (var != NULL)
            text_add_plain(&b, var->value);
        else
            r = -ENOENT;
        p = done = behind;
    }
    if (r == 0 && b.len + (size_t)(end - done) > max_bytes)
        r = -E2BIG;
    buf_add(&b, done, r == 0 ? (size_t)(end - done) : 0);
    if (r == 0)
        *out = done == begin ? t : text_slice(arena_copy(a, b.p != NULL ? b.p : "", b.len), b.len);
    else if (r == -ENOENT)
        *out_unbound = text_slice(arena_copy(a, name.p, name.len), name.len);
    buf_done(&b);
    return r;
}
