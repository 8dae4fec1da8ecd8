/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the Kafka adapter without an engine: every message becomes one result record after a random delay. Prints each
 * event as a line on stdout. For tests/live/test_broker.py, which starts, stops and kills several of these; never part
 * of the product. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/window.h"
#include "impl/broker_kafka.h"
#include "loop.h"

enum { MAX_JOBS = 300, MAX_TOPICS = 8, MAX_PROPERTIES = 16 };

struct part {
    struct list link;
    struct broker_part *p; /* NULL: lost */
    struct window w;
    bool is_readable;
    bool is_revoking;
    bool is_released;
    int n_jobs; /* not handed over */
};

struct job {
    struct list link;
    struct publication pub;
    struct arena *arena;
    struct record record;
    struct timer timer;
    struct part *part;
};

static struct {
    struct loop *loop;
    struct broker *b;
    struct list parts;
    struct list lost; /* parts whose jobs may still look at them */
    struct list jobs;
    struct rng rng;
    int n_jobs;
    int64_t n_published, n_dropped;
    int64_t delay_us;
    int64_t hold_us;   /* revoked partitions are kept at least this long */
    size_t bytes;      /* result values are padded to this size */
    size_t last_bytes; /* ... and this one in the record with value "big" */
    int hang_at;       /* this transaction is never committed */
    int64_t stall_ms;  /* the 2nd and the 4th transaction wait this long before they commit, 0: not at all */
    int n_commits;
    int exit_code;
    bool is_stopping;
    struct kafka_conf conf;
} d;

#define SAY(...) (printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

static void read_parts(void);

static void maybe_release(struct part *t)
{
    if (!t->is_revoking || t->is_released || t->n_jobs > 0 || d.is_stopping)
        return;
    t->is_released = true;
    SAY("release %s %d", t->p->topic, t->p->partition);
    d.b->ops->release(d.b, t->p);
}

static void job_free(struct job *j)
{
    timer_stop(d.loop, &j->timer);
    list_del(&j->link);
    d.n_jobs--;
    arena_free(j->arena);
}

static void on_timer(void *arg)
{
    struct job *j = arg;
    struct part *t = j->part;

    if (t->p == NULL) { /* an orphan */
        job_free(j);
    } else {
        t->n_jobs--;
        window_close(&t->w, j->pub.offset);
        d.b->ops->publish(d.b, &j->pub);
        maybe_release(t);
    }
    read_parts();
}

static void start_job(struct part *t, const struct message *m)
{
    struct arena *a = arena_new(4096);
    struct job *j = arena_zero(a, sizeof(*j));
    bool is_big = m->value_len == 3 && memcmp(m->value, "big", 3) == 0;
    size_t bytes = is_big ? d.last_bytes : d.bytes;
    struct message_header *h = arena_zero(a, sizeof(*h));
    char *value = arena_alloc(a, m->value_len + bytes + 1);

    j->arena = a;
    j->part = t;
    memcpy(value, m->value, m->value_len);
    memset(value + m->value_len, ' ', bytes > m->value_len ? bytes - m->value_len : 0);
    *h = (struct message_header){.name = "content-type", .value = "text/plain", .value_len = 10};
    j->record = (struct record){.output = OUT_RESULTS,
                                .key = m->key != NULL ? arena_copy(a, m->key, m->key_len) : NULL,
                                .key_len = m->key_len,
                                .value = value,
                                .value_len = bytes > m->value_len ? bytes : m->value_len,
                                .headers = h,
                                .n_headers = 1};
    j->pub = (struct publication){.part = t->p,
                                  .epoch = t->p->epoch,
                                  .offset = m->offset,
                                  .first = &j->record,
                                  .bytes = j->record.value_len + j->record.key_len};
    timer_init(&j->timer, on_timer, j);
    list_add_tail(&d.jobs, &j->link);
    d.n_jobs++;
    t->n_jobs++;
    timer_start(d.loop, &j->timer, loop_now_us(d.loop) + rng_between(&d.rng, 0, d.delay_us));
}

/* --- events --- */

static void on_ready(void *arg)
{
    (void)arg;
    SAY("ready limit=%zu", d.b->ops->limit(d.b, OUT_RESULTS));
}

static void on_assigned(void *arg, struct broker_part *p, const char *metadata)
{
    struct part *t = mem_zero(sizeof(*t));
    int r;

    (void)arg;
    t->p = p;
    p->user = t;
    window_init(&t->w, p->start);
    r = metadata != NULL ? window_load(&t->w, metadata, p->high) : 0;
    list_add_tail(&d.parts, &t->link);
    SAY("assigned %s %d start=%lld high=%lld metadata=%zu load=%d", p->topic, p->partition, (long long)p->start,
        (long long)p->high, metadata != NULL ? strlen(metadata) : 0, r);
}

