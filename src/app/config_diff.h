/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two configurations, by the option table. Names of options only, never values. */
#ifndef APP_CONFIG_DIFF_H
#define APP_CONFIG_DIFF_H

struct buf;
struct config;

struct config_diff {
    int n_changed; /* options that a reload changes, entries of providers and models that came or went */
    int n_restart; /* options that differ and need a restart */
};

/* Appends the names, separated by commas: "models.gpt.limits.concurrency,models.new (new)"; a long list is cut at a
 * marked place. Any thread. */
struct config_diff config_diff(const struct config *before, const struct config *after, struct buf *out_changed,
                               struct buf *out_restart);
/* Gives `after` the values of `before` in all options that need a restart. What they point at stays `before`'s, which
 * must outlive `after`. */
void config_keep(struct config *after, const struct config *before);

#endif
