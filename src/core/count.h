/* SPDX-License-Identifier: Apache-2.0 */
/* What calls and jobs add to the metrics. Loop thread. The words of the labels are set with
 * count_words() (core/registry.h). */
#ifndef CORE_COUNT_H
#define CORE_COUNT_H

#include "core/job.h"

/* An attempt of the call ended with `o`; recalled ones are not counted again. */
void count_attempt(const struct call *c, const struct outcome *o);
void count_retry(const struct call *c);
/* A transfer of the call begins (1) or is over (-1). */
void count_under_way(const struct call *c, int n);
/* The job's terminal record is made: a dead letter or a result. */
void count_job(const struct job *j);

#endif
