/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking Redis client for tests, independent of src/redis: sends words, reads a flat reply. Header only. */
#ifndef TEST_RESP_CLIENT_H
#define TEST_RESP_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

struct resp {
    int fd;
    FILE *in;
    char error[8192]; /* "" or the error reply, or a status, or the last string */
    int n;
    int64_t figures[64]; /* integers of the reply, strings as numbers */
};

/* Waits for the server to listen, at most 3 s. */
__attribute__((unused)) static void resp_open(struct resp *r, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 300; i++) {
        r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(r->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
            break;
        (void)close(r->fd);
        r->fd = -1;
        (void)poll(NULL, 0, 10);
    }
    CHECK(r->fd >= 0);
    (void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    r->in = fdopen(r->fd, "r");
    CHECK(r->in != NULL);
}

__attribute__((unused)) static void resp_close(struct resp *r)
{
    (void)fclose(r->in);
}

__attribute__((unused)) static void resp_read(struct resp *r)
{
    char line[8192];
    long long n;

    CHECK(fgets(line, sizeof(line), r->in) != NULL);
    line[strcspn(line, "\r\n")] = '\0';
    n = strtoll(line + 1, NULL, 10);
    if (line[0] == '-' || line[0] == '+') {
        (void)snprintf(r->error, sizeof(r->error), "%.8000s", line + 1);
    } else if (line[0] == ':') {
        CHECK(r->n < 64);
        r->figures[r->n++] = n;
    } else if (line[0] == '$' && n >= 0) {
        CHECK(n < 8000 && fread(line, 1, (size_t)n + 2, r->in) == (size_t)n + 2);
        line[n] = '\0';
        (void)snprintf(r->error, sizeof(r->error), "%.8000s", line);
        CHECK(r->n < 64);
        r->figures[r->n++] = strtoll(line, NULL, 10);
    } else if (line[0] == '*') {
        for (long long i = 0; i < n; i++)
            resp_read(r);
    }
}

/* Sends one command and reads its reply. */
__attribute__((unused)) static void resp_call(struct resp *r, int argc, const char *const *argv)
{
    size_t len = 0;
    char *out = NULL;
    FILE *f = open_memstream(&out, &len);

    (void)fprintf(f, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++)
        (void)fprintf(f, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
    (void)fclose(f);
    CHECK(write(r->fd, out, len) == (ssize_t)len);
    free(out);
    r->error[0] = '\0';
    r->n = 0;
    resp_read(r);
}

#endif
