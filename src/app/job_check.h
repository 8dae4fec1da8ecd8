/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at jobs with the service's own decoder before they are sent: what would be a dead letter is told at once. */
#ifndef APP_JOB_CHECK_H
#define APP_JOB_CHECK_H

#include <stddef.h>

#include "core/job.h"

struct config;
struct job_check;

/* What one record says; texts live until the next one is looked at. */
struct job_seen {
    struct job_error error; /* error.code NULL: a job */
    const char *custom_id;  /* NULL: none */
    const char *own_id;     /* "job_id run" as the service holds them against each other; NULL: from its position */
    const char *strange;    /* a model that the configuration does not name; NULL: all are known */
};

/* config  must outlive it. thread  main */
struct job_check *job_check_new(const struct config *config);
void job_check_free(struct job_check *c);
void job_check_look(struct job_check *c, const char *value, size_t len, struct job_seen *out);

#endif
