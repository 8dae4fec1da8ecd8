/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Redis journal share: the journal itself, and who does what.
 *
 *   DOWN -> ASKING -> (INSTALLING ->) REPLAYING -> READY      a connection's life; any of them -> DOWN when it is lost
 *   any but DOWN -> SICK -> ASKING                            Redis answers, but refuses (no memory, still loading)
 *
 * Claims and writes wait in their queues in every state but READY, writes also while REPLAYING. */
#ifndef JOURNAL_REDIS_INTERNAL_H
#define JOURNAL_REDIS_INTERNAL_H

#include "impl/journal_redis.h"
#include "journal/retain.h"
#include "loop.h"

/* uthash's own choice falls through between cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

struct spool;
struct spool_set;

enum session {
    SESSION_DOWN,
    SESSION_SICK,
    SESSION_ASKING,     /* is our library there? */
    SESSION_INSTALLING, /* it was not */
    SESSION_REPLAYING,  /* kept writes go first, then the liveness key */
    SESSION_READY,
};

enum {
    DIGEST_TEXT = 33, /* 32 hex and a NUL */
    INCARNATION_HEX = 16,
    COMMAND_US = 2 * 1000 * 1000,
    RETAIN_MAX_BYTES = 64 * 1024 * 1024, /* above this nothing new is admitted */
};

/* A claim of ours: what later writes of the job need. */
struct held {
    UT_hash_handle hh;
    uint64_t number;
    char digest[DIGEST_TEXT];
    char key[];
};

/* Questions of who was first: waiting, asked, to be asked again. */
struct identities {
    struct list waiting, asked, again; /* struct question, oldest first */
    size_t n_asked;
};

struct journal_redis {
    struct journal base;
    struct loop *loop;
    struct redis *redis;
    char *group;
    char *slot;
    char *incarnation;
    char *liveness_key;
    char *liveness_prefix; /* "tutti:inc:<group>:" */
    char *slots_key;
    char ttl_text[24];
    char liveness_text[24];
    int64_t liveness_us;

    /* journal_session.c */
    enum session state;
    bool is_spool_loaded;
    bool is_alive_sent; /* while REPLAYING */
    bool is_announced;  /* announce() was called */
    bool was_announced; /* and Redis took it, or may have: nothing that is sent now is the first */
    int64_t announced_ms;
    bool is_left;           /* the liveness key says so: not renewed again */
    char server_id[32];     /* at the last READY, "" before the first */
    int64_t lost_us;        /* when the last READY ended */
    int64_t grace_until_us; /* nobody is taken for dead before this */
    struct timer renew;     /* READY: the liveness key */
    struct timer retry;     /* SICK */
    int64_t logged_us;

    /* writes */
    struct retain retain;
    struct spool_set *spools; /* NULL: memory only */
    int64_t unprotected_us;   /* when that was logged */
    struct wake pump;         /* once per turn: sends what this turn added */
    struct held *held;        /* uthash by key: claims of ours not yet forgotten or released */

    /* journal_claims.c */
    struct list waiting, asked, again; /* struct asked: as in struct retain */
    size_t n_asked;
    uint64_t last_number;

    struct identities identities; /* journal_identity.c */

    /* stop() */
    bool is_stopping, is_leaving, is_leave_sent, is_leave_over, is_late;
    void (*stop_done)(void *arg);
    void *stop_arg;
    struct timer stop_timer;
    struct wake stop_wake;
};

static inline struct journal_redis *journal_redis_of(struct journal *j)
{
    return CONTAINER_OF(j, struct journal_redis, base);
}

/* journal_session.c: the connection's states, the library, liveness, errors. */
void session_init(struct journal_redis *j, struct rng *rng, const struct redis_conf *conf);
void session_done(struct journal_redis *j);
/* The spool has been read: sessions may begin. */
void session_allow(struct journal_redis *j);
void session_announce(struct journal_redis *j);
/* Marks this incarnation as gone; is_leave_over tells when that is over. */
void session_leave(struct journal_redis *j);
/* Redis refused with this text. True when what was refused is to be sent again (the session sees to the when), false
 * when that is of no use. */
bool session_refused(struct journal_redis *j, const char *what, const char *text);
/* The same of a claim, which is always sent again. */
void session_claim_refused(struct journal_redis *j, const char *text);
/* Brings is_down and its metric up to date. */
void session_update(struct journal_redis *j);
/* Calls of Redis functions: FCALL name n_keys argv... ; done as in redis_send(). */
int session_call(struct journal_redis *j, const char *name, int n_keys, int argc, const char *const *argv,
                 const size_t *argv_len, redis_done done, void *arg);

/* journal_writes.c */
void writes_init(struct journal_redis *j);
void writes_done(struct journal_redis *j);
void writes_record(struct journal_redis *j, const struct position *pos, const struct recall *what);
void writes_decide(struct journal_redis *j, const struct position *pos, struct text bytes);
void writes_forget(struct journal_redis *j, const struct position *pos);
void writes_release(struct journal_redis *j, const struct position *pos);
/* Gives back a claim that was cancelled on its way. */
void writes_release_claim(struct journal_redis *j, const char *key, uint64_t number);
void writes_hold(struct journal_redis *j, const char *key, const char *digest, uint64_t number);
/* Sends what may be sent; true when no write is left unsent. */
bool writes_send(struct journal_redis *j);
/* Brings everything not acknowledged into the spool. */
void writes_spool_all(struct journal_redis *j);
/* A record found in a spool at the start. */
void writes_restore(struct journal_redis *j, struct spool *from, const char *bytes, size_t len);
/* Writes could not be brought into the spool: says so when Redis has them neither. */
void writes_unspooled(struct journal_redis *j);

/* journal_claims.c */
void claims_init(struct journal_redis *j);
void claims_done(struct journal_redis *j);
void claims_add(struct journal_redis *j, struct claim *c);
void claims_cancel(struct journal_redis *j, struct claim *c);
void claims_send(struct journal_redis *j);
/* Claims sent in vain wait again, before the others. */
void claims_retry(struct journal_redis *j);

/* journal_identity.c: as claims. */
void identities_init(struct journal_redis *j);
void identities_done(struct journal_redis *j);
void identities_add(struct journal_redis *j, struct identify *i);
void identities_cancel(struct journal_redis *j, struct identify *i);
void identities_send(struct journal_redis *j);
void identities_retry(struct journal_redis *j);

/* journal_redis.c */
/* "tutti:j:{<group>/<topic>/<partition>/<offset>}" appended to `out`. */
void journal_redis_key(const struct journal_redis *j, const struct position *pos, struct buf *out);
/* Something that stop() may be waiting for has happened. */
void journal_redis_check_stop(struct journal_redis *j);

#endif
