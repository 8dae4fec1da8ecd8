/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that turn a YAML tree into struct config. Main thread. */
#ifndef APP_CONFIG_INTERNAL_H
#define APP_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "app/config.h"
#include "app/config_report.h"
#include "app/config_table.h"
#include "app/config_yaml.h"

enum option_state { OPTION_UNSET, OPTION_SET, OPTION_BAD };

/* One structure that the table writes into, and where each of its values came from. */
struct config_object {
    enum option_home home;
    void *base;                             /* struct config, config_provider or config_model */
    const char *path;                       /* "", "providers.openai", "models.gpt" */
    struct config_place place;              /* of its key */
    enum option_state state[OPTION_MAX];    /* by option_index() */
    struct config_place places[OPTION_MAX]; /* valid unless UNSET */
};

struct config_loader {
    const struct config_input *in;
    struct config_report *report;
    struct config *config;
    struct arena *arena;           /* the config's */
    const char *dir;               /* that relative paths count from */
    struct config_object *objects; /* objects[n_objects]; [0] is the config itself */
    size_t n_objects;
};

/* Reads one option's value into its field and notes its place and state. `path` is the option's real name
 * ("models.gpt.price.input"). */
void config_value_set(struct config_loader *l, struct config_object *o, const struct option *opt,
                      const struct yaml_node *node, const char *path);
/* Reads a map option (kafka.properties, params); false when a problem was reported. */
bool config_value_map(struct config_loader *l, const struct option *opt, const struct yaml_node *node, const char *path,
                      struct config_map *out);
/* `text` (of this node) with its ${} references replaced, in the arena; NULL when a problem was reported. */
const char *config_expand(struct config_loader *l, const struct yaml_node *node);
/* Reports text with control characters, as `path`'s problem. */
bool config_text_is_clean(struct config_loader *l, struct config_place at, const char *path, const char *text);
/* A path as the file means it. */
const char *config_resolve(struct config_loader *l, const char *path);
/* Value of an environment variable, NULL when unset. */
const char *config_getenv(const struct config_input *in, const char *name);
/* The whole file in the arena, NUL-terminated; NULL with errno set (EFBIG above `max`). "-" is stdin. */
char *config_read_file(struct arena *a, const char *path, size_t max, size_t *out_len);
/* Applies TUTTI_* variables and --set to the tree. */
void config_override(struct config_loader *l, struct yaml_node *root);
/* Writes every option in effect with where it came from. */
void config_show(const struct config_loader *l, bool is_json, struct buf *out);
/* What no single value can say: references between options, limits, deadlines; and computed defaults. */
void config_cross_check(struct config_loader *l);
/* State and place of an option (path with '*') in an object; an unset option's place is the object's key. */
enum option_state config_state_of(const struct config_object *o, const char *option, struct config_place *out_at);

#endif
