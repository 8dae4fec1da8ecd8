/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a simulator configuration (YAML or JSON) into struct sim_conf. */
#ifndef APP_SIM_FILE_H
#define APP_SIM_FILE_H

#include <stddef.h>

struct sim_conf;

/* Keys as in sim.h: listen, seed, log, api_key, defaults, models.
 * errors  -ENOENT not readable, -EINVAL not YAML or a wrong key; why[size] says what */
int sim_file_load(const char *path, struct sim_conf *out, char *why, size_t size);

#endif
