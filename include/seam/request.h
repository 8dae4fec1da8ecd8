/* SPDX-License-Identifier: Apache-2.0 */
/* The plain data of one provider request, before any dialect. */
#ifndef SEAM_REQUEST_H
#define SEAM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* One `params` entry: name as the job or config gives it, value as raw JSON. */
struct request_param {
    struct text name;
    struct text json;
    /* NULL: a parameter of ours, which each dialect spells its own way. Else the `api` word of the dialect whose batch
     * line it came from: that dialect sends it unchanged at the top level of the body, the others drop it with a note.
     */
    const char *dialect;
};

enum part_kind { PART_TEXT, PART_IMAGE };

struct message_part {
    enum part_kind kind;
    struct text text; /* either form; PART_IMAGE: an http(s) URL, or data:<mime>;base64,<bytes> */
};

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL };

struct chat_message {
    enum role role;
    const struct message_part *parts; /* parts[n_parts] */
    int n_parts;
    struct text tool_calls;   /* ROLE_ASSISTANT: raw JSON array in OpenAI's shape; TEXT_NONE */
    struct text tool_call_id; /* ROLE_TOOL: the call it answers; TEXT_NONE */
};

struct request {
    const char *base_url;                /* provider's, without a slash at the end */
    const char *vendor_model;            /* the name sent to the vendor */
    struct text system;                  /* TEXT_NONE: none; stands before ROLE_SYSTEM messages */
    const struct chat_message *messages; /* messages[n_messages], >= 1 */
    int n_messages;
    struct text tools;                  /* raw JSON array in OpenAI's shape; TEXT_NONE */
    struct text tool_choice;            /* raw JSON in OpenAI's shape; TEXT_NONE */
    const struct request_param *params; /* params[n_params], model defaults already overlaid by the job's */
    size_t n_params;
    const char *const *drop_params; /* drop_params[n_drop_params]: names this model refuses (models.*.drop_params) */
    size_t n_drop_params;
    int64_t max_output_tokens;   /* > 0; params' own max_output_tokens is already folded in */
    const char *idempotency_key; /* stable per call and attempt chain */
};

#endif