static void on_hold_over(void *arg)
{
    struct timer *timer = arg;

    LIST_EACH (it, &d.parts) {
        maybe_release(LIST_ENTRY(it, struct part, link));
    }
    mem_free(timer);
}

static void on_revoking(void *arg, struct broker_part *p)
{
    struct part *t = p->user;
    struct timer *timer = mem_zero(sizeof(*timer));

    (void)arg;
    t->is_revoking = true;
    SAY("revoking %s %d open=%d", p->topic, p->partition, t->n_jobs);
    timer_init(timer, on_hold_over, timer); /* release() after this event, not inside it */
    timer_start(d.loop, timer, loop_now_us(d.loop) + d.hold_us);
}

static void on_lost(void *arg, struct broker_part *p)
{
    struct part *t = p->user;

    (void)arg;
    SAY("lost %s %d open=%d", p->topic, p->partition, t->n_jobs);
    t->p = NULL; /* the struct stays for its orphans */
    list_del(&t->link);
    list_add_tail(&d.lost, &t->link);
}

static void on_readable(void *arg, struct broker_part *p)
{
    (void)arg;
    ((struct part *)p->user)->is_readable = true;
    read_parts();
}

static void read_parts(void)
{
    LIST_EACH (it, &d.parts) {
        struct part *t = LIST_ENTRY(it, struct part, link);

        while (t->is_readable && !t->is_revoking && !d.is_stopping && d.n_jobs < MAX_JOBS && window_has_room(&t->w)) {
            if (d.b->ops->poll(d.b, t->p) == 0)
                t->is_readable = false;
        }
    }
}

static void on_message(void *arg, struct broker_part *p, const struct message *m)
{
    struct part *t = p->user;
    int r = window_open(&t->w, m->offset);

    (void)arg;
    if (r == 0)
        start_job(t, m);
    else if (r < 0)
        SAY("odd %s %d off=%lld r=%d", p->topic, p->partition, (long long)m->offset, r);
}

static void on_position(void *arg, struct broker_part *p, int64_t *out_base, struct buf *out)
{
    (void)arg;
    window_position(&((struct part *)p->user)->w, out_base, out);
}

/* How many publications the batch has whose counting is not written yet. */
static struct record *on_closing(void *arg, const struct list *pubs, uint64_t number, struct arena *a)
{
    struct record *r = arena_zero(a, sizeof(*r));
    int n = 0;

    (void)arg;
    LIST_EACH (it, pubs)
        n += !LIST_ENTRY(it, struct publication, link)->is_counted;
    r->output = OUT_MODEL_STATS;
    r->key = arena_printf(a, "%d/%llu", (int)getpid(), (unsigned long long)number);
    r->key_len = strlen(r->key);
    r->value = arena_printf(a, "%d", n);
    r->value_len = strlen(r->value);
    return r;
}

static void on_published(void *arg, struct publication *pub)
{
    (void)arg;
    d.n_published++;
    job_free(CONTAINER_OF(pub, struct job, pub));
    read_parts();
}

static void on_dropped(void *arg, struct publication *pub)
{
    (void)arg;
    d.n_dropped++;
    job_free(CONTAINER_OF(pub, struct job, pub));
}

static void on_stopped(void *arg)
{
    (void)arg;
    SAY("stopped published=%lld dropped=%lld", (long long)d.n_published, (long long)d.n_dropped);
    loop_stop(d.loop);
}

static void stop(void)
{
    if (d.is_stopping)
        return;
    d.is_stopping = true;
    d.b->ops->stop(d.b, on_stopped, NULL);
}

static void on_failed(void *arg, int exit_code, const char *why)
{
    (void)arg;
    SAY("failed %d %s", exit_code, why);
    d.exit_code = exit_code;
    stop();
}

static const struct broker_events EVENTS = {
    .ready = on_ready,
    .assigned = on_assigned,
    .revoking = on_revoking,
    .lost = on_lost,
    .readable = on_readable,
    .message = on_message,
    .position = on_position,
    .closing = on_closing,
    .published = on_published,
    .dropped = on_dropped,
    .failed = on_failed,
};

/* --- main --- */

