/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a topic of commands: every process all of it, from the start of what is kept, without a group. Each process has
 * one, beside its workers. */
#ifndef IMPL_BROKER_CONTROL_H
#define IMPL_BROKER_CONTROL_H

#include <stdbool.h>

#include "impl/broker_kafka.h"

struct kafka_control;
struct loop;

struct kafka_control_events {
    /* A record of the topic; those of one partition in order. */
    void (*record)(void *arg, int32_t partition, const struct message *m);
    /* Once: everything that was there has been read, or the topic cannot be read (which is logged, and tried again). */
    void (*caught_up)(void *arg);
    /* Is there room for one more record? What there is no room for stays in the topic, and is asked for again. */
    bool (*has_room)(void *arg);
};

/* Starts at once; makes the topic when it is missing. Of `conf` brokers and properties count. A topic that cannot be
 * reached or read is logged and counted, never more.
 * owns    loop, conf and topic must outlive it; kafka_control_stop(), then kafka_control_free()
 * errors  NULL with the reason logged: the library refuses a property
 * thread  the loop's */
struct kafka_control *kafka_control_new(struct loop *loop, const struct kafka_conf *conf, const char *topic,
                                        const struct kafka_control_events *events, void *arg);
/* Ends it: no event follows; done comes in a later turn, once the library's threads are gone (some seconds when no
 * broker answers). */
void kafka_control_stop(struct kafka_control *c, void (*done)(void *arg), void *arg);
/* After stop() was done. NULL is fine. */
void kafka_control_free(struct kafka_control *c);

#endif
