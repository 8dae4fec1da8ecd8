/* SPDX-License-Identifier: Apache-2.0 */
/* Names and spellings around the option table: what may follow a path, words of an enum, numbers as one would write
 * them, names of environment variables. Pure; any thread. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/config_table.h"
#include "base/check.h"

struct scale {
    const char *unit;
    int64_t factor;
};

/* Largest first. */
static const struct scale duration_scales[] = {
    {"d", INT64_C(86400000000)}, {"h", INT64_C(3600000000)}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1},
};
static const struct scale size_scales[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}};
static const struct scale count_scales[] = {{"M", 1000000}, {"k", 1000}, {"", 1}};
static const struct scale plain_scales[] = {{"", 1}};

size_t option_children(const char *path, char buffers[][64], size_t max)
{
    size_t n_options;
    const struct option *all = option_all(&n_options);
    size_t prefix = *path == '\0' ? 0 : strlen(path) + 1;
    size_t n = 0;

    for (size_t i = 0; i < n_options && n < max; i++) {
        const char *rest = all[i].path + prefix;
        size_t len;

        if (prefix > 0 && (strncmp(all[i].path, path, prefix - 1) != 0 || all[i].path[prefix - 1] != '.'))
            continue;
        len = strcspn(rest, ".");
        /* rows of a section stand together, so a repeated name is the last one */
        if (n > 0 && strlen(buffers[n - 1]) == len && strncmp(buffers[n - 1], rest, len) == 0)
            continue;
        (void)snprintf(buffers[n++], sizeof(buffers[0]), "%.*s", (int)len, rest);
    }
    return n;
}

bool option_word(const char *words, size_t i, char *out, size_t out_size)
{
    size_t len;

    for (; i > 0 && *words != '\0'; i--) {
        words += strcspn(words, " ");
        words += *words == ' ';
    }
    len = strcspn(words, " ");
    if (len == 0)
        return false;
    (void)snprintf(out, out_size, "%.*s", (int)len, words);
    return true;
}

static void write_scaled(const struct scale *scales, size_t n, int64_t v, char *out, size_t out_size)
{
    size_t i = 0;

    /* the largest unit that leaves no fraction: 90s, not 1.5m */
    while (i + 1 < n && (v == 0 || v % scales[i].factor != 0))
        i++;
    (void)snprintf(out, out_size, "%" PRId64 "%s", v / scales[i].factor, v == 0 ? "" : scales[i].unit);
}

void option_write_number(enum option_type type, int64_t v, char *out, size_t out_size)
{
    switch (type) {
    case OPT_DURATION:
        write_scaled(duration_scales, ARRAY_LEN(duration_scales), v, out, out_size);
        break;
    case OPT_SIZE:
        write_scaled(size_scales, ARRAY_LEN(size_scales), v, out, out_size);
        break;
    case OPT_COUNT:
        write_scaled(count_scales, ARRAY_LEN(count_scales), v, out, out_size);
        break;
    default:
        write_scaled(plain_scales, ARRAY_LEN(plain_scales), v, out, out_size);
        break;
    }
}

bool option_env_name(const struct option *o, char *out, size_t out_size)
{
    size_t n = (size_t)snprintf(out, out_size, "TUTTI_");

    if (strchr(o->path, '*') != NULL || o->type == OPT_MAP_TEXT || o->type == OPT_MAP_JSON)
        return false;
    for (const char *p = o->path; *p != '\0'; p++) {
        if (n + 3 > out_size)
            return false;
        if (*p == '.') {
            out[n++] = '_';
            out[n++] = '_';
        } else {
            out[n++] = (char)toupper((unsigned char)*p);
        }
    }
    out[n] = '\0';
    return true;
}
