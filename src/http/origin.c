/* SPDX-License-Identifier: Apache-2.0 */
/* Origins: scheme, host, port and CA file, each with its shards and its pool of easy handles. Connections of one origin
 * are kept together so that a shard with an idle connection is one that can be reused. Never talks to the network. Loop
 * thread. */
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_internal.h"

static bool is_same_file(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

static struct origin *origin_new(struct http_curl *h, const char *url, size_t key_len, const char *ca_file)
{
    struct origin *o = mem_zero(sizeof(*o));

    o->http = h;
    o->key = mem_strndup(url, key_len);
    o->key_len = key_len;
    o->ca_file = mem_strdup(ca_file);
    o->is_http = key_len > 0;
    o->is_tls = o->is_http && strncasecmp(url, "https", 5) == 0;
    for (int i = 0; i < ROOM_MAX; i++)
        list_init(&o->shards[i]);
    list_init(&o->pool);
    list_add_head(&h->origins, &o->link);
    return o;
}

struct origin *origin_get(struct http_curl *h, const char *url, const char *ca_file)
{
    size_t scheme;
    size_t key_len;

    scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
    key_len = scheme > 0 ? scheme + strcspn(url + scheme, "/?#") : 0;
    LIST_EACH (it, &h->origins) {
        struct origin *o = LIST_ENTRY(it, struct origin, link);

        if (o->key_len == key_len && memcmp(o->key, url, key_len) == 0 && is_same_file(o->ca_file, ca_file))
            return o;
    }
    return origin_new(h, url, key_len, ca_file);
}

static void trim_pool(struct origin *o, int keep)
{
    while (o->n_pool > keep) {
        struct flight *f = LIST_ENTRY(o->pool.prev, struct flight, link);

        list_del(&f->link);
        o->n_pool--;
        flight_free(f);
    }
}

void origin_free(struct origin *o)
{
    CHECK(o->n_out == 0);
    for (int i = 0; i < ROOM_MAX; i++)
        while (!list_is_empty(&o->shards[i]))
            shard_free(LIST_ENTRY(o->shards[i].next, struct shard, link));
    trim_pool(o, 0);
    list_del(&o->link);
    mem_free(o->key);
    mem_free(o->ca_file);
    mem_free(o);
}

struct flight *origin_take_flight(struct origin *o)
{
    struct list *node = list_take_first(&o->pool);

    o->n_out++;
    if (node == NULL)
        return flight_new(o);
    o->n_pool--;
    return LIST_ENTRY(node, struct flight, link);
}

void origin_put_flight(struct flight *f)
{
    struct origin *o = f->origin;

    f->t = NULL;
    list_add_head(&o->pool, &f->link);
    o->n_pool++;
    o->n_out--;
}

struct shard *origin_get_shard(struct origin *o)
{
    for (int i = 0; i < ROOM_NONE; i++)
        if (!list_is_empty(&o->shards[i]))
            return LIST_ENTRY(o->shards[i].next, struct shard, link);
    return shard_new(o);
}

bool origin_sweep(struct origin *o, int64_t now_us)
{
    bool is_empty = o->n_out == 0;

    for (int i = 0; i < ROOM_MAX; i++) {
        LIST_EACH_SAFE (it, &o->shards[i]) {
            struct shard *s = LIST_ENTRY(it, struct shard, link);

            if (s->n_active == 0 && now_us - s->unused_since_us >= HTTP_UNUSED_US)
                shard_free(s);
            else
                is_empty = false;
        }
    }
    trim_pool(o, o->n_out + o->http->max_conns);
    return is_empty;
}
