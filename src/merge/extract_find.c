/* SPDX-License-Identifier: Apache-2.0 */
/* Finds numbers, letters, words and JSON values in answers. Pure; any thread. source: reference/providers.md 6
 * (vote.majority: last number, choice letter, regex, JSON pointer) */
#include "merge/extract_find.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/scan.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* Before a number signs of other scripts are no letters: a euro, a dash. */
static bool is_ascii_word(char c)
{
    return is_word(c) && (unsigned char)c < 0x80;
}

static char at(struct text t, size_t i)
{
    return i < t.len ? t.p[i] : '\0';
}

static size_t digits(struct text t, size_t i)
{
    size_t n = 0;

    while (is_digit(at(t, i + n)))
        n++;
    return n;
}

/* Where the whole part ends: digits, with commas between groups of three. */
static size_t end_of_whole(struct text t, size_t i)
{
    size_t end = i + digits(t, i);

    if (end - i <= 3)
        while (at(t, end) == ',' && digits(t, end + 1) == 3)
            end += 4;
    return end;
}

/* One spelling: no sign of a zero, no leading zeros, no zeros behind the point. */
static struct text spell(struct text t, size_t begin, size_t end, bool is_negative, struct arena *a)
{
    char *out = arena_alloc(a, end - begin + 3);
    size_t n = 1, point = 0; /* room for the sign */

    for (size_t i = begin; i < end; i++) {
        if (t.p[i] == ',' || (t.p[i] == '0' && n == 1 && is_digit(at(t, i + 1)) && i + 1 < end))
            continue;
        if (t.p[i] == '.') {
            if (n == 1)
                out[n++] = '0';
            point = n;
        }
        out[n++] = t.p[i];
    }
    while (point > 0 && n > point && (out[n - 1] == '0' || out[n - 1] == '.'))
        n--;
    out[0] = '-';
    out[n] = '\0';
    if (!is_negative || (n == 2 && out[1] == '0'))
        return text_slice(out + 1, n - 1);
    return text_slice(out, n);
}

/* With an exponent: by value. */
static struct text spell_scientific(const char *digits_begin, bool is_negative, struct arena *a)
{
    char *out = arena_printf(a, "%s%.15g", is_negative ? "-" : "", strtod(digits_begin, NULL));

    return text_of(out);
}

static bool is_minus(struct text t, size_t i, size_t *out_before)
{
    if (i >= 1 && t.p[i - 1] == '-')
        *out_before = i - 1;
    else if (i >= 3 && memcmp(t.p + i - 3, "\xe2\x88\x92", 3) == 0) /* U+2212 */
        *out_before = i - 3;
    else
        return false;
    return *out_before == 0 || !is_ascii_word(t.p[*out_before - 1]); /* else a dash: 3-5, gpt-4 */
}

struct text extract_number(struct text t, struct arena *a)
{
    struct text last = TEXT_NONE;
    size_t i = 0;

    while (i < t.len) {
        size_t begin = i, end, before, exponent;
        bool is_negative, has_point = t.p[i] == '.' && is_digit(at(t, i + 1)) && (i == 0 || !is_word(t.p[i - 1]));

        if (!is_digit(t.p[i]) && !has_point) {
            i++;
            continue;
        }
        end = has_point ? i : end_of_whole(t, i);
        if (at(t, end) == '.' && is_digit(at(t, end + 1)))
            end += 1 + digits(t, end + 1);
        i = end;
        if (begin > 0 && is_ascii_word(t.p[begin - 1]))
            continue; /* H2O, v2 */
        is_negative = is_minus(t, begin, &before);
        exponent = end + 1 + (at(t, end + 1) == '-' || at(t, end + 1) == '+');
        if ((at(t, end) == 'e' || at(t, end) == 'E') && is_digit(at(t, exponent))) {
            last = spell_scientific(t.p + begin, is_negative, a); /* the text ends in a NUL */
            i = exponent + digits(t, exponent);
        } else {
            last = spell(t, begin, end, is_negative, a);
        }
    }
    return last;
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Is the last word before `i` one that announces the answer? */
static bool is_announced(struct text t, size_t i)
{
    static const char *const words[] = {"answer", "is", "choice", "option", "choose"};
    size_t end, n;

    while (i > 0 && !is_word(t.p[i - 1]) && t.p[i - 1] != '\n' && t.p[i - 1] != '.')
        i--;
    end = i;
    while (i > 0 && is_word(t.p[i - 1]))
        i--;
    n = end - i;
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
        if (n == strlen(words[w]) && strncasecmp(t.p + i, words[w], n) == 0)
            return true;
    return false;
}

/* How likely a letter that stands alone is the answer: 3 announced, 2 marked "(B)" "B)" "**B**", 1 another capital, 0
 * the words A and I. */
static int rank_letter(struct text t, size_t i)
{
    char before = i > 0 ? t.p[i - 1] : '\0', after = at(t, i + 1);
    bool is_in_prose = (t.p[i] == 'A' || t.p[i] == 'I') && is_blank(after) && is_word(at(t, i + 2));

    if (is_in_prose || after == '\'')
        return 0;
    if (is_announced(t, i))
        return 3;
    return after == ')' || after == ']' || before == '*' || before == '{' ? 2 : 1;
}

struct text extract_choice(struct text t, struct arena *a)
{
    size_t n_words = 0, letter = 0;
    int best = 0;

