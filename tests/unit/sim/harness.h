/* SPDX-License-Identifier: Apache-2.0 */
/* A simulator on a thread of its own, a blocking client, and the log after the end. */
#ifndef TEST_SIM_HARNESS_H
#define TEST_SIM_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "loop.h"
#include "sim.h"

enum { LINES_MAX = 64 };

struct server {
    struct loop *loop;
    struct sim *sim;
    pthread_t thread;
    int port;
    char log_path[64];
    struct sim_stats stats;   /* after server_stop() */
    json_t *lines[LINES_MAX]; /* of the log */
    int n_lines;
};

static inline void *serve(void *arg)
{
    struct server *s = arg;

    loop_run(s->loop);
    return NULL;
}

static inline void stop(void *arg)
{
    loop_stop(arg);
}

/* The models every test knows: m answers in 2 ms. */
static inline struct server *server_start(const char *model, const char *api_key)
{
    struct server *s = mem_zero(sizeof(*s));
    struct sim_conf c;
    const char *why = "";
    int fd;

    memcpy(s->log_path, "/tmp/sim_log.XXXXXX", 20);
    fd = mkstemp(s->log_path);
    CHECK(fd >= 0);
    (void)close(fd);
    sim_conf_init(&c);
    CHECK(sim_conf_set(&c, "model", "m,latency=2ms", &why) == 0);
    CHECK(model == NULL || sim_conf_set(&c, "model", model, &why) == 0);
    CHECK(api_key == NULL || sim_conf_set(&c, "api_key", api_key, &why) == 0);
    CHECK(sim_conf_set(&c, "log", s->log_path, &why) == 0);
    s->loop = loop_new();
    s->sim = sim_new(s->loop, &c, &why);
    CHECK(s->sim != NULL);
    s->port = sim_port(s->sim);
    sim_conf_done(&c);
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
    return s;
}

static inline void server_stop(struct server *s)
{
    char line[4096];
    FILE *f;

    loop_post(s->loop, stop, s->loop);
    CHECK(pthread_join(s->thread, NULL) == 0);
    sim_get_stats(s->sim, &s->stats);
    sim_free(s->sim);
    loop_free(s->loop);
    f = fopen(s->log_path, "r");
    CHECK(f != NULL);
    while (s->n_lines < LINES_MAX && fgets(line, sizeof(line), f) != NULL) {
        s->lines[s->n_lines] = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        CHECK(s->lines[s->n_lines++] != NULL);
    }
    (void)fclose(f);
    (void)unlink(s->log_path);
}

static inline void server_free(struct server *s)
{
    for (int i = 0; i < s->n_lines; i++)
        json_decref(s->lines[i]);
    mem_free(s);
}

static inline int dial(const struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    return fd;
}

static inline void put(int fd, const char *p, size_t len)
{
    CHECK(send(fd, p, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Sends a chat request. */
static inline void ask(int fd, const char *model, const char *prompt, const char *headers)
{
    struct json_write w;
    struct buf body;
    struct buf all;

    buf_init(&body, 0);
    buf_init(&all, 0);
    jw_init(&w, &body);
    jw_open(&w, '{');
    jw_kv_str(&w, "model", model);
    jw_key(&w, "messages");
    jw_open(&w, '[');
    jw_open(&w, '{');
    jw_kv_str(&w, "role", "user");
    jw_kv_str(&w, "content", prompt);
    jw_close(&w, '}');
    jw_close(&w, ']');
    jw_close(&w, '}');
    buf_printf(&all, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s", headers,
               body.len, body.p);
    put(fd, all.p, all.len);
    buf_done(&body);
    buf_done(&all);
}

struct answer {
    int status;    /* 0: nothing came */
    bool is_whole; /* all of Content-Length */
    int error;     /* errno of the read that ended it, 0: closed in order */
    struct buf head;
    struct buf body;
};

static inline size_t length_of(const struct buf *head)
{
    const char *p = strstr(head->p, "content-length: ");

    return p == NULL ? 0 : strtoul(p + 16, NULL, 10);
}

/* Reads one response. */
static inline struct answer hear(int fd)
{
    struct answer a = {.status = 0};
    char chunk[4096];
    size_t want = 0;

    buf_init(&a.head, 0);
    buf_init(&a.body, 0);
    while (!a.is_whole) {
        ssize_t n = recv(fd, chunk, 1, 0); /* byte by byte: what follows belongs to the next response */

        if (n <= 0) {
            a.error = n < 0 ? errno : 0;
            break;
        }
        if (a.status == 0) {
            buf_add(&a.head, chunk, 1);
            if (a.head.len >= 4 && memcmp(a.head.p + a.head.len - 4, "\r\n\r\n", 4) == 0) {
                a.status = (int)strtol(a.head.p + 9, NULL, 10);
                want = length_of(&a.head);
            }
        } else {
            buf_add(&a.body, chunk, 1);
        }
        a.is_whole = a.status != 0 && a.body.len == want;
    }
    return a;
}

static inline void answer_done(struct answer *a)
{
    buf_done(&a->head);
    buf_done(&a->body);
}

static inline const char *string_at(json_t *root, const char *a, const char *b)
{
    json_t *v = json_object_get(root, a);

    return json_string_value(b != NULL ? json_object_get(v, b) : v);
}

/* The content of a completion; the caller frees the tree. */
static inline const char *content_of(const struct answer *a, json_t **tree)
{
    json_t *choice;

    *tree = json_loadb(a->body.p, a->body.len, 0, NULL);
    choice = json_array_get(json_object_get(*tree, "choices"), 0);
    return string_at(choice, "message", "content");
}

#endif
