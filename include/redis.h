/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to Redis: framing by hiredis (formatter and reader only), transport by libevent (plain or OpenSSL),
 * deadlines per command, jittered reconnect. One owner, one loop thread. source: reference/rate-limits.md 4.10 */
#ifndef REDIS_H
#define REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct redis;
struct rng;

struct redis_conf {
    char *host;
    int port;
    int db;
    char *user;     /* NULL: none */
    char *password; /* NULL: none; never logged */
    bool is_tls;
    char *ca_file;      /* NULL: the system's store */
    const char *name;   /* "limiter" or "journal": for logs and CLIENT SETNAME */
    int64_t connect_us; /* 0: 1 s */
};

/* Parses redis://[user:pass@]host[:port][/db] or rediss://...; percent-decoding in user and password. -EINVAL with a
 * static text in *why. Free with redis_conf_done(). */
int redis_conf_parse(const char *url, struct redis_conf *out, const char **why);
/* A copy that is redis_conf_done()'s too; the name stays the original's. */
void redis_conf_copy(struct redis_conf *out, const struct redis_conf *conf);
void redis_conf_done(struct redis_conf *c);

enum redis_type { REDIS_NIL, REDIS_INT, REDIS_STR, REDIS_STATUS, REDIS_ERROR, REDIS_ARRAY };

/* A reply, borrowed during the callback. */
struct redis_reply {
    enum redis_type type;
    int64_t i;
    const char *s; /* NUL-terminated too */
    size_t len;
    size_t n;                    /* elements */
    struct redis_reply *element; /* element[n] */
};

/* reply is NULL when no answer will come: -ETIMEDOUT (deadline; the connection is closed and opened again), -ECONNRESET
 * (lost after the command was written: it may have run), -ENOTCONN (never written). */
typedef void (*redis_done)(void *arg, const struct redis_reply *reply, int error);

struct redis_events {
    void (*up)(void *arg); /* connected, authenticated, database selected; also after each reconnect */
    void (*down)(void *arg, const char *why); /* after the callbacks of everything pending */
};

/* Starts connecting at once; reconnects for ever with full jitter, 50 ms .. 5 s. The conf is copied. */
struct redis *redis_new(struct loop *l, struct rng *rng, const struct redis_conf *conf, const struct redis_events *ev,
                        void *arg);
/* Closes; pending callbacks never come. NULL is fine. */
void redis_free(struct redis *r);
bool redis_is_up(const struct redis *r);
/* Has the server refused the log-in since it was last up (wrong password, no permission)? */
bool redis_is_refused(const struct redis *r);
/* Sends one command (binary safe); written at the end of the turn together with others (one write per turn). done (may
 * be NULL) comes exactly once, never from inside. timeout_us   from now; 0: 1 s errors       -ENOTCONN while down,
 * -ENOBUFS with more than 64 MiB waiting to be written: then done is not called */
int redis_send(struct redis *r, int argc, const char *const *argv, const size_t *argv_len, int64_t timeout_us,
               redis_done done, void *arg);
/* Commands sent and not answered. */
size_t redis_pending(const struct redis *r);
/* First 16 hex of the server's run_id, "" before the first up (read with INFO server at connect). */
const char *redis_server_id(const struct redis *r);

#endif