    for (size_t i = 0; i < t.len; i++) {
        bool is_alone = is_word(t.p[i]) && (i == 0 || !is_word(t.p[i - 1])) && !is_word(at(t, i + 1));
        int rank;

        n_words += is_word(t.p[i]);
        if (!is_alone || !is_capital(t.p[i]))
            continue;
        rank = rank_letter(t, i);
        if (rank > 0 && rank >= best) {
            best = rank;
            letter = i;
        }
    }
    for (size_t i = 0; n_words == 1 && i < t.len; i++) /* nothing but a letter: "b", "(b)" */
        if ((t.p[i] >= 'a' && t.p[i] <= 'z') || is_capital(t.p[i]))
            return text_of(arena_printf(a, "%c", t.p[i] & ~0x20));
    return best > 0 ? text_slice(t.p + letter, 1) : TEXT_NONE;
}

/* Where the word `w` ends in `t` for the last time, 0: nowhere. */
static size_t last_end(struct text t, struct text w)
{
    for (size_t i = t.len - (w.len <= t.len ? w.len : t.len) + 1; w.len <= t.len && i-- > 0;)
        if (memcmp(t.p + i, w.p, w.len) == 0 && (i == 0 || !is_word(t.p[i - 1]) || !is_word(w.p[0])) &&
            (!is_word(at(t, i + w.len)) || !is_word(w.p[w.len - 1])))
            return i + w.len;
    return 0;
}

struct text extract_choices(const struct extract *e, struct text t, struct arena *a)
{
    struct text folded = extract_fold(t, a), best = TEXT_NONE;
    size_t best_end = 0, best_len = 0;

    for (int i = 0; i < e->n_choices; i++) {
        struct text w = extract_fold(e->choices[i], a);
        size_t end = last_end(folded, w);

        if (end > best_end || (end > 0 && end == best_end && w.len > best_len)) {
            best = e->choices[i];
            best_end = end;
            best_len = w.len;
        }
    }
    return best;
}

/* The text between the first bracket and the last one that closes it; all of it when there is none. */
static struct text json_in(struct text t)
{
    size_t begin = 0, end = t.len;
    char closing;

    while (begin < t.len && t.p[begin] != '{' && t.p[begin] != '[')
        begin++;
    if (begin == t.len)
        return t;
    closing = t.p[begin] == '{' ? '}' : ']';
    while (end > begin + 1 && t.p[end - 1] != closing)
        end--;
    return text_slice(t.p + begin, end - begin);
}

static bool is_json(struct text t)
{
    struct scan s;

    scan_init(&s, t.p, t.len);
    scan_skip(&s, NULL);
    return scan_end(&s) == 0;
}

/* One step of a pointer, "~1" and "~0" undone. */
static const char *next_step(struct text *pointer, struct arena *a)
{
    char *out = arena_alloc(a, pointer->len + 1);
    size_t i = 1, n = 0;

    for (; i < pointer->len && pointer->p[i] != '/'; i++) {
        bool is_escape = pointer->p[i] == '~' && i + 1 < pointer->len;

        i += is_escape;
        out[n++] = (char)(!is_escape ? pointer->p[i] : pointer->p[i] == '0' ? '~' : '/');
    }
    out[n] = '\0';
    *pointer = text_slice(pointer->p + i, pointer->len - i);
    return out;
}

/* Goes down to the child that the step names. */
static bool descend(struct scan *s, const char *step)
{
    char number[24];
    struct text key;

    if (scan_peek(s) == SCAN_OBJECT) {
        scan_enter_object(s);
        while (scan_next_key(s, &key)) {
            if (text_is(key, step))
                return true;
            scan_skip(s, NULL);
        }
    } else if (scan_peek(s) == SCAN_ARRAY) {
        scan_enter_array(s);
        for (int i = 0; scan_next_item(s); i++) {
            snprintf(number, sizeof(number), "%d", i);
            if (strcmp(number, step) == 0)
                return true;
            scan_skip(s, NULL);
        }
    }
    return false;
}

static struct text compact(struct text raw, struct arena *a)
{
    char *out = arena_alloc(a, raw.len + 1);
    bool is_string = false;
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];

        if (!is_string && is_blank(c))
            continue;
        if (is_string && c == '\\')
            out[n++] = raw.p[i++];
        else if (c == '"')
            is_string = !is_string;
        out[n++] = raw.p[i];
    }
    return text_slice(out, n);
}

static struct text value_at(struct scan *s, struct arena *a)
{
    struct text v = TEXT_NONE;
    size_t len = 0;
    char *p;

    switch (scan_peek(s)) {
    case SCAN_STRING:
        scan_text(s, a, &v);
        p = text_decode(a, v, &len);
        return text_slice(p, len);
    case SCAN_NUMBER:
        scan_skip(s, &v);
        p = arena_copy(a, v.p, v.len); /* with its NUL */
        return extract_number(text_slice(p, v.len), a);
    case SCAN_NULL:
    case SCAN_NOTHING:
        return TEXT_NONE;
    default:
        scan_skip(s, &v);
        return v.p != NULL ? compact(v, a) : TEXT_NONE;
    }
}

struct text extract_pointer(struct text pointer, struct text t, struct arena *a)
{
    struct scan s;

    if (!is_json(t))
        t = json_in(t);
    if (!is_json(t))
        return TEXT_NONE;
    scan_init(&s, t.p, t.len);
    while (pointer.len > 0)
        if (!descend(&s, next_step(&pointer, a)))
            return TEXT_NONE;
    return value_at(&s, a);
}
