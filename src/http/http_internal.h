/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/http share. An origin (scheme, host, port, CA file) has shards; a shard is one curl multi
 * handle with a bounded number of transfers; a flight is one pooled easy handle and the transfer it carries. Nothing
 * outside src/http and its tests includes it. All of it runs on the loop's thread. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <curl/curl.h>

#include "base/buf.h"
#include "base/list.h"
#include "impl/http_curl.h"
#include "loop.h"
#include "seam/http.h"

enum {
    HTTP_BODY_BYTES = 1 << 20,        /* cap of a body when the caller names none */
    HTTP_HEAD_BYTES = 16 << 10,       /* header lines kept */
    HTTP_HEAD_ENDLESS = 256 << 10,    /* header bytes after which the answer is refused */
    HTTP_BIG_BODY_BYTES = 16 << 10,   /* request bodies from here on may not be written at once */
    HTTP_SWEEP_US = 15 * 1000 * 1000, /* how often unused handles are looked for */
    HTTP_UNUSED_US = 60 * 1000 * 1000 /* unused shards are closed after this */
};

/* What libcurl asked us to do about one descriptor; the table is indexed by the descriptor. */
struct sock {
    struct shard *shard; /* NULL: free place */
    struct watch *watch; /* NULL: not watched */
    int what;            /* LOOP_READ | LOOP_WRITE as watched now */
    bool is_conn;        /* opened through on_open(): its close comes through on_close() */
    bool is_parked;      /* libcurl does not want it now, but the watch is kept for the next request */
};

struct http_curl {
    struct http base; /* first */
    struct loop *loop;
    CURLSH *share; /* DNS cache and TLS sessions of all shards; one thread, so no locks */
    int max_conns;
    char *user_agent;
    struct list origins;
    struct list finished;     /* flights whose done() is due */
    struct wake deliver_wake; /* for ends that happened inside start() */
    struct timer sweep;       /* runs while there is an origin */
    struct sock *socks;       /* [n_socks] */
    int n_socks;
    bool is_delivering;
    bool has_ca_dir; /* libcurl's directory of CA certificates is there and hashed */
};

/* Which list of its origin a shard is in; a transfer takes the first shard of the first list. */
enum shard_room {
    ROOM_REUSE, /* more connections than transfers: one of them is idle */
    ROOM_NEW,   /* room for a new connection, or for a stream on a shared one */
    ROOM_NONE,
    ROOM_MAX
};

struct origin {
    struct list link;
    struct http_curl *http;
    char *key; /* "https://host:port", as the URL writes it */
    size_t key_len;
    char *ca_file;
    bool is_http; /* false: the one origin of all URLs that are not http(s) */
    bool is_tls;
    struct list shards[ROOM_MAX];
    struct list pool; /* unused flights, last used first */
    int n_pool;
    int n_out; /* flights not in the pool */
};

struct shard {
    struct list link; /* origin->shards[room] */
    struct origin *origin;
    struct http_curl *http;
    CURLM *multi;
    struct timer timer; /* libcurl's */
    struct wake wake;   /* libcurl's timer of 0 ms: later in this turn */
    struct list active; /* flights */
    int n_active;
    int n_conns; /* open sockets */
    enum shard_room room;
    int64_t unused_since_us; /* valid while n_active is 0 */
};

enum flight_phase {
    FLIGHT_CONNECTING, /* since since_us */
    FLIGHT_WRITING,    /* a big request is on its way: bounded by total and deadline only */
    FLIGHT_WAITING,    /* request written at since_us */
    FLIGHT_READING     /* last byte came at since_us */
};

