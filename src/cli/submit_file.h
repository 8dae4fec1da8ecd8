/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a file of jobs, looked at before anything is sent. */
#ifndef CLI_SUBMIT_FILE_H
#define CLI_SUBMIT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct cli;
struct config;

struct submit_line {
    const char *value; /* in the file's bytes, or in `made` */
    size_t len;
    char *made; /* the value with --batch-id put in; NULL: as it stands */
    char *key;  /* custom_id; NULL: none */
    int number; /* in the file, from 1 */
};

struct submit_file {
    struct buf bytes;
    struct submit_line *lines; /* lines[n]: the good ones */
    size_t n;
    size_t n_bad;
};

/* Reads FILE ("-": stdin). CLI_OK, or an exit code with the reason printed. submit_file_done() it. */
int submit_file_read(struct submit_file *f, const struct cli *c, const char *path);
/* Splits and checks; what is wrong is printed as "file:line: pointer: message", at most 50 of it.
 * batch_id   put into each job; NULL: none
 * tells      models that the configuration does not name are worth a word */
void submit_file_check(struct submit_file *f, const struct cli *c, const struct config *config, const char *path,
                       const char *batch_id, bool tells);
void submit_file_done(struct submit_file *f);

#endif
