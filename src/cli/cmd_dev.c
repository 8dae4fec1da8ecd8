/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti dev`. Main thread. */
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/dev.h"
#include "base/log.h"
#include "cli/cli.h"

/* -1: not given, -2: no port number (said so). */
static int port_flag(const struct cli *c, const char *name)
{
    const char *value = cli_flag(c, name);
    char *end;
    long port;

    if (value == NULL)
        return -1;
    port = strtol(value, &end, 10);
    if (*value != '\0' && *end == '\0' && port >= 0 && port <= 65535)
        return (int)port;
    (void)cli_usage(c, "--%s takes a port number, not '%s'", name, value);
    return -2;
}

int cmd_dev(struct cli *c)
{
    const struct dev_conf conf = {.kafka_port = port_flag(c, "port"),
                                  .sim_port = port_flag(c, "sim-port"),
                                  .admin_port = port_flag(c, "admin-port")};
    struct config *config = NULL;
    char why[256];
    struct dev *d;
    int code;

    if (conf.kafka_port < -1 || conf.sim_port < -1 || conf.admin_port < -1)
        return CLI_USAGE;
    if (c->n_args > 0)
        return cli_usage(c, "takes no argument, '%s' was given", c->args[0]);
    if (c->is_json || c->config_path != NULL)
        return cli_usage(c, "has no %s: it brings its own configuration; change an option with --set",
                         c->is_json ? "--json" : "--config");
    d = dev_new(&conf, why, sizeof(why));
    if (d == NULL) {
        (void)fprintf(c->err, "tutti dev: cannot listen: %s\n", why);
        return CLI_UNAVAILABLE;
    }
    code = cli_parse_config(c, dev_config(d), &config);
    if (code == CLI_OK) {
        log_configure((enum log_level)config->log_level, (enum log_format)config->log_format);
        code = dev_run(d, config, c->out);
    }
    config_free(config);
    dev_free(d);
    return code;
}