struct flight {
    struct list link; /* origin->pool, shard->active or http->finished */
    struct origin *origin;
    struct shard *shard; /* while in the multi handle, else NULL */
    struct transfer *t;  /* NULL in the pool */
    CURL *easy;
    struct timer timer; /* never later than the first limit that can be hit; often earlier */
    enum flight_phase phase;
    enum transfer_end verdict; /* ours, when a callback made libcurl stop; TRANSFER_OK: none */
    int64_t started_us;
    int64_t since_us;
    int64_t head_bytes; /* header bytes seen, kept or not */
    bool is_requested;  /* PREREQ was called: the next call would be a second send */
    /* options the easy handle has now, so that only what differs is set */
    struct buf url;
    struct buf lines;         /* header lines, each with its NUL */
    struct curl_slist *nodes; /* [cap_nodes], pointing into lines */
    int cap_nodes;
    long backstop_ms;
    bool has_progress;
    char error[CURL_ERROR_SIZE];
};

/* http_curl.c */
/* Ends a flight that is not in a multi handle: its done() comes later in this turn or the next. */
void http_finish(struct flight *f, enum transfer_end end);
/* Calls the done() of what has finished; never from inside start(). */
void http_deliver(struct http_curl *h);

/* origin.c */
/* The origin of a URL, made when there is none. */
struct origin *origin_get(struct http_curl *h, const char *url, const char *ca_file);
/* Frees it with its shards and pool; all flights must be in the pool. */
void origin_free(struct origin *o);
/* A flight from the pool or a new one, in no list. */
struct flight *origin_take_flight(struct origin *o);
/* Back into the pool. */
void origin_put_flight(struct flight *f);
/* A shard with room, made when there is none. */
struct shard *origin_get_shard(struct origin *o);
/* Closes what was long unused; true when nothing is left of the origin. */
bool origin_sweep(struct origin *o, int64_t now_us);

/* curl_multi.c */
struct shard *shard_new(struct origin *o);
void shard_free(struct shard *s);
/* Puts the shard into the list its counts belong to. */
void shard_sort(struct shard *s);
/* Hands the flight to libcurl. */
CURLMcode shard_add(struct shard *s, struct flight *f);
/* Takes it back; a request under way loses its connection (HTTP/1.1) or stream (HTTP/2). */
void shard_remove(struct flight *f);

/* curl_socks.c */
int socks_on_curl(CURL *easy, curl_socket_t fd, int what, void *shard, void *unused);
curl_socket_t socks_on_open(void *flight, curlsocktype purpose, struct curl_sockaddr *address);
int socks_on_close(void *http, curl_socket_t fd);
/* Forgets and closes whatever libcurl left of a shard. */
void socks_drop_shard(struct shard *s);
/* curl_multi.c, for curl_socks.c: a descriptor is ready. */
void shard_on_ready(struct shard *s, int fd, int what);

/* Options of ours: libcurl refuses them only when it is not the one we were built for. */
#define HTTP_SET(f, option, value) CHECK(curl_easy_setopt((f)->easy, option, value) == CURLE_OK)

/* curl_easy.c */
struct flight *flight_new(struct origin *o);
void flight_free(struct flight *f);
/* curl_load.c: sets what differs from the last use; false with t->why when the transfer cannot be sent. */
bool flight_load(struct flight *f, struct transfer *t);
/* Writes the answer's figures into the transfer; `code` is libcurl's result. */
void flight_report(struct flight *f, CURLcode code, enum transfer_end end);

/* flight_limits.c */
void flight_timer_init(struct flight *f);
/* The limit that is hit first and when; INT64_MAX when there is none. */
int64_t flight_due_us(const struct flight *f, enum transfer_end *out_end);
/* Enters a phase that begins now and makes sure the timer is early enough for it. */
void flight_enter(struct flight *f, enum flight_phase phase, int64_t now_us);

/* http_common.c */
/* What libcurl's result means; `error` is its text. */
enum transfer_end http_end_of(CURLcode code, bool was_sent, const char *error);
/* Words of ours for ends that libcurl has no text for; NULL when it has. */
const char *http_why_of(enum transfer_end end);
/* Copies a text for people, cut to fit. */
void http_set_why(struct transfer *t, const char *why);

#endif
