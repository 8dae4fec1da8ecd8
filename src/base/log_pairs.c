/* SPDX-License-Identifier: Apache-2.0 */
/* Formats the key=value pairs of a log line. Walks the format itself, because after vsnprintf() nobody can tell a quote
 * of the format from one inside a value: only what the format says opens and closes a field. Never allocates. Any
 * thread. */
#include "base/log_pairs.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"

enum { RESERVE = 32 }; /* room kept for `..." cut=true` */

/* One conversion of the format: %, flags, width and precision already put in, length, letter. */
struct spec {
    char text[64];
    size_t len;
    int precision; /* -1: none */
    char size;     /* 0, 'h' (also hh), 'l', 'q' (ll), 'j', 'z', 't' */
    char letter;
};

static bool pairs_add(struct pairs *o, const char *bytes, size_t len)
{
    if (o->is_cut || len > sizeof(o->p) - RESERVE - o->len) {
        o->is_cut = true;
        return false;
    }
    memcpy(o->p + o->len, bytes, len);
    o->len += len;
    return true;
}

/* Bytes of an escape that JSON knows at p (a backslash), 0 when it is none. */
static size_t escape_at(const char *p, const char *end)
{
    if (end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL)
        return 2;
    return end - p >= 6 && p[1] == 'u' && hex_four(p + 2) >= 0 ? 6 : 0;
}

/* The next character of a value as it stands inside quotes: *out[8] gets it, the bytes used are returned. What
 * log_quote() escaped before passes unchanged. */
static size_t quote_one(const char *p, const char *end, bool keeps_escapes, char *out, size_t *out_len)
{
    static const char from[] = "\"\\\n\r\t";
    static const char to[] = "\"\\nrt";
    size_t len = keeps_escapes && *p == '\\' ? escape_at(p, end) : 0;
    const char *at = memchr(from, *p, sizeof(from) - 1);

    if (len > 0) {
        memcpy(out, p, len);
        *out_len = len;
        return len;
    }
    if (at != NULL) {
        out[0] = '\\';
        out[1] = to[at - from];
        *out_len = 2;
        return 1;
    }
    len = (size_t)utf8_length(p, end);
    if (len == 0 || (unsigned char)*p < 0x20 || *p == 0x7f) {
        *out_len = (size_t)snprintf(out, 8, "\\u%04x", len == 0 ? 0xfffd : (unsigned char)*p);
        return 1;
    }
    memcpy(out, p, len);
    *out_len = len;
    return len;
}

static void add_value(struct pairs *o, const char *p, size_t len)
{
    const char *end = p + len;

    while (p < end) {
        char one[8];
        size_t n;

        p += quote_one(p, end, true, one, &n);
        if (!o->is_quoted && (n != 1 ? one[0] == '\\' : *one == ' ' || *one == '=')) {
            one[0] = '_'; /* outside of quotes nothing may end the field */
            n = 1;
        }
        if (!pairs_add(o, one, n))
            return;
    }
}

/* Literal text of the format: quotes open and close, a blank outside of them begins a pair. */
static void add_literal(struct pairs *o, char c)
{
    if (!pairs_add(o, &c, 1))
        return;
    if (c == '"')
        o->is_quoted = !o->is_quoted;
    else if (c == ' ' && !o->is_quoted)
        o->pair_at = o->len;
}

static void spec_add(struct spec *s, char c)
{
    if (s->len < sizeof(s->text) - 16) /* a longer one is no format of ours; it stays terminated */
        s->text[s->len++] = c;
}

/* A width or precision: digits, or * with the number among the arguments. */
static int read_amount(struct spec *s, const char **p, va_list *args)
{
    int amount = 0;

    if (**p == '*') {
        (*p)++;
        amount = va_arg(*args, int);
        s->len += (size_t)snprintf(s->text + s->len, 12, "%d", amount);
        return amount;
    }
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        amount = amount < INT_MAX / 10 - 1 ? amount * 10 + (**p - '0') : amount;
        spec_add(s, **p);
    }
    return amount;
}

