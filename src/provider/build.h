/* SPDX-License-Identifier: Apache-2.0 */
/* What the dialects share in building a request: one buffer, notes of what is left out, images, the system text, and
 * what a model's name tells. Pure but for the arena; any thread. */
#ifndef PROVIDER_BUILD_H
#define PROVIDER_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json_write.h"
#include "seam/provider.h"

struct arena;

/* One request being built. build_begin() .. build_end() on the caller's stack. */
struct building {
    const struct request *q;
    struct arena *a;
    const char *api; /* the dialect's name */
    struct wire wire;
    struct buf body;
    struct json_write w;
    int error; /* the first one: -EINVAL, -E2BIG; 0 */
    const char *why;
};

void build_begin(struct building *b, const struct request *q, const char *api, struct arena *a);
/* Remembers the first failure; the walk goes on. */
void build_fail(struct building *b, int error, const char *why);
/* Body, common headers and `url` into *out, or the error and its *why; frees the buffer. */
int build_end(struct building *b, const char *url, struct wire *out, const char **why);

void build_header(struct wire *w, const char *name, const char *value);
/* base_url + version (unless the base ends in a version of its own, "/v1") + path, a query of the base behind it. */
const char *build_url(struct arena *a, const char *base_url, const char *version, const char *path);

/* Notes that something was left out (once). */
void build_drop(struct building *b, struct text name);
/* Does the operator say that this model refuses it? */
bool build_is_refused(const struct building *b, const char *name);
/* Whether a parameter takes part: not when it is folded into max_output_tokens, speaks another dialect or is refused
 * by the model (noted). Fails the building when it is none or would set what the request itself says. */
bool build_takes(struct building *b, const struct request_param *p);
/* A parameter that came in this dialect's own words under `name`, or NULL. */
const struct request_param *build_own_param(const struct building *b, const char *name);
/* Text is one of the n words. */
bool build_is_one_of(struct text t, const char *const *words, size_t n);

/* Tools and images as the model may have them: with a note, TEXT_NONE or false, when it refuses them. */
struct text build_tools(struct building *b);
/* Will there be tools, ours or in the dialect's own words? */
bool build_has_tools(const struct building *b);
bool build_has_images(struct building *b);
/* Is there a part or call in this message that will be sent? */
bool build_has_content(struct building *b, const struct chat_message *m, bool has_images);

/* Is there a system text (from q->system or ROLE_SYSTEM messages)? */
bool build_has_system(const struct building *b);
/* Writes it as one JSON string, its pieces with an empty line between. */
void build_write_system(struct building *b);
/* A JSON string or array of strings as an array. */
void build_write_strings(struct building *b, struct text json);

/* An image: inline when `data` is there, else the URL. All plain or as escaped as the part. */
struct image {
    struct text mime; /* "image/png"; TEXT_NONE: unknown */
    struct text data; /* base64; TEXT_NONE: the part is a URL */
};
/* Takes the URL of an image part apart; fails the building for a data: URL that is not base64. */
bool build_image(struct building *b, const struct message_part *p, struct image *out);

/* 405 of "claude-sonnet-4-5-20250929", 300 of "gemini-3-flash": the first number behind `prefix` and the one that
 * directly follows it (numbers below 100, so no dates); -1: no such name or no number in it. */
int model_version(const char *name, const char *prefix);

#endif
