/* SPDX-License-Identifier: Apache-2.0 */
/* A real redis-server for tests: a child on a free port of 127.0.0.1 with its own directory, killed when the test dies.
 * Nothing is saved to disk, so a restart is an empty server. Header only: each test program uses part of it. */
#ifndef TEST_REDIS_SERVER_H
#define TEST_REDIS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

struct redis_server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[64];
};

/* A port nobody listens on now. */
__attribute__((unused)) static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

__attribute__((unused)) static void server_init(struct redis_server *s)
{
    *s = (struct redis_server){.port = free_port()};
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/tutti-test-XXXXXX");
    CHECK(mkdtemp(s->dir) != NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
}

/* Starts it; more: NULL-terminated words of further options, or NULL. It listens a little later. */
__attribute__((unused)) static void server_start(struct redis_server *s, const char *const *more)
{
    const char *argv[40] = {"redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s->dir};
    char port[16];
    pid_t parent = getpid();
    int argc = 9;

    (void)snprintf(port, sizeof(port), "%d", s->port);
    for (; more != NULL && *more != NULL && argc < 36; more++)
        argv[argc++] = *more;
    if (more == NULL || strcmp(argv[9], "--port") != 0) {
        argv[argc++] = "--port";
        argv[argc++] = port;
    }
    s->pid = fork();
    CHECK(s->pid >= 0);
    if (s->pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        (void)dup2(null, STDOUT_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

__attribute__((unused)) static void server_kill(struct redis_server *s)
{
    if (s->pid == 0)
        return;
    (void)kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

__attribute__((unused)) static void server_done(struct redis_server *s)
{
    char command[128];

    server_kill(s);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
    (void)!system(command);
}

#endif
