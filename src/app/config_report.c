/* SPDX-License-Identifier: Apache-2.0 */
/* Collects problems and renders them with the source line and a caret line. Never prints a secret: source lines are
 * masked by their looks (a key named like one, a URL with a password), so that lines that could not be parsed are
 * covered too. One thread. */
#include "app/config_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"

enum { TEXT_BYTES = 1024 }; /* of one message; a longer one is cut */

void config_report_init(struct config_report *r, const char *name)
{
    *r = (struct config_report){.arena = arena_new(4096)};
    r->name = arena_strdup(r->arena, name);
}

void config_report_done(struct config_report *r)
{
    arena_free(r->arena);
    mem_free(r->problems);
    *r = (struct config_report){0};
}

void config_report_source(struct config_report *r, const char *name, const char *bytes, size_t len)
{
    r->name = arena_strdup(r->arena, name);
    r->source = bytes == NULL ? NULL : arena_copy(r->arena, bytes, len);
    r->source_len = len;
}

/* Replaces control characters, which a message may have taken over from the file. */
static char *clean_text(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);

    for (char *p = copy; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return copy;
}

static void add_problem(struct config_report *r, bool is_warning, struct config_place at, const char *text)
{
    struct config_problem *p;

    r->problems = mem_resize(r->problems, sizeof(*r->problems) * (size_t)(r->n_problems + 1));
    p = &r->problems[r->n_problems];
    *p = (struct config_problem){.is_warning = is_warning, .place = at, .seq = r->n_problems};
    p->place.origin = arena_strdup(r->arena, at.origin);
    p->text = clean_text(r->arena, text);
    r->n_problems++;
    r->n_errors += !is_warning;
}

void config_error(struct config_report *r, struct config_place at, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_problem(r, false, at, text);
}

void config_warning(struct config_report *r, struct config_place at, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_problem(r, true, at, text);
}

/* The file from top to bottom, then the environment and flags; the same place in the order of discovery. */
static int compare_problems(const void *left, const void *right)
{
    const struct config_problem *a = left;
    const struct config_problem *b = right;

    if ((a->place.origin != NULL) != (b->place.origin != NULL))
        return a->place.origin != NULL ? 1 : -1;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    if (a->place.column != b->place.column)
        return a->place.column < b->place.column ? -1 : 1;
    return a->seq - b->seq;
}

static bool source_line(const struct config_report *r, int line, const char **out, size_t *out_len)
{
    const char *p = r->source;
    const char *end = r->source == NULL ? NULL : r->source + r->source_len;

    if (p == NULL || line < 1)
        return false;
    for (; line > 1; line--) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (p == NULL)
            return false;
        p++;
    }
    *out = p;
    *out_len = strcspn(p, "\n"); /* the copy ends with a NUL */
    if (p + *out_len > end)
        *out_len = (size_t)(end - p);
    while (*out_len > 0 && p[*out_len - 1] == '\r')
        (*out_len)--;
    return true;
}

static bool ends_with_secret_word(const char *begin, const char *end)
{
    static const char *const words[] = {"key",    "keys",  "password", "passwd",
                                        "secret", "token", "pem",      "oauthbearer.config"};

    while (end > begin && (end[-1] == '"' || end[-1] == '\'' || end[-1] == ' '))
        end--;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);

        if ((size_t)(end - begin) >= len && strncasecmp(end - len, words[i], len) == 0)
            return true;
    }
    return false;
}

/* Writes stars over the characters up to one of `stops` (one star per character) and returns where it ended. */
static char *mask_run(char *from, const char *stops)
{
    char *to = from;
    char *p = from;

    for (; *p != '\0' && strchr(stops, *p) == NULL; p++) {
        if (*p == '\\' && p[1] != '\0' && *stops == '"') { /* an escape: the quote behind it is not the end */
            *to++ = '*';
            p++;
        }
        if (((unsigned char)*p & 0xc0) != 0x80)
            *to++ = '*';
    }
    memmove(to, p, strlen(p) + 1);
    return to;
}

