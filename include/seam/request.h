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
};

struct request {
    const char *base_url;               /* provider's, without a slash at the end */
    const char *vendor_model;           /* the name sent to the vendor */
    struct text system;                 /* TEXT_NONE: none */
    struct text prompt;                 /* the user's message; either form of struct text */
    const struct request_param *params; /* params[n_params], model defaults already overlaid by the job's */
    size_t n_params;
    int64_t max_output_tokens;   /* > 0; params' own max_output_tokens is already folded in */
    const char *idempotency_key; /* stable per call and attempt chain */
};

#endif
