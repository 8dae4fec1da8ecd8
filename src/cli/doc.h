/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the admin server's documents without a fuss: what is missing or of another type is "" or 0. Any thread. */
#ifndef CLI_DOC_H
#define CLI_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline const char *doc_str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static inline int64_t doc_int(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static inline bool doc_is_null(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return v == NULL || json_is_null(v);
}

static inline bool doc_is_true(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

#endif