/* Reads the conversion behind the % at p; returns what follows it. */
static const char *read_spec(struct spec *s, const char *p, va_list *args)
{
    *s = (struct spec){.text = "%", .len = 1, .precision = -1};
    while (*p != '\0' && strchr("-+ #0", *p) != NULL)
        spec_add(s, *p++);
    (void)read_amount(s, &p, args);
    if (*p == '.') {
        spec_add(s, *p++);
        s->precision = read_amount(s, &p, args);
    }
    while (*p != '\0' && strchr("hlqjzt", *p) != NULL) {
        s->size = s->size == 'l' && *p == 'l' ? 'q' : *p;
        spec_add(s, *p++);
    }
    s->letter = *p;
    if (*p == '\0')
        return p;
    spec_add(s, *p);
    s->text[s->len] = '\0';
    return p + 1;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored \
    "-Wformat-nonliteral" /* text is a conversion the compiler checked in log_event()'s fmt */

static int format_signed(const struct spec *s, char *out, size_t size, va_list *args)
{
    switch (s->size) {
    case 'l':
        return snprintf(out, size, s->text, va_arg(*args, long));
    case 'q':
        return snprintf(out, size, s->text, va_arg(*args, long long));
    case 'j':
        return snprintf(out, size, s->text, va_arg(*args, intmax_t));
    case 'z':
        return snprintf(out, size, s->text, va_arg(*args, size_t));
    case 't':
        return snprintf(out, size, s->text, va_arg(*args, ptrdiff_t));
    default:
        return snprintf(out, size, s->text, va_arg(*args, int));
    }
}

static int format_number(const struct spec *s, char *out, size_t size, va_list *args)
{
    switch (s->letter) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'c':
        return format_signed(s, out, size, args); /* signed or not: passed in the same way */
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        return snprintf(out, size, s->text, va_arg(*args, double));
    case 'p':
        return snprintf(out, size, s->text, va_arg(*args, void *));
    default:
        return -1;
    }
}

#pragma GCC diagnostic pop

/* False when the conversion is unknown: then nothing is known about the arguments after it. */
static bool add_conversion(struct pairs *o, const struct spec *s, int error, va_list *args)
{
    char number[512];
    const char *string;
    int len;

    if (s->letter == '%') {
        add_value(o, "%", 1);
        return true;
    }
    if (s->letter == 's') {
        string = va_arg(*args, const char *);
        if (string == NULL)
            string = "(null)";
        add_value(o, string, s->precision >= 0 ? strnlen(string, (size_t)s->precision) : strlen(string));
        return true;
    }
    if (s->letter == 'm') {
        errno = error;
        len = snprintf(number, sizeof(number), "%m");
    } else {
        len = format_number(s, number, sizeof(number), args);
    }
    if (len < 0)
        return false;
    add_value(o, number, (size_t)len < sizeof(number) ? (size_t)len : sizeof(number) - 1);
    return true;
}

void pairs_format(struct pairs *out, const char *fmt, va_list args)
{
    int error = errno; /* for %m */
    va_list copy;

    out->len = out->pair_at = 0;
    out->is_quoted = out->is_cut = false;
    va_copy(copy, args); /* a parameter of type va_list may be an array: no pointer to it */
    for (const char *p = fmt != NULL ? fmt : ""; *p != '\0' && !out->is_cut;) {
        struct spec s;

        if (*p != '%') {
            add_literal(out, *p++);
            continue;
        }
        p = read_spec(&s, p + 1, &copy);
        if (!add_conversion(out, &s, error, &copy)) {
            add_value(out, "?", 1);
            break;
        }
    }
    va_end(copy);
    if (out->is_cut && !out->is_quoted)
        out->len = out->pair_at; /* half a key or number tells nothing */
    if (out->is_quoted) {
        if (out->is_cut) {
            memcpy(out->p + out->len, "...", 3);
            out->len += 3;
        }
        out->p[out->len++] = '"';
    }
    if (out->is_cut) {
        const char *mark = out->len > 0 && out->p[out->len - 1] != ' ' ? " cut=true" : "cut=true";

        memcpy(out->p + out->len, mark, strlen(mark));
        out->len += strlen(mark);
    }
}

struct pair pairs_next(const char **p, const char *end)
{
    struct pair pair = {.key = *p};
    const char *at = *p;

    while (at < end && *at != '=' && *at != ' ')
        at++;
    pair.key_len = (size_t)(at - pair.key);
    pair.value = at += at < end && *at == '=';
    if (at < end && *at == '"') {
        for (at++; at < end && *at != '"'; at++)
            at += *at == '\\' && at + 1 < end;
        at += at < end;
    }
    while (at < end && *at != ' ')
        at++;
    pair.value_len = (size_t)(at - pair.value);
    *p = at < end ? at + 1 : end;
    return pair;
}

const char *log_quote(char *out, size_t size, const char *s)
{
    const char *end = s == NULL ? NULL : s + strlen(s);
    size_t len = 0;

    while (s < end) {
        char one[8];
        size_t n;

        s += quote_one(s, end, false, one, &n);
        if (len + n >= size)
            break;
        memcpy(out + len, one, n);
        len += n;
    }
    if (size > 0)
        out[len] = '\0';
    return out;
}
