/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: one row per key. Parser, checks, documentation and `config explain` come from it. Constant. */
#ifndef APP_CONFIG_TABLE_H
#define APP_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPT_STRING,   /* const char * */
    OPT_SECRET,   /* const char *, never shown */
    OPT_URL,      /* const char *, slashes at the end removed; schemes in `words` */
    OPT_PATH,     /* const char *, relative to the file's directory, must be readable */
    OPT_INT,      /* int64_t */
    OPT_COUNT,    /* int64_t, 25k */
    OPT_SIZE,     /* int64_t bytes */
    OPT_DURATION, /* int64_t us */
    OPT_MONEY,    /* int64_t nano-dollars, -1 when absent */
    OPT_BOOL,     /* bool */
    OPT_ENUM,     /* int, index into `words` */
    OPT_LIST,     /* struct config_list */
    OPT_MAP_TEXT, /* struct config_map, values as text */
    OPT_MAP_JSON, /* struct config_map, values as JSON */
    OPT_TYPE_MAX
};

/* The structure that `offset` counts from. */
enum option_home { HOME_CONFIG, HOME_PROVIDER, HOME_MODEL, HOME_MAX };

enum option_flag {
    OPT_REQUIRED = 1,
    OPT_RELOAD = 2, /* takes effect on SIGHUP (CONTRACTS 9) */
    OPT_AUTO = 4,   /* the word `auto` is allowed: NULL or 0 */
    OPT_HIDDEN = 8, /* a list of secrets, never shown */
};

/* What a text must look like; NULL: anything without control characters. */
typedef bool (*option_form)(const char *s);

struct option {
    const char *path; /* '*' stands for a name the user chooses */
    enum option_type type;
    enum option_home home;
    size_t offset;
    unsigned flags;
    int64_t min; /* numbers only; both 0: no range */
    int64_t max;
    const char *fallback;      /* the default, as it would be written; NULL: none */
    const char *fallback_help; /* what stands in the manual instead of a computed default */
    const char *words;         /* ENUM, URL: allowed words separated by spaces */
    option_form form;
    const char *form_help; /* what `form` accepts: "letters, digits, ..." */
    const char *help;
};

enum { OPTION_MAX = 96 };

/* All rows; *out_n <= OPTION_MAX. */
const struct option *option_all(size_t *out_n);
/* The row of this path (with '*'), or NULL. */
const struct option *option_find(const char *path);
/* True when rows exist below the path ("kafka.topics", "models.*"). */
bool option_is_section(const char *path);
/* Row number, for arrays of OPTION_MAX. */
size_t option_index(const struct option *o);
/* "count", "duration" ... for messages and the manual. */
const char *option_type_name(enum option_type type);
/* Names that may follow `path` (at most `max`, without duplicates). Returns how many; the strings live in
 * buffers[n][64]. */
size_t option_children(const char *path, char buffers[][64], size_t max);
/* What another product's key is called here ("rpm" -> "requests_per_minute"), or NULL. */
const char *option_foreign(const char *key);
/* Word number `i` of a space separated list copied to `out`; false past the end. */
bool option_word(const char *words, size_t i, char *out, size_t out_size);
/* Writes a number of this type as it would be written in the file: 500ms, 4MiB, 25k. */
void option_write_number(enum option_type type, int64_t v, char *out, size_t out_size);
/* TUTTI_KAFKA__BROKERS, or false for a key inside a map, which has no variable. */
bool option_env_name(const struct option *o, char *out, size_t out_size);

#endif
