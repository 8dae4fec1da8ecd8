/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in, checked jobs out. Main thread. */
#include "cli/submit_file.h"

#include <errno.h>
#include <string.h>

#include "app/config.h"
#include "app/job_check.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/cli.h"

/* uthash's own choice falls through between cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

enum { READ_BYTES = 65536, SHOWN_MAX = 50 };
#define FILE_BYTES_MAX ((size_t)1 << 30)

/* A job id that a line of the file has claimed. */
struct claimed {
    UT_hash_handle hh;
    int number;
    char id[];
};

struct checker {
    const struct cli *c;
    const char *name; /* of the file, for people */
    struct submit_file *f;
    struct job_check *jobs;
    struct claimed *ids;
    char strange[128]; /* the last model that was warned of */
    size_t n_shown;
    bool tells;
};

int submit_file_read(struct submit_file *f, const struct cli *c, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(path, "re");
    char block[READ_BYTES];
    int error;
    size_t n;

    memset(f, 0, sizeof(*f));
    buf_init(&f->bytes, FILE_BYTES_MAX);
    if (in == NULL) {
        (void)fprintf(c->err, "tutti %s: %s: %s\n", c->command->name, path, strerror(errno));
        return CLI_NO_INPUT;
    }
    while (!f->bytes.is_over && (n = fread(block, 1, sizeof(block), in)) > 0)
        buf_add(&f->bytes, block, n);
    error = ferror(in) ? errno : 0;
    if (!is_stdin)
        (void)fclose(in); /* only read */
    if (error != 0 || f->bytes.is_over) {
        (void)fprintf(c->err, "tutti %s: %s: %s\n", c->command->name, path,
                      error != 0 ? strerror(error) : "larger than 1 GiB: split it");
        return error != 0 ? CLI_IO : CLI_BAD_DATA;
    }
    return CLI_OK;
}

static void complain(struct checker *k, int number, const char *pointer, const char *message)
{
    k->f->n_bad++;
    if (k->n_shown++ < SHOWN_MAX)
        (void)fprintf(k->c->err, "%s:%d: %s%s%s\n", k->name, number, pointer, *pointer != '\0' ? ": " : "", message);
}

/* The value with the batch's id as its first key. */
static char *with_batch_id(const char *value, size_t len, const char *batch_id, size_t *out_len)
{
    const char *brace = memchr(value, '{', len);
    struct json_write w;
    struct buf b;

    if (brace == NULL)
        return NULL;
    buf_init(&b, 0);
    buf_add_str(&b, "{\"batch_id\":");
    jw_init(&w, &b);
    jw_str(&w, batch_id);
    for (brace++; brace < value + len && strchr(" \t\r\n", *brace) != NULL; brace++)
        ;
    if (brace < value + len && *brace != '}')
        buf_add_char(&b, ',');
    buf_add(&b, brace, (size_t)(value + len - brace));
    return buf_take(&b, out_len);
}

/* The number of the line that has this id already, or 0; then it is this line's. */
static int claim(struct checker *k, const char *id, int number)
{
    size_t len = strlen(id);
    struct claimed *known;

    HASH_FIND(hh, k->ids, id, len, known);
    if (known != NULL)
        return known->number;
    known = mem_zero(sizeof(*known) + len + 1);
    memcpy(known->id, id, len + 1);
    known->number = number;
    HASH_ADD(hh, k->ids, id, len, known);
    return 0;
}

static void warn_strange(struct checker *k, int number, const char *model)
{
    if (!k->tells || strcmp(k->strange, model) == 0)
        return;
    (void)snprintf(k->strange, sizeof(k->strange), "%s", model);
    (void)fprintf(k->c->err, "%s:%d: warning: the configuration has no model '%s'\n", k->name, number, model);
}

/* Is it a job that can be sent? Else complains. */
static bool check(struct checker *k, struct submit_line *line)
{
    struct job_seen seen;
    char pointer[300], message[128];
    int other;

    job_check_look(k->jobs, line->value, line->len, &seen);
    if (seen.error.code != NULL) {
        bool is_offset = seen.error.pointer[0] != '/' && seen.error.pointer[0] != '\0';

        (void)snprintf(pointer, sizeof(pointer), "%s%s", is_offset ? "byte " : "", seen.error.pointer);
        complain(k, line->number, pointer, seen.error.message);
        return false;
    }
    other = seen.own_id != NULL ? claim(k, seen.own_id, line->number) : 0;
    if (other > 0) {
        (void)snprintf(message, sizeof(message), "the job id of line %d again: the service drops the second one",
                       other);
        complain(k, line->number, "/job_id", message);
        return false;
    }
    if (seen.strange != NULL)
        warn_strange(k, line->number, seen.strange);
    line->key = mem_strdup(seen.custom_id);
    return true;
}

static void take_line(struct checker *k, const char *value, size_t len, int number, const char *batch_id)
{
    struct submit_line line = {.value = value, .len = len, .number = number};
    struct submit_file *f = k->f;

    while (line.len > 0 && strchr(" \t\r", line.value[line.len - 1]) != NULL)
        line.len--;
    if (line.len == 0)
        return;
    if (batch_id != NULL)
        line.made = with_batch_id(line.value, line.len, batch_id, &line.len);
    if (line.made != NULL)
        line.value = line.made;
    if (!check(k, &line)) {
        mem_free(line.made);
        return;
    }
    if ((f->n & (f->n - 1)) == 0)
        f->lines = mem_resize(f->lines, sizeof(*f->lines) * (f->n == 0 ? 1 : f->n * 2));
    f->lines[f->n++] = line;
}

void submit_file_check(struct submit_file *f, const struct cli *c, const struct config *config, const char *path,
                       const char *batch_id, bool tells)
{
    struct checker k = {
        .c = c, .name = strcmp(path, "-") == 0 ? "stdin" : path, .f = f, .jobs = job_check_new(config), .tells = tells};
    const char *at = f->bytes.p, *end = at + f->bytes.len;
    struct claimed *id, *next;

    for (int number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        stop = stop != NULL ? stop : end;
        take_line(&k, at, (size_t)(stop - at), number, batch_id);
        at = stop + 1;
    }
    if (k.n_shown > SHOWN_MAX)
        (void)fprintf(c->err, "%s: and %zu more\n", k.name, k.n_shown - SHOWN_MAX);
    HASH_ITER(hh, k.ids, id, next)
    {
        HASH_DEL(k.ids, id);
        mem_free(id);
    }
    job_check_free(k.jobs);
}

void submit_file_done(struct submit_file *f)
{
    for (size_t i = 0; i < f->n; i++) {
        mem_free(f->lines[i].made);
        mem_free(f->lines[i].key);
    }
    mem_free(f->lines);
    buf_done(&f->bytes);
    memset(f, 0, sizeof(*f));
}
