/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt at a byte stream to a server: name look-up, connect, TLS. Knows nothing of Redis's protocol. */
#ifndef REDIS_NET_H
#define REDIS_NET_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct redis_conf;
struct redis_net;
struct ssl_ctx_st;

/* Called on the loop's thread, never from inside a redis_net function; redis_net_close() is allowed in each. */
struct redis_net_events {
    void (*open)(void *arg);
    void (*data)(void *arg, const char *bytes, size_t len);
    /* The stream ended or never began; at most once. The text is borrowed. */
    void (*closed)(void *arg, const char *why);
};

/* A context that verifies the server against conf->ca_file or the system's store, TLS >= 1.2; NULL with a text in why.
 */
struct ssl_ctx_st *redis_net_tls(const struct redis_conf *conf, char *why, size_t why_size);
void redis_net_tls_free(struct ssl_ctx_st *tls);

/* Begins an attempt. conf outlives it; tls: NULL for a plain socket; turn: which of the host's addresses to try first.
 */
struct redis_net *redis_net_open(struct loop *l, const struct redis_conf *conf, struct ssl_ctx_st *tls, unsigned turn,
                                 const struct redis_net_events *ev, void *arg);
/* Closes; no callback comes any more. NULL is fine. */
void redis_net_close(struct redis_net *n);
/* True while the host's name is being looked up, which takes as long as the system's resolver likes. */
bool redis_net_is_resolving(const struct redis_net *n);
/* Writes all of it, now as far as the socket takes it. Only between open() and closed(). */
void redis_net_write(struct redis_net *n, const char *bytes, size_t len);
/* Bytes written that the socket has not taken. */
size_t redis_net_unsent(const struct redis_net *n);
/* True when bytes have arrived that data() has not been given. */
bool redis_net_unread(const struct redis_net *n);

#endif
