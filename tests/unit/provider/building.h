/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for the tests of the sending side, written short; and what a dialect makes of them. */
#ifndef TEST_BUILDING_H
#define TEST_BUILDING_H

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "impl/provider.h"

#define TEXT_PART(s) \
    { \
        PART_TEXT, TEXT_LIT(s) \
    }
#define IMAGE_PART(s) \
    { \
        PART_IMAGE, TEXT_LIT(s) \
    }
#define PARTS(...) \
    .parts = (const struct message_part[]){__VA_ARGS__}, \
    .n_parts = sizeof((const struct message_part[]){__VA_ARGS__}) / sizeof(struct message_part)
#define MESSAGES(...) \
    .messages = (const struct chat_message[]){__VA_ARGS__}, \
    .n_messages = sizeof((const struct chat_message[]){__VA_ARGS__}) / sizeof(struct chat_message)
#define PARAMS(...) \
    .params = (const struct request_param[]){__VA_ARGS__}, \
    .n_params = sizeof((const struct request_param[]){__VA_ARGS__}) / sizeof(struct request_param)
#define DROP_PARAMS(...) \
    .drop_params = (const char *const[]){__VA_ARGS__}, \
    .n_drop_params = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
#define USER(s) \
    { \
        .role = ROLE_USER, PARTS(TEXT_PART(s)) \
    }
/* A parameter of ours, or of a dialect's batch line. */
#define PARAM(n, v) \
    { \
        TEXT_LIT(n), TEXT_LIT(v), NULL \
    }
#define PARAM_OF(d, n, v) \
    { \
        TEXT_LIT(n), TEXT_LIT(v), d \
    }

struct build_row {
    const char *name;
    struct request q;
    const char *body;    /* NULL: refused */
    const char *dropped; /* names, each followed by a space */
};

static inline bool is_json(struct text t)
{
    struct scan s;

    scan_init(&s, t.p, t.len);
    return scan_skip(&s, NULL) == 0 && scan_end(&s) == 0;
}

/* True when the dialect makes of it what the row says; else tells the difference. */
static inline bool builds(const char *api, const struct build_row *row)
{
    struct arena *a = arena_new(1024);
    struct wire w = {.n_headers = 77};
    const char *why = NULL;
    char dropped[256] = "";
    bool is_right;
    int r = provider_find(api)->build(&row->q, a, &w, &why);

    for (int i = 0; r == 0 && i < w.n_dropped; i++) {
        size_t at = strlen(dropped);

        snprintf(dropped + at, sizeof(dropped) - at, "%.*s ", (int)w.dropped[i].len, w.dropped[i].p);
    }
    if (row->body == NULL)
        is_right = r < 0 && why != NULL && w.n_headers == 77;
    else
        is_right = r == 0 && w.body.len == strlen(row->body) && memcmp(w.body.p, row->body, w.body.len) == 0 &&
                   !w.body.is_escaped && is_json(w.body) &&
                   strcmp(dropped, row->dropped != NULL ? row->dropped : "") == 0;
    if (!is_right && r == 0)
        fprintf(stderr, "%s: dropped %s\n%.*s\nwanted\n%s\n", row->name, dropped, (int)w.body.len, w.body.p,
                row->body != NULL ? row->body : "a refusal");
    else if (!is_right)
        fprintf(stderr, "%s: %s\n", row->name, why);
    arena_free(a);
    return is_right;
}

static inline const char *header_of(const struct wire *w, const char *name)
{
    for (int i = 0; i < w->n_headers; i++)
        if (strcmp(w->headers[i].name, name) == 0)
            return w->headers[i].value;
    return NULL;
}

#endif
