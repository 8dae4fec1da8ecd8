/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to Redis that opens itself again: commands gathered during a turn and written once at its end, replies
 * matched to them in order, a deadline for each, jittered reconnects. Never waits, never repeats a command (whether
 * that is safe only its sender knows) and never logs arguments. Runs on the owner's loop thread. */
#include "redis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "loop.h"
#include "redis_net.h"
#include "redis_queue.h"
#include "redis_reader.h"

enum {
    CONNECT_US = 1000 * 1000,
    COMMAND_US = 1000 * 1000,
    BACKOFF_MIN_US = 50 * 1000,
    BACKOFF_MAX_US = 5 * 1000 * 1000,
    STABLE_US = 5 * 1000 * 1000, /* a connection that lived this long forgives the failures before it */
    LATE_US = 1000 * 1000,       /* how far a deadline moves while replies are waiting to be read */
    LATE_POLL_US = 2 * 1000,
    UNSENT_MAX = 64 * 1024 * 1024,
    OUT_KEEP_BYTES = 256 * 1024, /* a bigger output buffer is given back after its turn */
    ID_CHARS = 16,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

enum state { STATE_WAITING, STATE_CONNECTING, STATE_GREETING, STATE_UP };

struct redis {
    struct loop *loop;
    struct rng *rng;
    struct redis_conf conf; /* our copy; conf.name is `name` */
    char *name;
    const struct redis_events *ev;
    void *arg;
    enum state state;
    struct redis_net *net; /* CONNECTING and later */
    struct redis_reader *reader;
    struct ssl_ctx_st *tls; /* of rediss://, made at the start; NULL: the CA file was not readable yet */
    struct timer connect;   /* WAITING: the next attempt; else its limit up to UP */
    struct timer deadline;  /* running while something is pending; may fire too early, never too late */
    struct wake turn;       /* makes sure that a turn, and so its hook, comes */
    struct hook hook;
    struct buf out; /* commands of this turn */
    struct redis_queue queue;
    unsigned attempt; /* since the last stable connection */
    int64_t up_us;    /* when it came up */
    bool was_up;      /* ever */
    bool is_refused;  /* this attempt failed by a reply of the server: logged as such */
    int n_greetings;  /* greeting replies to come */
    bool is_busy;     /* inside a callback of the owner */
    bool is_freed;
    int64_t logged_us;  /* log_is_due() state of failed attempts */
    int64_t refused_us; /* the same of refused log-ins */
    char server_id[ID_CHARS + 1];
    char why[256];
};

/* ---- the owner's callbacks ---- */

static void call_done(struct redis *r, const struct redis_pending *p, const struct redis_reply *reply, int error)
{
    if (p->done == NULL || r->is_freed)
        return;
    r->is_busy = true;
    redis_pending_count(p, r->name, reply, loop_now_us(r->loop));
    p->done(p->arg, reply, error);
    r->is_busy = false;
}

static void free_now(struct redis *r)
{
    redis_net_tls_free(r->tls);
    redis_reader_free(r->reader);
    mem_free(r->name);
    redis_conf_done(&r->conf);
    redis_queue_done(&r->queue);
    buf_done(&r->out);
    mem_free(r);
}

/* ---- pending commands ---- */

/* -ENOBUFS when too much is waiting to be written. */
static int push_command(struct redis *r, int argc, const char *const *argv, const size_t *argv_len, int64_t timeout_us,
                        redis_done done, void *arg)
{
    size_t room = UNSENT_MAX - (r->out.len < UNSENT_MAX ? r->out.len : UNSENT_MAX);
    size_t bytes = redis_net_unsent(r->net);
    int64_t deadline_us = loop_now_us(r->loop) + (timeout_us > 0 ? timeout_us : COMMAND_US);

    for (int i = 0; i < argc && bytes <= room; i++) {
        size_t n = argv_len != NULL ? argv_len[i] : strlen(argv[i]);

        bytes = n <= room ? bytes + n : SIZE_MAX;
    }
    if (bytes > room)
        return -ENOBUFS;
    redis_command_add(&r->out, argc, argv, argv_len);
    redis_queue_push(&r->queue, &(struct redis_pending){done, arg, deadline_us, loop_now_us(r->loop)});
    if (!timer_is_running(&r->deadline) || deadline_us < r->deadline.deadline_us)
        timer_start(r->loop, &r->deadline, deadline_us);
    loop_wake(r->loop, &r->turn);
    return 0;
}

/* Everything pending hears that no answer comes. */
static void fail_pending(struct redis *r, int error, int64_t now_us)
{
    struct redis_pending p;
    bool was_written;

    while (redis_queue_take(&r->queue, &p, &was_written)) {
        bool is_late = error == -ETIMEDOUT && p.deadline_us <= now_us;

        call_done(r, &p, NULL, !was_written ? -ENOTCONN : is_late ? -ETIMEDOUT : -ECONNRESET);
    }
}

/* ---- connection ---- */

static void drop_connection(struct redis *r)
{
    timer_stop(r->loop, &r->connect);
    timer_stop(r->loop, &r->deadline);
    redis_net_close(TAKE(r->net));
    redis_reader_free(TAKE(r->reader));
    buf_done(&r->out);
}

static void log_lost(struct redis *r, bool was_up, const char *why)
{
    int64_t now_us = loop_now_us(r->loop);

    if (was_up)
        log_event(LOG_WARN, "redis_down", "name=%s host=\"%s\" port=%d why=\"%s\"", r->conf.name, r->conf.host,
                  r->conf.port, why);
    else if (log_is_due(r->is_refused ? &r->refused_us : &r->logged_us, now_us, LOG_PERIOD_US))
        log_event(r->is_refused ? LOG_ERROR : LOG_WARN, r->is_refused ? "redis_refused" : "redis_connect_failed",
                  "name=%s host=\"%s\" port=%d tls=%d attempt=%u why=\"%s\"", r->conf.name, r->conf.host, r->conf.port,
                  r->conf.is_tls, r->attempt, why);
}

/* The end of a connection or of an attempt; the next one is due after a while. The last thing a caller does with `r`:
 * the owner's callbacks may have freed it. */
static void lose(struct redis *r, int error, const char *why)
{
    int64_t now_us = loop_now_us(r->loop);
    bool was_up = r->state == STATE_UP;
    int64_t cap_us = BACKOFF_MAX_US;

    if (!r->is_refused && why != r->why)                   /* else the server said why before it closed */
        (void)snprintf(r->why, sizeof(r->why), "%s", why); /* it may belong to what is closed now */
    if (was_up && now_us - r->up_us >= STABLE_US)
        r->attempt = 0;
    log_lost(r, was_up, r->why);
    drop_connection(r);
    r->state = STATE_WAITING;
    if (r->attempt < 7)
        cap_us = (int64_t)BACKOFF_MIN_US << r->attempt;
    r->attempt++;
    timer_start(r->loop, &r->connect,
                now_us + rng_between(r->rng, 1, cap_us < BACKOFF_MAX_US ? cap_us : BACKOFF_MAX_US));
    fail_pending(r, error, now_us);
    if (was_up && !r->is_freed && r->ev->down != NULL) {
        r->is_busy = true;
        r->ev->down(r->arg, r->why);
        r->is_busy = false;
    }
    if (r->is_freed)
        free_now(r);
}

static void on_up(struct redis *r)
{
    r->state = STATE_UP;
    r->up_us = loop_now_us(r->loop);
    r->logged_us = 0;
    r->refused_us = 0;
    timer_stop(r->loop, &r->connect);
    if (r->was_up)
        metric_add(METRIC_REDIS_RECONNECTS, 1);
    r->was_up = true;
    log_event(LOG_INFO, "redis_up", "name=%s host=\"%s\" port=%d db=%d tls=%d server=%s", r->conf.name, r->conf.host,
              r->conf.port, r->conf.db, r->conf.is_tls, r->server_id);
    if (r->ev->up == NULL)
        return;
    r->is_busy = true;
    r->ev->up(r->arg);
    r->is_busy = false;
}

/* ---- greeting: log in, name ourselves, choose the database, ask who the server is ---- */

/* What goes into the log of a refused log-in is not left to the server: "unknown command AUTH, with args beginning
 * with:" would go on with the password. */
static void greeting_refused(struct redis *r, const struct redis_reply *reply)
{
    const char *text = reply->type == REDIS_ERROR ? reply->s : "odd reply to the greeting";
    const char *args = strstr(text, ", with args");
    size_t len = args != NULL ? (size_t)(args - text) : strlen(text);

    if (r->is_refused)
        return; /* the first refusal explains the others */
    if (r->conf.password != NULL && memmem(text, len, r->conf.password, strlen(r->conf.password)) != NULL)
        len = strcspn(text, " "); /* the error's code */
    r->is_refused = true;
    (void)snprintf(r->why, sizeof(r->why), "%.*s", (int)(len < 200 ? len : 200), text);
}

/* AUTH, SELECT, and PING, which tells a server that still loads its data or a replica without its master: not up. */
static void on_status(void *arg, const struct redis_reply *reply, int error)
{
    if (error == 0 && reply->type != REDIS_STATUS)
        greeting_refused(arg, reply);
}

/* Without INFO (forbidden to our user) the server has no id, which costs only the noticing of a restart. */
static void on_info(void *arg, const struct redis_reply *reply, int error)
{
    struct redis *r = arg;
    const char *id;
    size_t len;

    if (error != 0)
        return;
    r->server_id[0] = '\0';
    id = reply->type == REDIS_STR ? strstr(reply->s, "run_id:") : NULL;
    if (id == NULL)
        return;
    id += strlen("run_id:");
    len = strspn(id, "0123456789abcdefABCDEF");
    (void)snprintf(r->server_id, sizeof(r->server_id), "%.*s", (int)(len < ID_CHARS ? len : ID_CHARS), id);
}

static void greet(struct redis *r, redis_done done, int argc, const char *const *argv)
{
    (void)push_command(r, argc, argv, NULL, BACKOFF_MAX_US + CONNECT_US, done, r); /* the connect timer is the limit */
    r->n_greetings++;
}

static void on_open(void *arg)
{
    struct redis *r = arg;
    char name[64], db[16];

    r->state = STATE_GREETING;
    r->reader = redis_reader_new();
    if (r->conf.password != NULL && r->conf.user != NULL)
        greet(r, on_status, 3, (const char *[]){"AUTH", r->conf.user, r->conf.password});
    else if (r->conf.password != NULL)
        greet(r, on_status, 2, (const char *[]){"AUTH", r->conf.password});
    (void)snprintf(db, sizeof(db), "%d", r->conf.db);
    greet(r, on_status, 2, (const char *[]){"SELECT", db});
    (void)snprintf(name, sizeof(name), "tutti-%s", r->name);
    greet(r, NULL, 3, (const char *[]){"CLIENT", "SETNAME", name}); /* may be forbidden to our user */
    greet(r, on_info, 2, (const char *[]){"INFO", "server"});
    greet(r, on_status, 1, (const char *[]){"PING"});
}

/* ---- replies ---- */

/* True when the connection must go although the reply is in order: the server is no master any more (a failover that
 * kept the old one's connections), and a new look-up of its name may find the new one. */
static bool is_demoted(const struct redis_reply *reply)
{
    return reply->type == REDIS_ERROR && strncmp(reply->s, "READONLY ", strlen("READONLY ")) == 0;
}

/* Gives the next reply to its command; false when the connection is over (`r` may be gone). */
static bool deliver(struct redis *r, const struct redis_reply *reply)
{
    bool demoted = is_demoted(reply);
    struct redis_pending p;
    bool was_written;

    if (r->queue.n_answered == r->queue.n_written || !redis_queue_take(&r->queue, &p, &was_written)) {
        lose(r, -ECONNRESET, "a reply without a command");
        return false;
    }
    if (r->n_greetings > 0) {
        if (p.done != NULL)
            p.done(p.arg, reply, 0);
        if (--r->n_greetings == 0 && !r->is_refused)
            on_up(r);
    } else {
        call_done(r, &p, reply, 0);
    }
    if (r->is_freed) {
        free_now(r);
        return false;
    }
    if (r->is_refused && r->n_greetings == 0) {
        lose(r, -ECONNRESET, r->why);
        return false;
    }
    if (demoted) {
        lose(r, -ECONNRESET, "the server is a read-only replica now");
        return false;
    }
    return true;
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct redis *r = arg;
    const struct redis_reply *reply;
    const char *why;
    int got;

    redis_reader_feed(r->reader, bytes, len);
    while ((got = redis_reader_next(r->reader, &reply, &why)) > 0) {
        if (!deliver(r, reply))
            return;
    }
    if (got < 0) {
        (void)snprintf(r->why, sizeof(r->why), "not Redis's protocol: %s", why);
        lose(r, -ECONNRESET, r->why);
    }
}

static void on_closed(void *arg, const char *why)
{
    lose(arg, -ECONNRESET, why);
}

/* ---- timers, turn ---- */

static const struct redis_net_events net_events = {.open = on_open, .data = on_data, .closed = on_closed};

static void start_attempt(struct redis *r)
{
    int64_t limit_us = r->conf.connect_us > 0 ? r->conf.connect_us : CONNECT_US;

    r->is_refused = false;
    r->n_greetings = 0;
    if (r->conf.is_tls && r->tls == NULL) { /* the file may be there by now */
        r->tls = redis_net_tls(&r->conf, r->why, sizeof(r->why));
        if (r->tls == NULL) {
            r->is_refused = true;
            lose(r, -ENOTCONN, r->why);
            return;
        }
    }
    r->state = STATE_CONNECTING;
    r->net = redis_net_open(r->loop, &r->conf, r->tls, r->attempt, &net_events, r);
    timer_start(r->loop, &r->connect, loop_now_us(r->loop) + limit_us);
}

static void on_connect_timer(void *arg)
{
    struct redis *r = arg;

    if (r->state == STATE_WAITING)
        start_attempt(r);
    else if (redis_net_is_resolving(r->net)) /* it cannot be hurried: one look-up at a time */
        timer_start(r->loop, &r->connect, loop_now_us(r->loop) + CONNECT_US);
    else
        lose(r, -ETIMEDOUT, r->state == STATE_CONNECTING ? "no connection in time" : "no greeting in time");
}

/* The timer runs to the earliest deadline at the time of sending; what that was may be answered by now. */
static void on_deadline(void *arg)
{
    struct redis *r = arg;
    int64_t now_us = loop_now_us(r->loop);
    int64_t first_us = redis_queue_deadline(&r->queue);

    if (first_us == INT64_MAX)
        return;
    if (first_us <= now_us && now_us - first_us < LATE_US && redis_net_unread(r->net))
        first_us = now_us + LATE_POLL_US; /* it is we who are late: the reply may be here already */
    if (first_us <= now_us)
        lose(r, -ETIMEDOUT, "no reply in time");
    else
        timer_start(r->loop, &r->deadline, first_us);
}

static void on_turn(void *arg)
{
    (void)arg; /* it only makes the turn happen */
}

static void on_turn_end(void *arg)
{
    struct redis *r = arg;

    if (r->out.len == 0)
        return;
    wake_cancel(&r->turn); /* another hook has just sent something: it needs no turn of its own any more */
    redis_net_write(r->net, r->out.p, r->out.len);
    r->queue.n_written = r->queue.n_sent;
    if (r->out.cap > OUT_KEEP_BYTES)
        buf_done(&r->out);
    else
        buf_clear(&r->out);
}

/* ---- public ---- */

static void copy_conf(struct redis *r, const struct redis_conf *conf)
{
    r->name = mem_strdup(conf->name != NULL ? conf->name : "redis");
    redis_conf_copy(&r->conf, conf);
    r->conf.name = r->name;
}

struct redis *redis_new(struct loop *l, struct rng *rng, const struct redis_conf *conf, const struct redis_events *ev,
                        void *arg)
{
    struct redis *r = mem_zero(sizeof(*r));

    CHECK(loop_event_base(l) != NULL && conf->host != NULL);
    r->loop = l;
    r->rng = rng;
    copy_conf(r, conf);
    r->ev = ev;
    r->arg = arg;
    r->state = STATE_WAITING;
    timer_init(&r->connect, on_connect_timer, r);
    timer_init(&r->deadline, on_deadline, r);
    wake_init(&r->turn, on_turn, r);
    buf_init(&r->out, 0);
    r->hook.fn = on_turn_end;
    r->hook.arg = r;
    loop_add_hook(l, &r->hook);
    if (r->conf.is_tls)
        r->tls = redis_net_tls(&r->conf, r->why, sizeof(r->why));
    timer_start(l, &r->connect, loop_now_us(l)); /* the first attempt, from the loop */
    return r;
}

void redis_free(struct redis *r)
{
    struct redis_reader *reader = NULL;

    if (r == NULL || r->is_freed)
        return;
    r->is_freed = true;
    loop_del_hook(&r->hook);
    wake_cancel(&r->turn);
    if (r->is_busy)
        reader = TAKE(r->reader); /* the callback that frees us may still look at its reply */
    drop_connection(r);
    r->reader = reader;
    redis_queue_clear(&r->queue);
    if (!r->is_busy)
        free_now(r);
}

bool redis_is_refused(const struct redis *r)
{
    return r->refused_us != 0;
}

bool redis_is_up(const struct redis *r)
{
    return r->state == STATE_UP;
}

int redis_send(struct redis *r, int argc, const char *const *argv, const size_t *argv_len, int64_t timeout_us,
               redis_done done, void *arg)
{
    CHECK(argc > 0 && !r->is_freed);
    if (r->state != STATE_UP)
        return -ENOTCONN;
    return push_command(r, argc, argv, argv_len, timeout_us, done, arg);
}

size_t redis_pending(const struct redis *r)
{
    return (size_t)(r->queue.n_sent - r->queue.n_answered);
}

const char *redis_server_id(const struct redis *r)
{
    return r->server_id;
}
