/* SPDX-License-Identifier: Apache-2.0 */
/* A running service, asked through its admin server: one plain GET per question, at most 5 s. Main thread. */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include <stddef.h>

#include "cli/cli.h"

struct buf;
struct config;

struct service {
    char url[400]; /* as people write it: "http://127.0.0.1:8088"; "(nowhere)" with `unknown` */
    char host[256];
    char port[8];
    char prefix[64];     /* of every path, "" or "/tutti" */
    const char *unknown; /* why there is nobody to ask; NULL: there may be */
};

/* The configuration of this invocation; where there is no file, that of `tutti dev`. Problems are printed; returns the
 * exit code, *out only with CLI_OK. */
int service_config(const struct cli *c, struct config **out);
/* Where it listens: --url of this invocation, else admin.listen (config may be NULL with --url). Returns CLI_OK, or
 * CLI_USAGE with the mistake printed. */
int service_find(struct service *s, const struct cli *c, const struct config *config);
/* GET of a path ("/readyz"). The body goes to `out`.
 * Returns the HTTP status; negative errno with why[size]: nobody answered in time, or it was no HTTP */
int service_get(const struct service *s, const char *path, struct buf *out, char *why, size_t size);

#endif
