/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal's connection: from "connected" to "ready" (the library is there, kept writes have arrived, the
 * liveness key is set), renewing the key, and what a refusal means. Sends no claim and forms no write. Runs on the
 * loop's thread. source: DESIGN 6, reference/kafka.md 5.2 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "journal/journal_lua.h"
#include "journal/journal_redis_internal.h"

enum {
    RETRY_US = 1000 * 1000,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

#define NO_MEMORY_POLICY "noeviction"

static void start_asking(struct journal_redis *j);

void session_update(struct journal_redis *j)
{
    bool is_down = j->state != SESSION_READY || j->retain.bytes > RETAIN_MAX_BYTES;

    if (is_down == j->base.is_down)
        return;
    j->base.is_down = is_down;
    metric_add(METRIC_JOURNAL_DOWN, is_down ? 1 : -1);
}

static void set_state(struct journal_redis *j, enum session state)
{
    if (j->state == SESSION_READY && state != SESSION_READY) {
        j->lost_us = loop_now_us(j->loop);
        timer_stop(j->loop, &j->renew);
    }
    j->state = state;
    session_update(j);
}

int session_call(struct journal_redis *j, const char *name, int n_keys, int argc, const char *const *argv,
                 const size_t *argv_len, redis_done done, void *arg)
{
    const char *all[3 + 16] = {"FCALL", name, n_keys == 1 ? "1" : "2"};
    size_t len[3 + 16] = {5, strlen(name), 1};

    CHECK(argc <= 16 && (n_keys == 1 || n_keys == 2));
    for (int i = 0; i < argc; i++) {
        all[3 + i] = argv[i];
        len[3 + i] = argv_len != NULL ? argv_len[i] : strlen(argv[i]);
    }
    return redis_send(j->redis, 3 + argc, all, len, COMMAND_US, done, arg);
}

/* ---- refusals ---- */

static void go_sick(struct journal_redis *j)
{
    if (j->state == SESSION_DOWN || j->state == SESSION_SICK)
        return;
    set_state(j, SESSION_SICK);
    timer_start(j->loop, &j->retry, loop_now_us(j->loop) + RETRY_US);
    writes_spool_all(j);
}

static void on_retry(void *arg)
{
    struct journal_redis *j = arg;

    if (j->state == SESSION_SICK)
        start_asking(j);
}

/* What sending again cannot mend: a key of another type, an error inside our own functions. All else (no memory,
 * loading, no permission, a proxy's complaint) may pass, and paid answers are kept until it does. */
static bool is_lasting(const char *text)
{
    return strncmp(text, "WRONGTYPE ", strlen("WRONGTYPE ")) == 0 ||
           (strncmp(text, "ERR ", strlen("ERR ")) == 0 && strstr(text, "script: tutti_j1_") != NULL);
}

bool session_refused(struct journal_redis *j, const char *what, const char *text)
{
    if (strncmp(text, "ERR Function not found", strlen("ERR Function not found")) == 0) {
        if (j->state == SESSION_READY || j->state == SESSION_REPLAYING)
            start_asking(j); /* someone flushed the functions */
        return true;
    }
    if (log_is_due(&j->logged_us, loop_now_us(j->loop), LOG_PERIOD_US))
        log_event(LOG_ERROR, "journal_refused", "what=%s group=\"%s\" why=\"%.200s\"", what, j->group, text);
    if (is_lasting(text))
        return false;
    go_sick(j);
    return true;
}

void session_claim_refused(struct journal_redis *j, const char *text)
{
    if (!session_refused(j, "claim", text))
        go_sick(j); /* tried again each second */
}

/* ---- asking and installing ---- */

/* The value after `name` in a flattened map. */
static const struct redis_reply *find(const struct redis_reply *map, const char *name)
{
    for (size_t i = 0; map->type == REDIS_ARRAY && i + 1 < map->n; i += 2) {
        if (map->element[i].type == REDIS_STR && strcmp(map->element[i].s, name) == 0)
            return &map->element[i + 1];
    }
    return NULL;
}

static bool is_our_library(const struct redis_reply *reply)
{
    const struct redis_reply *code = NULL;

    if (reply->type == REDIS_ARRAY && reply->n == 1)
        code = find(&reply->element[0], "library_code");
    return code != NULL && code->type == REDIS_STR && code->len == sizeof(journal_lua) - 1 &&
           memcmp(code->s, journal_lua, code->len) == 0;
}

static void start_replaying(struct journal_redis *j)
{
    set_state(j, SESSION_REPLAYING);
    j->is_alive_sent = false;
    retain_retry(&j->retain);
    claims_retry(j);
    identities_retry(j);
    loop_wake(j->loop, &j->pump);
}

/* An error here concerns the server as a whole: tried again until it is another one. */
static void setup_refused(struct journal_redis *j, const char *text)
{
    bool is_old = strstr(text, "unknown command") != NULL;

    (void)session_refused(j, is_old ? "functions_need_redis_7" : "functions", text);
    go_sick(j);
}

static void on_installed(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;

    if (error != 0 || j->state != SESSION_INSTALLING)
        return;
    if (reply->type == REDIS_ERROR)
        setup_refused(j, reply->s);
    else
        start_replaying(j);
}

static void on_library(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;
    const char *load[] = {"FUNCTION", "LOAD", "REPLACE", journal_lua};

    if (error != 0 || j->state != SESSION_ASKING)
        return;
    if (reply->type == REDIS_ERROR) {
        setup_refused(j, reply->s);
        return;
    }
    if (is_our_library(reply)) {
        start_replaying(j);
        return;
    }
    set_state(j, SESSION_INSTALLING);
    if (redis_send(j->redis, 4, load, NULL, COMMAND_US, on_installed, j) < 0)
        go_sick(j);
}

/* A server that started a moment ago may have lost liveness keys, or held none while workers could not renew them. */
static void on_server(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;
    const char *uptime;
    int64_t left_us;

    if (error != 0 || reply->type != REDIS_STR)
        return;
    uptime = strstr(reply->s, "uptime_in_seconds:");
    if (uptime == NULL)
        return;
    left_us = j->liveness_us - strtoll(uptime + strlen("uptime_in_seconds:"), NULL, 10) * 1000000;
    if (left_us > 0 && loop_now_us(j->loop) + left_us > j->grace_until_us)
        j->grace_until_us = loop_now_us(j->loop) + left_us;
}

static void on_memory(void *arg, const struct redis_reply *reply, int error)
{
    const struct journal_redis *j = arg;

    if (error == 0 && reply->type == REDIS_STR && strstr(reply->s, "maxmemory_policy:") != NULL &&
        strstr(reply->s, "maxmemory_policy:" NO_MEMORY_POLICY) == NULL && strstr(reply->s, "maxmemory:0\r") == NULL)
        log_event(LOG_WARN, "journal_may_be_evicted",
                  "group=\"%s\" why=\"maxmemory-policy is not " NO_MEMORY_POLICY ": answers may be paid for again\"",
                  j->group);
}

static void start_asking(struct journal_redis *j)
{
    set_state(j, SESSION_ASKING);
    (void)redis_send(j->redis, 5, (const char *[]){"FUNCTION", "LIST", "LIBRARYNAME", JOURNAL_LIBRARY, "WITHCODE"},
                     NULL, COMMAND_US, on_library, j);
    (void)redis_send(j->redis, 2, (const char *[]){"INFO", "server"}, NULL, COMMAND_US, on_server, j);
    if (j->server_id[0] == '\0')
        (void)redis_send(j->redis, 2, (const char *[]){"INFO", "memory"}, NULL, COMMAND_US, on_memory, j);
}

/* ---- liveness ---- */

static void on_announced(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;

    if (error != 0) { /* a successor may have announced itself meanwhile: it is not to be beaten by a repetition */
        j->was_announced |= error != -ENOTCONN;
        return;
    }
    if (reply->type == REDIS_INT && reply->i > 0) {
        j->was_announced = true;
        j->announced_ms = reply->i;
    } else if (reply->type == REDIS_INT) {
        log_event(LOG_ERROR, "journal_superseded", "group=\"%s\" incarnation=\"%s\"", j->group, j->incarnation);
    } else if (reply->type == REDIS_ERROR) {
        (void)session_refused(j, "announce", reply->s);
    }
}

static void send_announce(struct journal_redis *j)
{
    char at[24];
    const char *argv[] = {j->slots_key, j->slot, j->incarnation, at, j->liveness_prefix, j->was_announced ? "0" : "1"};

    (void)snprintf(at, sizeof(at), "%" PRId64, j->announced_ms);
    (void)session_call(j, "tutti_j1_announce", 1, 6, argv, NULL, on_announced, j);
}

/* A worker that came back: what it missed can have made others' keys run out, too. */
static void begin_ready(struct journal_redis *j)
{
    int64_t now_us = loop_now_us(j->loop);
    bool was_ready = j->server_id[0] != '\0';
    const char *id = redis_server_id(j->redis);
    bool is_other = was_ready && id[0] != '\0' && strcmp(id, j->server_id) != 0;

    if (is_other || (was_ready && now_us - j->lost_us > j->liveness_us / 5))
        j->grace_until_us = now_us + j->liveness_us;
    (void)snprintf(j->server_id, sizeof(j->server_id), "%s", id[0] != '\0' ? id : "?");
    log_event(LOG_INFO, "journal_ready", "group=\"%s\" incarnation=\"%s\" grace_ms=%lld", j->group, j->incarnation,
              (long long)(j->grace_until_us > now_us ? (j->grace_until_us - now_us) / 1000 : 0));
    set_state(j, SESSION_READY);
    timer_start(j->loop, &j->renew, now_us + j->liveness_us / 5);
    loop_wake(j->loop, &j->pump);
    journal_redis_check_stop(j);
}

static void on_alive(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;

    if (error != 0)
        return;
    if (reply->type == REDIS_ERROR) {
        (void)session_refused(j, "alive", reply->s);
        go_sick(j);
    } else if (j->state == SESSION_REPLAYING) {
        begin_ready(j);
    }
}

/* One that has left goes on without a key: what it still journals is taken from anybody. */
static void send_alive(struct journal_redis *j)
{
    const char *set[] = {"SET", j->liveness_key, "1", "PX", j->liveness_text};

    int r;

    if (j->is_left)
        r = redis_send(j->redis, 1, (const char *[]){"PING"}, NULL, COMMAND_US, on_alive, j);
    else
        r = redis_send(j->redis, 5, set, NULL, COMMAND_US, on_alive, j);
    j->is_alive_sent = true;
    if (r < 0)
        go_sick(j); /* the connection's output is full: a second later there is room */
}

static void on_renew(void *arg)
{
    struct journal_redis *j = arg;

    send_alive(j);
    timer_start(j->loop, &j->renew, loop_now_us(j->loop) + j->liveness_us / 5);
}

static void on_leave(void *arg, const struct redis_reply *reply, int error)
{
    struct journal_redis *j = arg;

    (void)reply;
    (void)error; /* the key runs out by itself */
    j->is_leave_over = true;
    journal_redis_check_stop(j);
}

void session_leave(struct journal_redis *j)
{
    char ms[24];
    const char *set[] = {"SET", j->liveness_key, "0", "PX", ms};

    /* A sign of its own instead of no key: it holds while nobody is dead for lack of a key, too. */
    (void)snprintf(ms, sizeof(ms), "%" PRId64, j->liveness_us / 1000 * 10);
    j->is_left = true;
    if (redis_send(j->redis, 5, set, NULL, COMMAND_US, on_leave, j) < 0)
        j->is_leave_over = true;
}

void session_announce(struct journal_redis *j)
{
    if (j->is_announced)
        return;
    j->is_announced = true;
    j->announced_ms = loop_wall_ms(j->loop);
    if (j->state == SESSION_READY || (j->state == SESSION_REPLAYING && j->is_alive_sent))
        send_announce(j);
}

/* ---- connection ---- */

/* Sends what this turn added: writes first, the liveness key behind the last kept write, claims behind that. */
static void on_pump(void *arg)
{
    struct journal_redis *j = arg;

    if (j->state < SESSION_REPLAYING || !writes_send(j))
        return;
    if (j->state == SESSION_READY) {
        claims_send(j);
        identities_send(j);
    } else if (!j->is_alive_sent) {
        if (j->is_announced)
            send_announce(j);
        send_alive(j);
    }
}

static void on_up(void *arg)
{
    struct journal_redis *j = arg;

    if (j->is_spool_loaded)
        start_asking(j);
}

static void on_down(void *arg, const char *why)
{
    struct journal_redis *j = arg;

    (void)why; /* logged by the connection */
    timer_stop(j->loop, &j->retry);
    set_state(j, SESSION_DOWN);
    writes_spool_all(j);
    journal_redis_check_stop(j);
}

void session_allow(struct journal_redis *j)
{
    j->is_spool_loaded = true;
    if (redis_is_up(j->redis))
        start_asking(j);
}

void session_init(struct journal_redis *j, struct rng *rng, const struct redis_conf *conf)
{
    static const struct redis_events events = {.up = on_up, .down = on_down};
    struct redis_conf own = *conf;

    own.name = "journal";
    j->state = SESSION_DOWN;
    j->base.is_down = true;
    metric_add(METRIC_JOURNAL_DOWN, 1); /* each worker counts itself */
    timer_init(&j->renew, on_renew, j);
    timer_init(&j->retry, on_retry, j);
    wake_init(&j->pump, on_pump, j);
    j->redis = redis_new(j->loop, rng, &own, &events, j);
}

void session_done(struct journal_redis *j)
{
    timer_stop(j->loop, &j->renew);
    timer_stop(j->loop, &j->retry);
    wake_cancel(&j->pump);
    redis_free(j->redis);
    if (j->base.is_down)
        metric_add(METRIC_JOURNAL_DOWN, -1);
}
