/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server for reading: GET and HEAD, one request per connection, no bodies. Not libevent's evhttp: that
 * one has no limit on connections. Main loop thread; never blocks. */
#ifndef APP_ADMIN_HTTP_H
#define APP_ADMIN_HTTP_H

#include <stdbool.h>

struct admin_conn;
struct admin_http;
struct buf;
struct loop;

enum { ADMIN_CONNS_MAX = 64, ADMIN_HEAD_BYTES = 8192 };

struct admin_request {
    bool is_head;
    const char *path;  /* from '/' on, as it was sent */
    const char *query; /* behind '?', "" when there is none */
};

/* One request; admin_reply() exactly once, now or later. Other methods, too long heads and what is no HTTP are answered
 * by the server. `q` is valid during the call only. */
typedef void (*admin_handler)(void *arg, struct admin_conn *c, const struct admin_request *q);

/* Listens on "host:port" ("[::1]:0"; port 0: a free one).
 * errors  -EINVAL the name does not resolve, else a negative errno of bind or listen; *out_why (static) has the text */
int admin_http_new(struct loop *loop, const char *address, admin_handler handler, void *arg, struct admin_http **out,
                   const char **out_why);
/* Where it listens: "127.0.0.1:8088". */
const char *admin_http_address(const struct admin_http *h);
/* Closes everything; gone() of unanswered requests is called. NULL is fine. */
void admin_http_free(struct admin_http *h);

/* Answers with a copy of the body (may be NULL). `type`: the Content-Type. `headers`: more of them, each ended by CRLF;
 * NULL: none. */
void admin_reply(struct admin_conn *c, int status, const char *type, const char *headers, const struct buf *body);
/* {"schema_version":1,"error":"..."} */
void admin_reply_error(struct admin_conn *c, int status, const char *message);
/* For an answer that comes later: gone(arg) is called when the client leaves before; the connection is invalid then. */
void admin_conn_hold(struct admin_conn *c, void (*gone)(void *arg), void *arg);

#endif
