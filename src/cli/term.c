/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals and text in columns. Main thread. */
#include "cli/term.h"

#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/check.h"

enum { DEFAULT_WIDTH = 80 };

int term_width(FILE *f)
{
    int fd = fileno(f);
    struct winsize size;

    if (fd < 0 || !isatty(fd))
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_WIDTH;
}

static const char *find_env(const char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return "";
}

bool term_has_color(FILE *f, const char *const *env)
{
    return term_width(f) > 0 && *find_env(env, "NO_COLOR") == '\0' && strcmp(find_env(env, "TERM"), "dumb") != 0;
}

/* One character: its bytes, and its columns in *out_columns. Broken UTF-8 counts byte by byte. */
static size_t next_char(const char *s, size_t len, int *out_columns)
{
    static const struct {
        uint32_t first, last;
    } wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    uint32_t code = n == 1 ? c : c & (0xffU >> (n + 1));

    *out_columns = 1;
    for (size_t i = 1; i < n; i++) {
        if (i >= len || ((unsigned char)s[i] & 0xc0) != 0x80)
            return 1;
        code = code << 6 | ((unsigned char)s[i] & 0x3f);
    }
    for (size_t i = 0; i < ARRAY_LEN(wide); i++)
        if (code >= wide[i].first && code <= wide[i].last)
            *out_columns = 2;
    if ((code >= 0x300 && code <= 0x36f) || code == 0x200d || (code >= 0xfe00 && code <= 0xfe0f))
        *out_columns = 0; /* combining, joiner, variation */
    return n;
}

int term_columns(const char *s, size_t len)
{
    int sum = 0, columns;

    for (size_t i = 0; i < len; i += next_char(s + i, len - i, &columns), sum += columns)
        ;
    return sum;
}

size_t term_line(const char *s, size_t len, int width, size_t *out_next)
{
    size_t at = 0, blank = 0;
    int used = 0, columns;

    while (at < len && s[at] != '\n') {
        size_t n = next_char(s + at, len - at, &columns);

        if (s[at] == ' ')
            blank = at;
        if (used + columns > width && at > 0) {
            at = blank > 0 ? blank : at;
            *out_next = blank > 0 ? blank + 1 : at;
            return at;
        }
        used += columns;
        at += n;
    }
    *out_next = at < len ? at + 1 : len;
    return at;
}

void term_write(FILE *f, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        (void)fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, f); /* cli_main() tests the stream */
    }
}

/* Appends one character unless the text is full; keeps room for "..." and NUL. */
static bool add(char *out, size_t size, size_t *at, const char *c, size_t n)
{
    if (*at + n + 4 > size)
        return false;
    memcpy(out + *at, c, n);
    *at += n;
    return true;
}

void term_snippet(char *out, size_t size, const char *s, size_t len, int columns)
{
    size_t at = 0, cut = 0, i = 0;
    int used = 0, c;
    bool is_blank = true; /* what stands before is blank: collapse */

    while (i < len && ((unsigned char)s[i] <= ' '))
        i++;
    while (i < len && s[i] != '\n') {
        size_t n = next_char(s + i, len - i, &c);
        bool is_space = (unsigned char)s[i] <= ' ' || s[i] == 0x7f;

        if (is_space && is_blank) {
            i++;
            continue;
        }
        if (used + c <= columns - 3)
            cut = at;
        if (used + c > columns || !add(out, size, &at, is_space ? " " : s + i, n)) {
            (void)snprintf(out + cut, size - cut, "...");
            return;
        }
        if (used + c <= columns - 3)
            cut = at;
        is_blank = is_space;
        used += c;
        i += n;
    }
    while (at > 0 && out[at - 1] == ' ')
        at--;
    out[at] = '\0';
}
