/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti run`: the service, from configuration to exit code. */
#ifndef APP_RUN_H
#define APP_RUN_H

struct config;
struct config_input;
struct loop;

/* Runs until a signal or a failure; SIGHUP reads the configuration again from `in`. Returns the sysexits code: 0 after
 * a drain, 69 when Redis or Kafka could not be reached at start, 70 and 77 as the workers say, 75 after a second
 * signal. thread  main; starts and joins one thread per worker */
int run_service(const struct config *config, const struct config_input *in);
/* The same for `tutti dev`: on the caller's main loop, which has servers of its own (librdkafka's mock cluster among
 * them), with limits kept in this process. The loop stays the caller's. */
int run_service_beside(const struct config *config, struct loop *loop);

#endif
