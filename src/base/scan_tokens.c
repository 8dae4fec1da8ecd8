/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner's tokens: strings, numbers and literals, checked and passed over. Knows nothing of nesting. Never
 * allocates, never reads beyond the bytes given. Not thread safe. source  RFC 8259 6, 7; Unicode 15 table 3-7 */
#include "base/scan_tokens.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

int scan_fail_at(struct scan *s, const char *at, int error, const char *why)
{
    if (s->error == 0) {
        s->error = error;
        s->error_at = (size_t)(at - s->begin);
        s->why = why;
    }
    return s->error;
}

int scan_check_escape(struct scan *s, const char *p, int *out_len, bool *needs_repair)
{
    int unit;
    int low;

    if (s->end - p < 2)
        return scan_fail_at(s, s->end, -EINVAL, "unexpected end in a string");
    *out_len = 2;
    if (p[1] != 'u')
        return memchr("\"\\/bfnrt", p[1], 8) != NULL ? 0 : scan_fail_at(s, p, -EINVAL, "unknown escape");
    unit = s->end - p < 6 ? -1 : hex_four(p + 2);
    if (unit < 0)
        return scan_fail_at(s, p, -EINVAL, "\\u needs four hexadecimal digits");
    *out_len = 6;
    if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        *needs_repair = true;
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
        low = s->end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex_four(p + 8) : -1;
        if (low >= 0xdc00 && low <= 0xdfff)
            *out_len = 12;
        else
            *needs_repair = true;
    }
    return 0;
}

int scan_take_string(struct scan *s, struct text *out, bool *out_needs_repair)
{
    const char *begin = s->p + 1;
    const char *p = begin;
    bool is_escaped = false;
    bool needs_repair = false;

    for (;;) {
        int len;

        p = plain_run_end(p, s->end);
        while (p < s->end && (unsigned char)*p >= 0x80) {
            len = utf8_length(p, s->end);
            if (len == 0)
                return scan_fail_at(s, p, -EILSEQ, "not UTF-8");
            p += len;
        }
        if (p == s->end)
            return scan_fail_at(s, p, -EINVAL, "unexpected end in a string");
        if (*p == '"')
            break;
        if ((unsigned char)*p < 0x20)
            return scan_fail_at(s, p, -EINVAL, "control character in a string");
        len = 1; /* plain text behind a character */
        if (*p == '\\') {
            if (scan_check_escape(s, p, &len, &needs_repair) < 0)
                return s->error;
            is_escaped = true;
        }
        p += len;
    }
    s->p = p + 1;
    *out = (struct text){.p = begin, .len = (size_t)(p - begin), .is_escaped = is_escaped};
    *out_needs_repair = needs_repair;
    return 0;
}

int scan_take_literal(struct scan *s, const char *literal)
{
    size_t len = strlen(literal);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, literal, len) != 0)
        return scan_fail_at(s, s->p, -EINVAL, "expected a value");
    s->p += len;
    return 0;
}

static const char *digits_end(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

int scan_take_number(struct scan *s, bool *out_is_integer)
{
    const char *p = s->p + (*s->p == '-');
    const char *digits = p;

    *out_is_integer = true;
    p = digits_end(p, s->end);
    if (p == digits || (*digits == '0' && p > digits + 1))
        return scan_fail_at(s, digits, -EINVAL, p == digits ? "expected a digit" : "leading zero");
    if (p < s->end && *p == '.') {
        *out_is_integer = false;
        digits = p + 1;
        p = digits_end(digits, s->end);
        if (p == digits)
            return scan_fail_at(s, p, -EINVAL, "expected a digit");
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        *out_is_integer = false;
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = digits_end(digits, s->end);
        if (p == digits)
            return scan_fail_at(s, p, -EINVAL, "expected a digit");
    }
    s->p = p;
    return 0;
}
