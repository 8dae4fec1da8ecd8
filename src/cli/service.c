/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.0 over one socket: connect, ask, read to the end, all within one deadline. No TLS: the admin server has none.
 * Main thread; blocks. */
#include "cli/service.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/builtin.h"
#include "app/config.h"
#include "base/buf.h"

enum { PATIENCE_MS = 5000, ANSWER_MAX = 64 * 1024 * 1024, READ_BYTES = 16384 };

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int service_config(const struct cli *c, struct config **out)
{
    const struct builtin builtin = {.brokers = BUILTIN_BROKERS, .sim = BUILTIN_SIM, .env = c->env};
    bool is_built_in;
    struct buf text;
    int code;

    buf_init(&text, 0);
    builtin_write(&builtin, &text);
    code = cli_load_config_or(c, text.p, out, &is_built_in);
    buf_done(&text);
    return code;
}

/* host:port, IPv6 in brackets. False: not of this form. */
static bool split(struct service *s, const char *address, size_t len)
{
    const char *colon = memrchr(address, ':', len);
    size_t host_len = colon != NULL ? (size_t)(colon - address) : 0;
    size_t port_len = colon != NULL ? len - host_len - 1 : 0;

    if (host_len >= 2 && address[0] == '[' && address[host_len - 1] == ']') {
        address++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= sizeof(s->host) || port_len == 0 || port_len > 5 ||
        strspn(colon + 1, "0123456789") < port_len)
        return false;
    (void)snprintf(s->host, sizeof(s->host), "%.*s", (int)host_len, address);
    (void)snprintf(s->port, sizeof(s->port), "%.*s", (int)port_len, colon + 1);
    return true;
}

static int take_url(struct service *s, const struct cli *c, const char *url)
{
    const char *address = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    size_t len = strcspn(address, "/");
    char with_port[300];

    if (strncmp(url, "https://", 8) == 0)
        return cli_usage(c, "--url takes http://: the admin server has no TLS");
    (void)snprintf(with_port, sizeof(with_port), "%.*s", (int)len, address);
    if (address != url && strchr(with_port, ':') == NULL)
        (void)snprintf(with_port, sizeof(with_port), "%.*s:80", (int)len, address);
    (void)snprintf(s->prefix, sizeof(s->prefix), "%s", address + len);
    while (*s->prefix != '\0' && s->prefix[strlen(s->prefix) - 1] == '/')
        s->prefix[strlen(s->prefix) - 1] = '\0';
    if (strlen(address + len) >= sizeof(s->prefix) || !split(s, with_port, strlen(with_port)))
        return cli_usage(c, "--url takes http://HOST:PORT, not '%s'", url);
    (void)snprintf(s->url, sizeof(s->url), "http://%s%s", with_port, s->prefix);
    return CLI_OK;
}

int service_find(struct service *s, const struct cli *c, const struct config *config)
{
    const char *url = cli_flag(c, "url");
    bool is_any;

    memset(s, 0, sizeof(*s));
    if (url != NULL)
        return take_url(s, c, url);
    (void)snprintf(s->url, sizeof(s->url), "http://%s", config->admin_listen);
    if (strcmp(config->admin_listen, "off") == 0)
        s->unknown = "admin.listen is off";
    else if (!split(s, config->admin_listen, strlen(config->admin_listen)))
        s->unknown = "admin.listen is no address";
    else if (strcmp(s->port, "0") == 0)
        s->unknown = "admin.listen has port 0, so that the port is only in the log: name it with --url";
    if (s->unknown != NULL)
        (void)snprintf(s->url, sizeof(s->url), "(nowhere)");
    is_any = strcmp(s->host, "0.0.0.0") == 0 || strcmp(s->host, "::") == 0;
    if (is_any) /* it listens everywhere: also here */
        (void)snprintf(s->host, sizeof(s->host), "%s", strcmp(s->host, "::") == 0 ? "::1" : "127.0.0.1");
    return CLI_OK;
}

