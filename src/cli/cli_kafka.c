/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' way to Kafka. Main thread. */
#include "cli/cli_kafka.h"

#include <errno.h>
#include <string.h>

#include "app/builtin.h"
#include "app/config.h"
#include "base/buf.h"
#include "base/mem.h"

int cli_kafka_init(struct cli_kafka *k, const struct cli *c)
{
    const char *brokers = cli_flag(c, "brokers");
    const struct builtin builtin = {.brokers = brokers != NULL ? brokers : BUILTIN_BROKERS, .sim = BUILTIN_SIM};
    const struct config_map *map;
    struct buf text;
    int code;

    memset(k, 0, sizeof(*k));
    buf_init(&text, 0);
    builtin_write(&builtin, &text);
    if (brokers != NULL && c->config_path == NULL) {
        k->is_built_in = true;
        code = cli_parse_config(c, text.p, &k->config);
    } else {
        code = cli_load_config_or(c, text.p, &k->config, &k->is_built_in);
    }
    buf_done(&text);
    if (code != CLI_OK)
        return code;
    map = &k->config->kafka.properties;
    k->properties = mem_zero(sizeof(*k->properties) * (map->n + 1));
    for (size_t i = 0; i < map->n; i++)
        k->properties[i] = (struct kafka_property){map->pairs[i].name, map->pairs[i].value};
    k->client = (struct kafka_client_conf){.brokers = brokers != NULL ? brokers : k->config->kafka.brokers,
                                           .properties = k->properties,
                                           .n_properties = (int)map->n};
    return CLI_OK;
}

void cli_kafka_done(struct cli_kafka *k)
{
    config_free(k->config);
    mem_free(k->properties);
    memset(k, 0, sizeof(*k));
}

int cli_kafka_failed(const struct cli *c, const struct cli_kafka *k, int r, const char *why)
{
    (void)fprintf(c->err, "tutti %s: %s%s\n", c->command->name, why,
                  r == -EHOSTUNREACH && k->is_built_in
                      ? ": start 'tutti dev' in another terminal, or name a server with "
                        "--brokers"
                      : "");
    return r == -EACCES ? CLI_REFUSED : r == -ENOENT ? CLI_NO_INPUT : r == -EINVAL ? CLI_CONFIG : CLI_UNAVAILABLE;
}
