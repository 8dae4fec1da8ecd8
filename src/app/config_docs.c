/* SPDX-License-Identifier: Apache-2.0 */
/* The manual of the options, written from the table: docs/configuration.md and `tutti config explain`. Any thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/config_table.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"

enum { PATH_BYTES = 256 };

static const struct {
    const char *name;
    const char *about;
} sections[] = {
    {"kafka", "Where jobs come from and answers go to."},
    {"redis", "Where the processes of a group agree on limits."},
    {"journal", "What was paid for is kept here until it is committed."},
    {"providers", "One entry per endpoint and key: `providers: {openai: {api: openai, ...}}`."},
    {"models", "One entry per model that jobs may ask, under the name they use: `models: {chatgpt: {provider: openai, "
               "...}}`. At least "
               "one is needed."},
    {"jobs", "How jobs are taken in."},
    {"retry", "What happens to a call that failed and may be tried again."},
    {"breaker", "When a model that keeps failing is left alone."},
    {"admin", "The page and the endpoints for operators."},
    {"shutdown", "How the process ends."},
    {"log", "What is logged, to stderr."},
    {"workers", "Threads."},
};

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Written by `tutti config docs > docs/configuration.md`; a test fails when it is stale. -->\n"
    "\n"
    "One YAML file: the first of `-c FILE`, `$TUTTI_CONFIG`, `./tutti.yaml`, `/etc/tutti/tutti.yaml`. `tutti config "
    "check`\n"
    "reports every problem at once and connects to nothing; `tutti config explain KEY` says what this page says about "
    "one\n"
    "key. [config/tutti.yaml](../config/tutti.yaml) is a commented sample.\n"
    "\n"
    "- An option is taken from `--set key=value`, else from its environment variable, else from the file, else it has "
    "its\n"
    "  default. Keys below `kafka.properties`, `providers` and `models` are set in the file only.\n"
    "- A value may hold `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` (the file's text without its last "
    "line\n"
    "  break); `$${` is a plain `${`. They are replaced inside parsed values only. Quote them: "
    "`\"${env:OPENAI_API_KEY}\"`.\n"
    "- Sizes are written `4MiB`, durations `250ms`, counts `25k`. `null` or nothing means the default.\n"
    "- Paths are relative to the file's directory. A list may be written as a single value.\n"
    "- Unknown and duplicate keys are errors; anchors, aliases and tags are refused.\n"
    "- Secrets never appear in messages; a key written into the file is a warning.\n"
    "- \"Reload\": SIGHUP puts a change in force while jobs run, once the whole file was read and checked; a file with "
    "a\n"
    "  mistake changes nothing. Options without it keep their values until the next start:\n"
    "  [operations](operations.md#reload).\n";

/* "count, 2 to 100M", "one of earliest, latest" */
static void write_type(const struct option *o, struct buf *out)
{
    char low[32];
    char high[32];
    char word[32];

    if (o->type == OPT_ENUM || o->type == OPT_URL) {
        if (o->type == OPT_URL)
            buf_add_str(out, "URL: ");
        for (size_t i = 0; option_word(o->words, i, word, sizeof(word)); i++)
            buf_printf(out, "%s`%s%s`", i == 0 ? "" : ", ", word, o->type == OPT_URL ? "://" : "");
        return;
    }
    buf_add_str(out, option_type_name(o->type));
    if (o->max > 0) {
        option_write_number(o->type, o->min, low, sizeof(low));
        option_write_number(o->type, o->max, high, sizeof(high));
        buf_printf(out, ", %s to %s", low, high);
    }
    if ((o->flags & OPT_AUTO) != 0)
        buf_add_str(out, ", or `auto`");
}

static void write_default(const struct option *o, struct buf *out)
{
    if (o->fallback != NULL && o->type == OPT_LIST)
        buf_printf(out, "`[%s]`", o->fallback);
    else if (o->fallback != NULL)
        buf_printf(out, "`%s`", o->fallback);
    else if (o->fallback_help != NULL)
        buf_add_str(out, o->fallback_help);
    else
        buf_add_str(out, (o->flags & OPT_REQUIRED) != 0 ? "required" : "none");
}

