/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON into a struct buf, compact, commas placed by itself. The caller balances open and close. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/text.h"

struct json_write {
    struct buf *b;
    bool needs_comma;
};

void jw_init(struct json_write *w, struct buf *b);
void jw_open(struct json_write *w, char bracket);        /* '{' or '[' */
void jw_close(struct json_write *w, char bracket);       /* '}' or ']' */
void jw_key(struct json_write *w, const char *key);      /* key needs no escaping: our own names */
void jw_key_text(struct json_write *w, struct text key); /* any key */
void jw_text(struct json_write *w, struct text t);       /* a string, null when TEXT_NONE */
void jw_str(struct json_write *w, const char *s);        /* a string, null when NULL */
void jw_int(struct json_write *w, int64_t v);
void jw_bool(struct json_write *w, bool v);
void jw_null(struct json_write *w);
void jw_raw(struct json_write *w, struct text json); /* a value as it stands; null when TEXT_NONE */
void jw_usd(struct json_write *w, int64_t nano_usd); /* 1234567890 -> 1.23456789 (at most 9 decimals) */
/* Key and value in one: null when the value says "unknown" (NULL, TEXT_NONE, v < 0 for the _opt ones). */
void jw_kv_text(struct json_write *w, const char *key, struct text t);
void jw_kv_str(struct json_write *w, const char *key, const char *s);
void jw_kv_int(struct json_write *w, const char *key, int64_t v);
void jw_kv_int_opt(struct json_write *w, const char *key, int64_t v);
void jw_kv_usd_opt(struct json_write *w, const char *key, int64_t nano_usd);
void jw_kv_bool(struct json_write *w, const char *key, bool v);
void jw_kv_null(struct json_write *w, const char *key);
void jw_kv_raw(struct json_write *w, const char *key, struct text json);

#endif
