/* SPDX-License-Identifier: Apache-2.0 */
/* One wire dialect. Pure: no I/O, no clock. */
#ifndef SEAM_PROVIDER_H
#define SEAM_PROVIDER_H

#include <stdint.h>

#include "seam/http.h"
#include "seam/request.h"

struct arena;
struct outcome;

enum { WIRE_HEADERS_MAX = 8, WIRE_DROPPED_MAX = 16 };

/* A request ready to be sent; all memory in the arena given to build(). */
struct wire {
    const char *url;
    struct http_header headers[WIRE_HEADERS_MAX];
    int n_headers;
    struct text body; /* plain bytes */
    /* Names of params (or "tools", "images") that the dialect or the model does not take; told to the user. */
    struct text dropped[WIRE_DROPPED_MAX];
    int n_dropped;
};

struct provider_ops {
    const char *name; /* the `api` word of the configuration: "openai", "anthropic", "gemini" */
    /* URL, body and the headers that hold no secret. -E2BIG and -EINVAL with outcome-style why in *why (static text).
     */
    int (*build)(const struct request *q, struct arena *a, struct wire *out, const char **why);
    /* Adds the authentication headers. Kept apart so that keys stay out of everything that is logged or journaled. */
    void (*sign)(const char *api_key, int64_t wall_ms, struct arena *a, struct wire *w);
    /* Reads a complete response (TRANSFER_OK, any status): answer, usage, finish, fault class with detail, retry hint
     * (Retry-After-Ms, Retry-After seconds or HTTP date against wall_ms, x-should-retry). Texts are slices of
     * t->body_in or of the arena. Everything else about the transfer is filled in by the caller. */
    void (*finish)(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out);
};

#endif