static bool is_in_section(const struct option *o, const char *section)
{
    size_t len = strlen(section);

    return strncmp(o->path, section, len) == 0 && (o->path[len] == '.' || o->path[len] == '\0');
}

void config_write_docs(struct buf *out)
{
    size_t n;
    const struct option *all = option_all(&n);
    char name[PATH_BYTES];

    buf_add_str(out, intro);
    for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
        buf_printf(out, "\n## %s\n\n%s\n\n| key | type | default | reload | meaning |\n|---|---|---|---|---|\n",
                   sections[s].name, sections[s].about);
        for (size_t i = 0; i < n; i++) {
            if (!is_in_section(&all[i], sections[s].name))
                continue;
            buf_printf(out, "| `%s` | ", all[i].path);
            write_type(&all[i], out);
            buf_add_str(out, " | ");
            write_default(&all[i], out);
            buf_printf(out, " | %s | %s |\n", (all[i].flags & OPT_RELOAD) != 0 ? "yes" : "no", all[i].help);
        }
    }
    buf_add_str(out, "\n## Environment variables\n\n| variable | key |\n|---|---|\n");
    for (size_t i = 0; i < n; i++)
        if (option_env_name(&all[i], name, sizeof(name)))
            buf_printf(out, "| `%s` | `%s` |\n", name, all[i].path);
}

/* How much of a row's path `key` names, in characters of the path: all of it, or a section above it; -1: it does not.
 * Each
 * '*' stands for any name, also one with dots; the most that can be matched counts. */
static int match_length(const char *path, const char *key)
{
    int best = -1;

    if (*key == '\0')
        return *path == '\0' || *path == '.' ? 0 : -1;
    if (*path == '*') {
        for (const char *p = key + 1;; p++) {
            int rest = *p == '.' || *p == '\0' ? match_length(path + 1, p) : -1;

            if (rest >= 0 && rest + 1 > best)
                best = rest + 1;
            if (*p == '\0')
                return best;
        }
    }
    if (*path != *key)
        return -1;
    best = match_length(path + 1, key + 1);
    return best < 0 ? -1 : best + 1;
}

static void write_plain(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text != '`')
            buf_add_char(out, *text);
}

static void write_row(const struct option *o, struct buf *out)
{
    char name[PATH_BYTES];
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%s\n  %s\n  type     ", o->path, o->help);
    write_type(o, &b);
    buf_add_str(&b, "\n  default  ");
    write_default(o, &b);
    buf_add_char(&b, '\n');
    buf_add_str(&b, (o->flags & OPT_RELOAD) != 0 ? "  change   reload (SIGHUP)\n" : "  change   restart\n");
    if (option_env_name(o, name, sizeof(name)))
        buf_printf(&b, "  variable %s\n", name);
    write_plain(out, b.p);
    buf_done(&b);
}

/* Options whose last word is `word`, wherever they stand. */
static int explain_word(const char *word, struct buf *out)
{
    int n_written = 0;
    size_t n;
    const struct option *all = option_all(&n);

    for (size_t i = 0; i < n; i++) {
        const char *dot = strrchr(all[i].path, '.');

        if (dot == NULL || strcmp(dot + 1, word) != 0)
            continue;
        write_row(&all[i], out);
        n_written++;
    }
    return n_written;
}

int config_explain(const char *key, struct buf *out, const char **out_nearest)
{
    size_t n;
    const struct option *all = option_all(&n);
    const char *paths[OPTION_MAX];
    int best = 0;

    for (size_t i = 0; i < n; i++) {
        int length = match_length(all[i].path, key);

        paths[i] = all[i].path;
        best = length > best ? length : best;
    }
    for (size_t i = 0; i < n && best > 0; i++)
        if (match_length(all[i].path, key) == best)
            write_row(&all[i], out);
    if (best > 0 || explain_word(option_foreign(key) != NULL ? option_foreign(key) : key, out) > 0)
        return 0;
    if (out_nearest != NULL)
        *out_nearest = names_nearest(key, paths, n);
    return -ENOENT;
}