/* 0, or a negative errno. */
static int wait_for(int fd, short what, int64_t end_ms)
{
    struct pollfd p = {.fd = fd, .events = what};
    int64_t left_ms = end_ms - now_ms();
    int n = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(const struct addrinfo *a, int64_t end_ms)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    socklen_t len = sizeof(int);
    int error = 0, r;

    if (fd < 0)
        return -errno;
    r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
    if (r == -EINPROGRESS) {
        r = wait_for(fd, POLLOUT, end_ms);
        if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
            r = -error;
    }
    if (r == 0)
        return fd;
    (void)close(fd);
    return r;
}

static int open_service(const struct service *s, int64_t end_ms, char *why, size_t size)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all;
    int r = getaddrinfo(s->host, s->port, &hints, &all);
    int fd = -ECONNREFUSED;

    if (r != 0) {
        (void)snprintf(why, size, "%s", gai_strerror(r));
        return -EHOSTUNREACH;
    }
    for (const struct addrinfo *a = all; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_to(a, end_ms);
    freeaddrinfo(all);
    if (fd < 0)
        (void)snprintf(why, size, "%s", strerror(-fd));
    return fd;
}

/* 0 at the end, or a negative errno. */
static int talk(int fd, const struct buf *request, struct buf *answer, int64_t end_ms)
{
    size_t sent = 0;
    ssize_t n;
    int r = 0;

    while (r == 0 && sent < request->len) {
        n = send(fd, request->p + sent, request->len - sent, MSG_NOSIGNAL);
        if (n >= 0)
            sent += (size_t)n;
        else
            r = errno == EAGAIN ? wait_for(fd, POLLOUT, end_ms) : errno == EINTR ? 0 : -errno;
    }
    while (r == 0 && answer->len < ANSWER_MAX) {
        char part[READ_BYTES];

        n = recv(fd, part, sizeof(part), 0);
        if (n == 0)
            return 0;
        if (n > 0)
            buf_add(answer, part, (size_t)n);
        else
            r = errno == EAGAIN ? wait_for(fd, POLLIN, end_ms) : errno == EINTR ? 0 : -errno;
    }
    return r < 0 ? r : -EMSGSIZE;
}

/* The status, with the head cut off; -EPROTO: no HTTP. */
static int cut_head(struct buf *answer, struct buf *out)
{
    const char *end = answer->len > 0 ? strstr(answer->p, "\r\n\r\n") : NULL;
    const char *blank = answer->len > 0 ? strchr(answer->p, ' ') : NULL;
    long status;

    if (end == NULL || blank == NULL || strncmp(answer->p, "HTTP/1.", 7) != 0)
        return -EPROTO;
    status = strtol(blank, NULL, 10);
    if (status < 100 || status > 599)
        return -EPROTO;
    buf_add(out, end + 4, answer->len - (size_t)(end + 4 - answer->p));
    return (int)status;
}

int service_get(const struct service *s, const char *path, struct buf *out, char *why, size_t size)
{
    int64_t end_ms = now_ms() + PATIENCE_MS;
    struct buf request, answer;
    int fd, r;

    if (s->unknown != NULL) {
        (void)snprintf(why, size, "%s", s->unknown);
        return -EADDRNOTAVAIL;
    }
    fd = open_service(s, end_ms, why, size);
    if (fd < 0)
        return fd;
    buf_init(&request, 0);
    buf_init(&answer, 0);
    buf_printf(&request, "GET %s%s HTTP/1.0\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", s->prefix, path, s->host,
               s->port);
    r = talk(fd, &request, &answer, end_ms);
    if (r == 0)
        r = cut_head(&answer, out);
    if (r < 0)
        (void)snprintf(why, size, "%s",
                       r == -EPROTO      ? "it does not answer like a tutti"
                       : r == -ETIMEDOUT ? "no answer within 5 s"
                                         : strerror(-r));
    (void)close(fd);
    buf_done(&request);
    buf_done(&answer);
    return r;
}
