/* SPDX-License-Identifier: Apache-2.0 */
/* References inside parsed scalars: ${env:NAME}, ${env:NAME:-default}, ${file:PATH}; $${ is a plain ${. What they give
 * is text and never structure. Main thread. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/config_internal.h"
#include "base/buf.h"
#include "base/mem.h"

enum { REFERENCE_FILE_MAX = 64 * 1024 };

const char *config_getenv(const struct config_input *in, const char *name)
{
    size_t len = strlen(name);

    for (const char *const *e = in->env; e != NULL && *e != NULL; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return *e + len + 1;
    return NULL;
}

const char *config_resolve(struct config_loader *l, const char *path)
{
    if (*path == '/' || strcmp(l->dir, ".") == 0)
        return arena_strdup(l->arena, path);
    return arena_printf(l->arena, "%s/%s", l->dir, path);
}

char *config_read_file(struct arena *a, const char *path, size_t max, size_t *out_len)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct buf b;
    char *copy = NULL;
    ssize_t n;
    int error = 0;

    if (fd < 0)
        return NULL;
    buf_init(&b, 0);
    do {
        (void)buf_reserve(&b, 16 * 1024);
        n = read(fd, b.p + b.len, 16 * 1024);
        if (n < 0 && errno != EINTR)
            error = errno;
        if (n > 0)
            b.len += (size_t)n;
        if (b.len > max)
            error = EFBIG;
    } while (error == 0 && (n > 0 || (n < 0 && errno == EINTR)));
    if (!is_stdin)
        (void)close(fd); /* only read from */
    if (error == 0) {
        copy = arena_copy(a, b.p, b.len);
        *out_len = b.len;
    }
    buf_done(&b);
    errno = error;
    return copy;
}

static int count_chars(const char *s, size_t len)
{
    int n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* Place of one reference when the scalar stands in the file letter by letter, else of the whole scalar. */
static struct config_place place_inside(const struct yaml_node *node, const char *from, size_t len)
{
    struct config_place at = node->place;

    if (at.origin == NULL && at.line > 0 && at.width == count_chars(node->text, node->len)) {
        at.column += count_chars(node->text, (size_t)(from - node->text));
        at.width = count_chars(from, len);
    }
    return at;
}

static bool is_env_name(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_')
        return false;
    for (; *s != '\0'; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

static bool expand_env(struct config_loader *l, struct config_place at, char *name, struct buf *out)
{
    char *fallback = strstr(name, ":-");
    const char *value;

    if (fallback != NULL) {
        *fallback = '\0';
        fallback += 2;
    }
    if (!is_env_name(name)) {
        config_error(l->report, at, "'%s' is no name of an environment variable", name);
        return false;
    }
    value = config_getenv(l->in, name);
    if ((value == NULL || *value == '\0') && fallback != NULL)
        value = fallback;
    else if (value == NULL || *value == '\0') {
        config_error(l->report, at, "environment variable %s is %s (a default is written ${env:%s:-default})", name,
                     value == NULL ? "not set" : "empty", name);
        return false;
    }
    buf_add_str(out, value);
    return true;
}

static bool expand_file(struct config_loader *l, struct config_place at, const char *name, struct buf *out)
{
    const char *path = config_resolve(l, name);
    size_t len = 0;
    char *text = config_read_file(l->arena, path, REFERENCE_FILE_MAX, &len);

    if (text == NULL) {
        config_error(l->report, at, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    if (len == 0 || memchr(text, '\0', len) != NULL) {
        config_error(l->report, at, "%s %s", path, len == 0 ? "is empty" : "holds a NUL byte");
        return false;
    }
    buf_add(out, text, len);
    return true;
}

/* One reference, `inside` without its ${ and }. */
static bool expand_one(struct config_loader *l, struct config_place at, char *inside, struct buf *out)
{
    if (strncmp(inside, "env:", 4) == 0)
        return expand_env(l, at, inside + 4, out);
    if (strncmp(inside, "file:", 5) == 0 && inside[5] != '\0' && strcmp(inside + 5, "-") != 0)
        return expand_file(l, at, inside + 5, out);
    if (is_env_name(inside))
        config_error(l->report, at, "unknown reference '${%s}' (did you mean '${env:%s}'?)", inside, inside);
    else
        config_error(l->report, at,
                     "unknown reference '${%s}': there are ${env:NAME}, ${env:NAME:-default} and ${file:PATH}", inside);
    return false;
}

const char *config_expand(struct config_loader *l, const struct yaml_node *node)
{
    const char *p = node->text;
    const char *result = NULL;
    bool is_good = true;
    struct buf b;

    if (node->is_verbatim || strstr(p, "${") == NULL)
        return node->text;
    buf_init(&b, 0);
    while (*p != '\0') {
        const char *close;

        if (strncmp(p, "$${", 3) == 0) {
            buf_add_str(&b, "${");
            p += 3;
            continue;
        }
        if (strncmp(p, "${", 2) != 0) {
            buf_add_char(&b, *p++);
            continue;
        }
        close = strchr(p, '}');
        if (close == NULL) {
            config_error(l->report, place_inside(node, p, strlen(p)), "'${' without its '}'");
            is_good = false;
            break;
        }
        is_good &= expand_one(l, place_inside(node, p, (size_t)(close + 1 - p)),
                              arena_copy(l->arena, p + 2, (size_t)(close - p - 2)), &b);
        p = close + 1;
    }
    if (is_good)
        result = arena_copy(l->arena, b.p == NULL ? "" : b.p, b.len);
    buf_done(&b);
    return result;
}
