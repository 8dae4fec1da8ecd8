/* SPDX-License-Identifier: Apache-2.0 */
/* Records and commits of the memory broker. Pure memory. */
#include "broker/mem_topics.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct log {
    struct message *messages; /* owned copies, by growing offset */
    size_t n, cap;
    int64_t next;
    int64_t base; /* committed */
    char *metadata;
};

struct mem_topics {
    int n_partitions;
    struct log logs[MEM_PARTITIONS_MAX];
    struct list listeners;
    struct mem_record *records;
    int n_records, cap_records;
};

struct mem_topics *mem_topics_new(int n_partitions)
{
    struct mem_topics *t = mem_zero(sizeof(*t));

    CHECK(n_partitions <= MEM_PARTITIONS_MAX);
    t->n_partitions = n_partitions;
    list_init(&t->listeners);
    return t;
}

static void free_headers(struct message_header *h, int n)
{
    for (int i = 0; i < n; i++) {
        mem_free((void *)h[i].name);
        mem_free((void *)h[i].value);
    }
    mem_free(h);
}

void mem_topics_free(struct mem_topics *t)
{
    if (t == NULL)
        return;
    CHECK(list_is_empty(&t->listeners));
    for (int p = 0; p < t->n_partitions; p++) {
        struct log *l = &t->logs[p];

        for (size_t i = 0; i < l->n; i++) {
            mem_free((void *)l->messages[i].key);
            mem_free((void *)l->messages[i].value);
            free_headers((struct message_header *)l->messages[i].headers, l->messages[i].n_headers);
        }
        mem_free(l->messages);
        mem_free(l->metadata);
    }
    for (int i = 0; i < t->n_records; i++) {
        mem_free(t->records[i].key);
        mem_free(t->records[i].value);
        free_headers(t->records[i].headers, t->records[i].n_headers);
    }
    mem_free(t->records);
    mem_free(t);
}

static struct message_header *copy_headers(const struct message_header *h, int n)
{
    struct message_header *out = mem_zero(sizeof(*out) * (size_t)(n + 1));

    for (int i = 0; i < n; i++) {
        out[i].name = mem_strdup(h[i].name);
        out[i].value = h[i].value != NULL ? mem_strndup(h[i].value, h[i].value_len) : NULL;
        out[i].value_len = h[i].value_len;
    }
    return out;
}

void mem_topics_listen(struct mem_topics *t, struct topics_listener *l)
{
    list_add_tail(&t->listeners, &l->link);
}

int64_t mem_topics_append(struct mem_topics *t, int partition, const struct message *m, int gap)
{
    struct log *l = &t->logs[partition];
    struct message *copy;

    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->messages = mem_resize(l->messages, l->cap * sizeof(*l->messages));
    }
    copy = &l->messages[l->n++];
    *copy = *m;
    copy->offset = l->next + gap;
    copy->key = m->key != NULL ? mem_strndup(m->key, m->key_len) : NULL;
    copy->value = m->value != NULL ? mem_strndup(m->value, m->value_len) : NULL;
    copy->headers = copy_headers(m->headers, m->n_headers);
    l->next = copy->offset + 1;
    LIST_EACH (it, &t->listeners) {
        struct topics_listener *listener = LIST_ENTRY(it, struct topics_listener, link);

        listener->fn(listener->arg, partition);
    }
    return l->next - 1;
}

const struct mem_record *mem_topics_records(const struct mem_topics *t, int *out_n)
{
    *out_n = t->n_records;
    return t->records;
}

int64_t mem_topics_position(const struct mem_topics *t, int partition, const char **out_metadata)
{
    *out_metadata = t->logs[partition].metadata;
    return t->logs[partition].base;
}

int64_t mem_topics_high(const struct mem_topics *t, int partition)
{
    return t->logs[partition].next;
}

size_t mem_topics_index(const struct mem_topics *t, int partition, int64_t offset)
{
    const struct log *l = &t->logs[partition];
    size_t i = 0;

    while (i < l->n && l->messages[i].offset < offset)
        i++;
    return i;
}

bool mem_topics_get(const struct mem_topics *t, int partition, size_t index, struct message *out)
{
    const struct log *l = &t->logs[partition];

    if (index >= l->n)
        return false;
    *out = l->messages[index];
    return true;
}

void mem_topics_commit(struct mem_topics *t, int partition, int64_t base, const char *metadata)
{
    struct log *l = &t->logs[partition];

    l->base = base;
    mem_free(l->metadata);
    l->metadata = mem_strdup(metadata);
}

void mem_topics_add_record(struct mem_topics *t, const struct record *r)
{
    struct mem_record *out;

    if (t->n_records == t->cap_records) {
        t->cap_records = t->cap_records == 0 ? 64 : t->cap_records * 2;
        t->records = mem_resize(t->records, (size_t)t->cap_records * sizeof(*t->records));
    }
    out = &t->records[t->n_records++];
    memset(out, 0, sizeof(*out));
    out->output = r->output;
    if (r->key != NULL)
        out->key = mem_strndup(r->key, r->key_len);
    out->key_len = r->key_len;
    if (r->value != NULL)
        out->value = mem_strndup(r->value, r->value_len);
    out->value_len = r->value_len;
    out->headers = copy_headers(r->headers, r->n_headers);
    out->n_headers = r->n_headers;
}