/* Masks what looks like a secret in one line; references stay readable, widths stay the same. */
static void mask_line(char *line)
{
    for (char *p = strchr(line, ':'); p != NULL; p = strchr(p, ':')) {
        char *value = p + 1 + strspn(p + 1, " \t[");
        char *at = strncmp(p, "://", 3) == 0 ? strpbrk(p + 3, "@ /\"'") : NULL;
        bool is_flow = memchr(line, '{', (size_t)(p - line)) != NULL || memchr(p, '[', (size_t)(value - p)) != NULL;
        char quote[2] = {*value == '"' || *value == '\'' ? *value : '\0', '\0'};

        p++;
        value += quote[0] != '\0';
        if (at != NULL && *at == '@')
            p = mask_run(p + 2, "@");
        else if (at == NULL && ends_with_secret_word(line, p - 1) && strncmp(value, "${", 2) != 0)
            p = mask_run(value, quote[0] != '\0' ? quote : is_flow ? ",}]" : "");
    }
}

static void print_caret(struct buf *out, const char *line, size_t len, struct config_place at)
{
    size_t i = 0;
    int width = at.width < 1 ? 1 : at.width;
    int room = 0;

    for (int column = 1; column < at.column; column++) {
        buf_add_char(out, i < len && line[i] == '\t' ? '\t' : ' ');
        for (i += i < len; i < len && ((unsigned char)line[i] & 0xc0) == 0x80; i++)
            continue;
    }
    for (; i < len; i++)
        room += ((unsigned char)line[i] & 0xc0) != 0x80;
    buf_add_char(out, '^');
    for (int k = 1; k < width && k < room; k++)
        buf_add_char(out, '~');
    buf_add_char(out, '\n');
}

static void print_problem(const struct config_report *r, const struct config_problem *p, struct buf *out)
{
    const char *kind = p->is_warning ? "warning" : "error";
    const char *line;
    size_t len;
    char *shown;

    if (p->place.origin != NULL) {
        buf_printf(out, "%s: %s: %s\n", p->place.origin, kind, p->text);
        return;
    }
    if (p->place.line == 0) {
        buf_printf(out, "%s: %s: %s\n", r->name, kind, p->text);
        return;
    }
    buf_printf(out, "%s:%d:%d: %s: %s\n", r->name, p->place.line, p->place.column, kind, p->text);
    if (!source_line(r, p->place.line, &line, &len))
        return;
    if (p->place.line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark has no column */
        line += 3;
        len -= 3;
    }
    shown = mem_strndup(line, len);
    mask_line(shown);
    buf_add_str(out, shown);
    buf_add_char(out, '\n');
    print_caret(out, shown, strlen(shown), p->place);
    mem_free(shown);
}

void config_report_print(struct config_report *r, struct buf *out)
{
    int n_warnings = r->n_problems - r->n_errors;

    if (r->n_problems == 0)
        return;
    qsort(r->problems, (size_t)r->n_problems, sizeof(*r->problems), compare_problems);
    for (int i = 0; i < r->n_problems; i++)
        print_problem(r, &r->problems[i], out);
    if (r->source == NULL)
        return; /* there was no file to sum up */
    buf_printf(out, "%d problem%s (%d error%s, %d warning%s) in %s.%s\n", r->n_problems, r->n_problems == 1 ? "" : "s",
               r->n_errors, r->n_errors == 1 ? "" : "s", n_warnings, n_warnings == 1 ? "" : "s", r->name,
               r->n_errors > 0 ? " Nothing was started." : "");
}

void config_report_json(struct config_report *r, struct json_write *w)
{
    if (r->n_problems > 1)
        qsort(r->problems, (size_t)r->n_problems, sizeof(*r->problems), compare_problems);
    jw_kv_str(w, "file", r->name);
    jw_kv_bool(w, "ok", r->n_errors == 0);
    jw_kv_int(w, "errors", r->n_errors);
    jw_kv_int(w, "warnings", r->n_problems - r->n_errors);
    jw_key(w, "problems");
    jw_open(w, '[');
    for (int i = 0; i < r->n_problems; i++) {
        const struct config_problem *p = &r->problems[i];

        jw_open(w, '{');
        jw_kv_str(w, "severity", p->is_warning ? "warning" : "error");
        jw_kv_str(w, "origin", p->place.origin);
        jw_kv_int_opt(w, "line", p->place.line == 0 ? -1 : p->place.line);
        jw_kv_int_opt(w, "column", p->place.column == 0 ? -1 : p->place.column);
        jw_kv_str(w, "text", p->text);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}
