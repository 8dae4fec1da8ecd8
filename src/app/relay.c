/* SPDX-License-Identifier: Apache-2.0 */
/* Two buffer events per caller; what one side reads the other writes, and a slow side stops the reading of the other.
 * The loop's thread. */
#include "app/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop.h"

enum { BACKLOG = 128, HELD_BYTES = 1 << 20 };

struct relay {
    struct event_base *base;
    struct evconnlistener *listener;
    struct list pairs;
    int port;
    int target_port;
};

/* side[0] is the caller, side[1] the server. */
struct pair {
    struct list link;
    struct bufferevent *side[2];
};

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void pair_free(struct pair *p)
{
    list_del(&p->link);
    for (int i = 0; i < 2; i++)
        if (p->side[i] != NULL)
            bufferevent_free(p->side[i]);
    mem_free(p);
}

static struct bufferevent *other(const struct pair *p, const struct bufferevent *b)
{
    return p->side[b == p->side[0] ? 1 : 0];
}

static void on_readable(struct bufferevent *from, void *arg)
{
    struct bufferevent *to = other(arg, from);

    (void)bufferevent_write_buffer(to, bufferevent_get_input(from));
    if (evbuffer_get_length(bufferevent_get_output(to)) > HELD_BYTES)
        (void)bufferevent_disable(from, EV_READ);
}

static void on_written(struct bufferevent *to, void *arg)
{
    (void)bufferevent_enable(other(arg, to), EV_READ);
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
    (void)b;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        pair_free(arg);
}

static void set_no_delay(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* slower without, not wrong */
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    struct relay *r = arg;
    struct pair *p = mem_zero(sizeof(*p));
    struct sockaddr_in target = loopback(r->target_port);

    (void)listener, (void)from, (void)len;
    list_add_tail(&r->pairs, &p->link);
    p->side[0] = bufferevent_socket_new(r->base, fd, BEV_OPT_CLOSE_ON_FREE);
    p->side[1] = bufferevent_socket_new(r->base, -1, BEV_OPT_CLOSE_ON_FREE);
    CHECK(p->side[0] != NULL && p->side[1] != NULL);
    for (int i = 0; i < 2; i++)
        bufferevent_setcb(p->side[i], on_readable, on_written, on_event, p);
    set_no_delay(fd);
    if (bufferevent_socket_connect(p->side[1], (struct sockaddr *)&target, sizeof(target)) < 0) {
        pair_free(p);
        return;
    }
    set_no_delay(bufferevent_getfd(p->side[1]));
    for (int i = 0; i < 2; i++)
        (void)bufferevent_enable(p->side[i], EV_READ | EV_WRITE);
}

struct relay *relay_new(struct loop *loop, int port, int target_port, int *out_errno)
{
    struct relay *r = mem_zero(sizeof(*r));
    struct sockaddr_in at = loopback(port);
    socklen_t len = sizeof(at);

    list_init(&r->pairs);
    r->base = loop_event_base(loop);
    r->target_port = target_port;
    r->listener = evconnlistener_new_bind(r->base, on_accept, r,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
                                          (struct sockaddr *)&at, sizeof(at));
    if (r->listener == NULL) {
        *out_errno = errno;
        mem_free(r);
        return NULL;
    }
    CHECK(getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *)&at, &len) == 0);
    r->port = ntohs(at.sin_port);
    return r;
}

int relay_port(const struct relay *r)
{
    return r->port;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    while (!list_is_empty(&r->pairs))
        pair_free(LIST_ENTRY(r->pairs.next, struct pair, link));
    evconnlistener_free(r->listener);
    mem_free(r);
}
