/* SPDX-License-Identifier: Apache-2.0 */
/* Which spool files there are: names, and the look around the directory on a work thread. Never reads or removes one:
 * spool.c does, and its lock tells whose it is. */
#include "spool_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop.h"

enum {
    NAME_BYTES = 8, /* of a digest */
    NAME_HEX = 2 * NAME_BYTES,
    PREFIX_MAX = sizeof("journal--") + NAME_HEX,
    FILE_NAME_MAX = PREFIX_MAX + NAME_HEX + sizeof(".spool"),
    FOUND_MAX = 1000,
    /* The workers of a process start together: each has locked its own file by the time another's is tried. */
    SETTLE_US = 250 * 1000,
};

struct spool_set {
    struct work look;
    struct loop *loop;
    const struct spool_events *ev;
    void *arg;
    char *dir;
    char prefix[PREFIX_MAX];
    char own_name[FILE_NAME_MAX];
    struct spool *own;
    struct spool **found; /* found[n_found] */
    int n_found;
    int n_waiting; /* files, and the look, that loaded() waits for */
    bool is_looking;
    bool is_freed;
    struct timer settle;
    /* the work's own while is_looking */
    struct buf names; /* each NUL-terminated */
    int n_names;
};

static void add_digest(char *out, size_t size, const char *before, const char *s, const char *after)
{
    uint8_t sha[DIGEST_BYTES];
    char hex[NAME_HEX + 1];

    digest_sha256(s, strlen(s), sha);
    digest_hex(sha, NAME_BYTES, hex);
    (void)snprintf(out, size, "%s%s%s", before, hex, after);
}

/* ---- work thread ---- */

static bool is_candidate(const struct spool_set *set, const char *name)
{
    size_t len = strlen(name), prefix_len = strlen(set->prefix);

    return len == strlen(set->own_name) && memcmp(name, set->prefix, prefix_len) == 0 &&
           strcmp(name + len - strlen(".spool"), ".spool") == 0 && strcmp(name, set->own_name) != 0;
}

/* A directory that cannot be read is no place for the own file either, which says so. */
static void look(struct work *w)
{
    struct spool_set *set = CONTAINER_OF(w, struct spool_set, look);
    DIR *dir = opendir(set->dir);
    const struct dirent *e;
    struct stat st;

    while (dir != NULL && set->n_names < FOUND_MAX && (e = readdir(dir)) != NULL) {
        if (is_candidate(set, e->d_name) && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_size > 0) {
            buf_add(&set->names, e->d_name, strlen(e->d_name) + 1);
            set->n_names++;
        }
    }
    if (dir != NULL)
        (void)closedir(dir);
}

/* ---- loop's thread ---- */

static void free_now(struct spool_set *set)
{
    buf_done(&set->names);
    mem_free(set->found);
    mem_free(set->dir);
    mem_free(set);
}

static void one_over(void *arg)
{
    struct spool_set *set = arg;

    if (--set->n_waiting == 0)
        set->ev->loaded(set->arg);
}

static void on_record(void *arg, struct spool *from, const char *bytes, size_t len)
{
    struct spool_set *set = arg;

    set->ev->record(set->arg, from, bytes, len);
}

static void on_idle(void *arg)
{
    struct spool_set *set = arg;

    if (spool_set_is_idle(set))
        set->ev->idle(set->arg);
}

static void on_failed(void *arg)
{
    struct spool_set *set = arg;

    set->ev->failed(set->arg);
}

static const struct spool_events events = {on_record, one_over, on_idle, on_failed};

static struct spool *open_one(struct spool_set *set, const char *name, enum spool_kind kind)
{
    struct buf path;
    struct spool *s;

    buf_init(&path, 0);
    buf_printf(&path, "%s/%s", set->dir, name);
    s = spool_new(set->loop, path.p, kind, &events, set);
    buf_done(&path);
    set->n_waiting++;
    return s;
}

static void on_settled(void *arg)
{
    struct spool_set *set = arg;
    const char *name = set->names.p;

    set->found = mem_zero((size_t)set->n_names * sizeof(struct spool *));
    for (; set->n_found < set->n_names; name += strlen(name) + 1)
        set->found[set->n_found++] = open_one(set, name, SPOOL_FOUND);
    one_over(set);
}

static void look_done(struct work *w)
{
    struct spool_set *set = CONTAINER_OF(w, struct spool_set, look);

    set->is_looking = false;
    if (set->is_freed)
        free_now(set);
    else if (set->n_names > 0)
        timer_start(set->loop, &set->settle, loop_now_us(set->loop) + SETTLE_US);
    else
        one_over(set);
}

struct spool_set *spool_set_new(struct loop *l, const char *dir, const char *group, const char *slot,
                                const struct spool_events *ev, void *arg)
{
    struct spool_set *set = mem_zero(sizeof(*set));

    set->loop = l;
    set->ev = ev;
    set->arg = arg;
    set->dir = mem_strdup(dir);
    add_digest(set->prefix, sizeof(set->prefix), "journal-", group, "-");
    add_digest(set->own_name, sizeof(set->own_name), set->prefix, slot, ".spool");
    buf_init(&set->names, 0);
    timer_init(&set->settle, on_settled, set);
    set->look.fn = look;
    set->look.done = look_done;
    set->is_looking = true;
    set->n_waiting = 1;
    set->own = open_one(set, set->own_name, SPOOL_OWN);
    loop_work(l, &set->look);
    return set;
}

void spool_set_free(struct spool_set *set)
{
    if (set == NULL)
        return;
    set->is_freed = true;
    timer_stop(set->loop, &set->settle);
    spool_free(set->own);
    for (int i = 0; i < set->n_found; i++)
        spool_free(set->found[i]);
    if (!set->is_looking)
        free_now(set);
}

struct spool *spool_set_own(const struct spool_set *set)
{
    return set->own;
}

bool spool_set_is_idle(const struct spool_set *set)
{
    for (int i = 0; i < set->n_found; i++) {
        if (!spool_is_idle(set->found[i]))
            return false;
    }
    return spool_is_idle(set->own);
}
