/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer says: a number, a choice, what a regex or a JSON Pointer finds, or all of it. Reads the `extract` of a
 * merge object and applies it. The rules are in docs/topics.md, "vote". Pure; any thread. */
#include "merge/extract.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "merge/extract_find.h"
#include "merge/regex.h"
#include "seam/merge.h"

static int refuse(struct merge_error *why, const char *below, const char *message)
{
    snprintf(why->pointer, sizeof(why->pointer), "/extract%s", below);
    snprintf(why->message, sizeof(why->message), "%s", message);
    return -EINVAL;
}

static const char shapes[] =
    "extract must be \"text\", \"number\", \"choice\", {\"choices\": [...]}, {\"regex\": \"...\"} or "
    "{\"json_pointer\": \"/...\"}";

static int read_word(struct scan *s, struct arena *a, struct extract *e, struct merge_error *why)
{
    struct text word = TEXT_NONE;

    scan_text(s, a, &word);
    if (text_is(word, "text"))
        e->kind = EXTRACT_TEXT;
    else if (text_is(word, "number"))
        e->kind = EXTRACT_NUMBER;
    else if (text_is(word, "choice"))
        e->kind = EXTRACT_CHOICE;
    else
        return refuse(why, "", shapes);
    return 0;
}

static struct text plain(struct scan *s, struct arena *a)
{
    struct text t = TEXT_NONE;
    size_t len = 0;
    char *p;

    scan_text(s, a, &t);
    p = text_decode(a, t, &len);
    return text_slice(p, len);
}

static int read_choices(struct scan *s, struct arena *a, struct extract *e, struct merge_error *why)
{
    char below[32];

    e->kind = EXTRACT_CHOICES;
    if (scan_peek(s) != SCAN_ARRAY)
        return refuse(why, "/choices", "choices must be an array of strings");
    scan_enter_array(s);
    while (scan_next_item(s)) {
        snprintf(below, sizeof(below), "/choices/%d", e->n_choices);
        if (e->n_choices == EXTRACT_CHOICES_MAX)
            return refuse(why, below, "more than 64 choices");
        if (scan_peek(s) != SCAN_STRING)
            return refuse(why, below, "a choice must be a string");
        e->choices[e->n_choices] = plain(s, a);
        if (text_is_blank(e->choices[e->n_choices]))
            return refuse(why, below, "the choice is empty");
        e->n_choices++;
    }
    return e->n_choices >= 2 ? 0 : refuse(why, "/choices", "choices must be two or more");
}

static bool is_pointer(struct text p)
{
    if (p.len > 0 && p.p[0] != '/')
        return false;
    for (size_t i = 0; i < p.len; i++)
        if (p.p[i] == '~' && (i + 1 == p.len || (p.p[i + 1] != '0' && p.p[i + 1] != '1')))
            return false;
    return p.len <= EXTRACT_POINTER_MAX;
}

static int read_pattern(struct scan *s, struct arena *a, struct extract *e, const char *key, struct merge_error *why)
{
    bool is_regex = strcmp(key, "/regex") == 0;
    char words[160];

    if (scan_peek(s) != SCAN_STRING)
        return refuse(why, key, "must be a string");
    e->kind = is_regex ? EXTRACT_REGEX : EXTRACT_POINTER;
    e->pattern = plain(s, a);
    if (!is_regex)
        return is_pointer(e->pattern)
                   ? 0
                   : refuse(why, key, "not a JSON Pointer (RFC 6901) of at most 256 bytes: \"\" or /a/0");
    return regex_check(e->pattern, words, sizeof(words)) < 0 ? refuse(why, key, words) : 0;
}

static int read_object(struct scan *s, struct arena *a, struct extract *e, struct merge_error *why)
{
    struct text key;
    int n = 0, r = 0;

    scan_enter_object(s);
    while (r == 0 && scan_next_key(s, &key)) {
        if (n++ > 0)
            return refuse(why, "", "extract takes one of choices, regex and json_pointer");
        if (text_is(key, "choices"))
            r = read_choices(s, a, e, why);
        else if (text_is(key, "regex"))
            r = read_pattern(s, a, e, "/regex", why);
        else if (text_is(key, "json_pointer"))
            r = read_pattern(s, a, e, "/json_pointer", why);
        else
            return refuse(why, "", shapes);
    }
    return r < 0 || n == 1 ? r : refuse(why, "", shapes);
}

int extract_read(struct text conf, struct arena *a, struct extract *out, struct merge_error *why)
{
    struct scan s;
    struct text key;
    int r = 0;

    memset(out, 0, sizeof(*out));
    if (conf.p == NULL)
        return 0;
    scan_init(&s, conf.p, conf.len);
    scan_enter_object(&s);
    while (r == 0 && scan_next_key(&s, &key)) {
        enum scan_type type = scan_peek(&s);

        if (!text_is(key, "extract") || type == SCAN_NULL)
            scan_skip(&s, NULL);
        else if (type == SCAN_STRING)
            r = read_word(&s, a, out, why);
        else if (type == SCAN_OBJECT)
            r = read_object(&s, a, out, why);
        else
            r = refuse(why, "", shapes);
    }
    return r;
}

struct text extract_value(const struct extract *e, struct text answer, struct arena *a)
{
    size_t len = 0;
    char *p = text_decode(a, answer, &len);
    struct text t = text_slice(p, len);

    if (p == NULL)
        return TEXT_NONE;
    switch (e->kind) {
    case EXTRACT_NUMBER:
        return extract_number(t, a);
    case EXTRACT_CHOICE:
        return extract_choice(t, a);
    case EXTRACT_CHOICES:
        return extract_choices(e, t, a);
    case EXTRACT_REGEX:
        t = regex_find(e->pattern, t);
        break;
    case EXTRACT_POINTER:
        t = extract_pointer(e->pattern, t, a);
        break;
    case EXTRACT_TEXT:
        break;
    }
    return text_is_blank(t) ? TEXT_NONE : t;
}

/* Simple case folding of the scripts whose letters take two bytes: Latin, Greek, Cyrillic. source: Unicode 15
 * CaseFolding.txt */
static unsigned fold_letter(unsigned c)
{
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
        return c | 1U;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
        return c + (c & 1U);
    return c == 0x3c2 ? 0x3c3 : c;
}

struct text extract_fold(struct text value, struct arena *a)
{
    char *out = arena_alloc(a, value.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        unsigned char next = i + 1 < value.len ? (unsigned char)value.p[i + 1] : 0;

        if (c == ' ' || (c >= '\t' && c <= '\r') || (c == 0xc2 && next == 0xa0)) {
            i += c == 0xc2;
            if (n > 0 && out[n - 1] != ' ')
                out[n++] = ' ';
        } else if (c >= 0xc3 && c <= 0xdf && next >= 0x80) {
            unsigned letter = fold_letter((c & 0x1fU) << 6 | (next & 0x3fU));

            out[n++] = (char)(0xc0 | letter >> 6);
            out[n++] = (char)(0x80 | (letter & 0x3f));
            i++;
        } else {
            out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
    }
    if (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    return text_slice(out, n);
}
