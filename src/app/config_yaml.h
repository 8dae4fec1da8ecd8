/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text to a tree of nodes with places. The only file that knows libfyaml. Main thread. */
#ifndef APP_CONFIG_YAML_H
#define APP_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "app/config_report.h"

struct arena;

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING, YAML_REFUSED /* an alias: already reported */ };

/* One value. In a mapping `key` is its key; all memory in the arena. */
struct yaml_node {
    enum yaml_kind kind;
    struct config_place place;
    struct yaml_node *key; /* NULL in a sequence and at the root */
    struct yaml_node *next;
    struct yaml_node *first; /* children */
    struct yaml_node *last;
    const char *text; /* scalar: NUL-terminated */
    size_t len;
    bool is_plain;    /* scalar without quotes: null, true and 1 mean themselves */
    bool is_verbatim; /* from the environment or a flag: no references, a list is comma-separated */
};

enum { YAML_DEPTH_MAX = 16, YAML_BYTES_MAX = 4 * 1024 * 1024 };

/* Parses the document. NULL, with one problem in the report, when it is not YAML; an empty document is an empty
 * mapping. Anchors, aliases, tags and duplicate keys are reported too, and parsing goes on. */
struct yaml_node *yaml_parse(struct arena *a, const char *bytes, size_t len, struct config_report *report);
/* A node of the caller's own, with the given text. */
struct yaml_node *yaml_new(struct arena *a, enum yaml_kind kind, struct config_place at, const char *text);
/* Adds a child; in a mapping with its key. */
void yaml_add(struct yaml_node *parent, struct yaml_node *key, struct yaml_node *child);
/* The value of a key, NULL when absent. */
struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key);
/* True for an unquoted null, ~ or nothing at all. */
bool yaml_is_null(const struct yaml_node *n);
/* "a mapping", "a list", "a text" */
const char *yaml_kind_name(const struct yaml_node *n);

#endif
