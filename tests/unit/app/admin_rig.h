/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin tests share: a loop on a thread of its own and a blocking client. */
#ifndef TESTS_ADMIN_RIG_H
#define TESTS_ADMIN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "loop.h"

/* A loop that runs until rig_stop(). */
struct loop_thread {
    struct loop *loop;
    pthread_t thread;
};

static void *loop_thread_main(void *arg)
{
    struct loop_thread *t = arg;

    loop_run(t->loop);
    return NULL;
}

static inline void loop_thread_start(struct loop_thread *t, struct loop *loop)
{
    t->loop = loop;
    CHECK(pthread_create(&t->thread, NULL, loop_thread_main, t) == 0);
}

static void loop_thread_end(void *loop)
{
    loop_stop(loop);
}

static inline void loop_thread_stop(struct loop_thread *t)
{
    loop_post(t->loop, loop_thread_end, t->loop);
    CHECK(pthread_join(t->thread, NULL) == 0);
}

/* Runs fn on the loop's thread and waits for it. */
struct errand {
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void errand_run(void *arg)
{
    struct errand *e = arg;

    e->fn(e->arg);
    CHECK(sem_post(&e->done) == 0);
}

static inline void run_on(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct errand e = {.fn = fn, .arg = arg};

    CHECK(sem_init(&e.done, 0, 0) == 0);
    loop_post(loop, errand_run, &e);
    while (sem_wait(&e.done) < 0)
        ;
    CHECK(sem_destroy(&e.done) == 0);
}

static inline int client_connect(const char *address)
{
    const struct timeval patience = {.tv_sec = 20};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

/* The whole answer to these bytes; "" when the connection was closed without one. */
static inline const char *client_talk(int fd, const char *bytes, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    (void)send(fd, bytes, strlen(bytes), MSG_NOSIGNAL); /* refused: the answer says so */
    while (len < size - 1 && (n = recv(fd, out + len, size - 1 - len, 0)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return out;
}

/* GET of a path, on a connection of its own. */
static inline const char *client_get(const char *address, const char *path, char *out, size_t size)
{
    char request[1200];
    int fd = client_connect(address);

    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    (void)client_talk(fd, request, out, size);
    (void)close(fd);
    return out;
}

#endif