/* Committer thread: the moment between TxnOffsetCommit and EndTxn. */
static void before_commit(void *arg)
{
    (void)arg;
    d.n_commits++;
    if (d.stall_ms > 0 && (d.n_commits == 2 || d.n_commits == 4)) {
        SAY("stalling");
        (void)poll(NULL, 0, (int)d.stall_ms);
        SAY("stalled");
    }
    if (d.hang_at == 0 || d.n_commits < d.hang_at)
        return;
    SAY("hanging");
    for (;;)
        (void)pause();
}

static void on_signal(void *arg, int fd, int what)
{
    struct signalfd_siginfo info;

    (void)arg, (void)what;
    (void)!read(fd, &info, sizeof(info));
    stop();
}

static int watch_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* What is not about the adapter. */
static bool parse_own(int o)
{
    switch (o) {
    case 'd':
        d.delay_us = strtoll(optarg, NULL, 10) * 1000;
        return true;
    case 'H':
        d.hang_at = (int)strtol(optarg, NULL, 10);
        return true;
    case 'W':
        d.stall_ms = strtoll(optarg, NULL, 10);
        return true;
    case 'h':
        d.hold_us = strtoll(optarg, NULL, 10) * 1000;
        return true;
    case 'z':
        d.bytes = strtoull(optarg, NULL, 10);
        return true;
    case 'Z':
        d.last_bytes = strtoull(optarg, NULL, 10);
        return true;
    default:
        return false;
    }
}

static void parse(int argc, char **argv)
{
    static const char *topics[MAX_TOPICS];
    static struct kafka_property properties[MAX_PROPERTIES];
    struct kafka_conf *c = &d.conf;
    int o;

    *c = (struct kafka_conf){.topics = topics,
                             .commit_interval_us = 200000,
                             .prefetch_bytes = 512 << 10,
                             .slot = "0",
                             .properties = properties};
    while ((o = getopt(argc, argv, "b:g:t:r:c:s:d:i:H:W:R:h:z:Z:S:X:p:alGv")) != -1) {
        switch (o) {
        case 'b':
            c->brokers = optarg;
            break;
        case 'g':
            c->group = optarg;
            break;
        case 't':
            CHECK(c->n_topics < MAX_TOPICS);
            topics[c->n_topics++] = optarg;
            break;
        case 'r':
            c->outputs[OUT_RESULTS] = optarg;
            break;
        case 'c':
            c->outputs[OUT_MODEL_STATS] = optarg;
            break;
        case 's':
            c->slot = optarg;
            break;
        case 'i':
            c->commit_interval_us = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'R':
            c->long_retention_us = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'S':
            c->session_timeout_us = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'p':
            c->prefetch_bytes = strtoll(optarg, NULL, 10);
            break;
        case 'X': {
            char *eq = strchr(optarg, '=');

            CHECK(eq != NULL && c->n_properties < MAX_PROPERTIES);
            *eq = '\0';
            properties[c->n_properties++] = (struct kafka_property){optarg, eq + 1};
            break;
        }
        case 'a':
            c->delivery = KAFKA_AT_LEAST_ONCE;
            break;
        case 'l':
            c->start = KAFKA_START_LATEST;
            break;
        case 'G':
            c->on_gap = KAFKA_GAP_STOP;
            break;
        case 'v':
            log_configure(LOG_DEBUG, LOG_FORMAT_LOGFMT);
            break;
        default:
            if (!parse_own(o))
                exit(64);
        }
    }
    if (d.hang_at > 0 || d.stall_ms > 0)
        c->before_commit = before_commit;
}

int main(int argc, char **argv)
{
    char why[300];
    struct watch *w;

    log_configure(LOG_INFO, LOG_FORMAT_LOGFMT);
    d.delay_us = 200000;
    list_init(&d.parts);
    list_init(&d.lost);
    list_init(&d.jobs);
    parse(argc, argv);
    if (kafka_conf_check(&d.conf, why, sizeof(why)) < 0) {
        SAY("failed 78 %s", why);
        return 78;
    }
    rng_seed(&d.rng, rng_entropy());
    d.loop = loop_new();
    w = watch_new(d.loop, watch_signals(), LOOP_READ, on_signal, NULL);
    d.b = broker_kafka_new(d.loop, &d.conf);
    if (d.b->ops->start(d.b, &EVENTS, NULL) < 0)
        return 70;
    loop_run(d.loop);
    LIST_EACH_SAFE (it, &d.jobs) {
        job_free(LIST_ENTRY(it, struct job, link));
    }
    LIST_EACH_SAFE (it, &d.lost) {
        mem_free(LIST_ENTRY(it, struct part, link));
    }
    watch_free(w);
    d.b->ops->free(d.b);
    loop_free(d.loop);
    return d.exit_code;
}
