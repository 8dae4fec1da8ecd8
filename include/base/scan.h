/* SPDX-License-Identifier: Apache-2.0 */
/* A strict JSON scanner (RFC 8259, UTF-8 checked, depth and size limited) that walks a document once, allocates
 * nothing and hands out slices. Pull style: the caller asks for what it expects; scan_skip() checks and passes over
 * the rest. After any error every further call fails with the same error. Not thread safe.
 *
 *     struct scan s;
 *     struct text key;
 *     scan_init(&s, bytes, len);
 *     if (scan_enter_object(&s) == 0)
 *         while (scan_next_key(&s, &key)) {
 *             if (text_is(key, "id"))       scan_string(&s, &id);
 *             else                          scan_skip(&s, NULL);
 *         }
 *     if (scan_end(&s) < 0) ... s.why, s.error_at
 *
 * source  RFC 8259; Unicode 15 table 3-7 (well-formed UTF-8) */
#ifndef BASE_SCAN_H
#define BASE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { SCAN_DEPTH_MAX = 64 };

enum scan_type { SCAN_NULL, SCAN_FALSE, SCAN_TRUE, SCAN_NUMBER, SCAN_STRING, SCAN_ARRAY, SCAN_OBJECT, SCAN_NOTHING };

struct scan {
    const char *begin;
    const char *p; /* next byte */
    const char *end;
    int depth;
    bool is_first;     /* just entered an object or array: no comma expected */
    bool is_value_due; /* a value comes next: at the start, behind a key, after scan_next_item() */
    int error;         /* 0, -EINVAL syntax, -EILSEQ not UTF-8, -E2BIG nesting, -ENOMSG another type than asked for */
    size_t error_at;   /* byte offset of the error */
    const char *why;   /* static text */
    uint8_t nest[SCAN_DEPTH_MAX]; /* '{' or '[' per level */
};

void scan_init(struct scan *s, const char *bytes, size_t len);
/* Type of the next value without consuming it; SCAN_NOTHING on error or at the end. */
enum scan_type scan_peek(struct scan *s);
/* Enter: 0, or the error (-ENOMSG: another type; the scan is then failed). Leaving is done by the next_ functions. */
int scan_enter_object(struct scan *s);
int scan_enter_array(struct scan *s);
/* True with the next key (escaped slice), false at the closing brace (consumed) or on error. */
bool scan_next_key(struct scan *s, struct text *out_key);
/* True when another element follows, false at the closing bracket (consumed) or on error. */
bool scan_next_item(struct scan *s);
/* A string value as slice without its quotes. is_escaped is set only when a backslash occurs; a slice that holds a lone
 * surrogate or \u0000 escape is reported with *out_needs_repair (may be NULL): pass it through scan_repair(). */
int scan_string(struct scan *s, struct text *out, bool *out_needs_repair);
/* Copies a slice with every lone surrogate and \u0000 replaced by \ufffd. */
struct text scan_repair(struct arena *a, struct text t);
/* A string ready to use: scan_string() and scan_repair() when needed. JSON null gives TEXT_NONE. */
int scan_text(struct scan *s, struct arena *a, struct text *out);
/* An integer; -ENOMSG with fraction or exponent or outside int64. */
int scan_int(struct scan *s, int64_t *out);
int scan_double(struct scan *s, double *out);
int scan_bool(struct scan *s, bool *out);
/* Passes over one whole value, checking it; *out (may be NULL) gets its bytes as they stand (strings with quotes). */
int scan_skip(struct scan *s, struct text *out);
/* Marks the scan failed on behalf of the caller (first error wins). Returns the error. */
int scan_fail(struct scan *s, int error, const char *why);
/* Checks that only white space follows. 0 or the first error of the whole scan. */
int scan_end(struct scan *s);

#endif
