/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list; header only. A node outside any list points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

/* True when the node is in some list (it must have been list_init()ed). */
static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_add_head(struct list *head, struct list *node)
{
    list_add_tail(head->next, node);
}

/* Takes the node out; fine when it is in no list. */
static inline void list_del(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* First node taken out of the list, or NULL. */
static inline struct list *list_take_first(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_del(node);
    return node;
}

/* Moves all nodes of `from` to the tail of `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The same, and `it` may be deleted inside. */
#define LIST_EACH_SAFE(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)
#define LIST_ENTRY(ptr, type, member) CONTAINER_OF(ptr, type, member)

#endif
