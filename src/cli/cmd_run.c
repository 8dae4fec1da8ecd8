/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti run`. Main thread. */
#include "app/config.h"
#include "app/run.h"
#include "base/log.h"
#include "cli/cli.h"

int cmd_run(struct cli *c)
{
    struct config_input in;
    struct config *config;
    int r;

    if (c->n_args > 0)
        return cli_usage(c, "takes no argument, '%s' was given", c->args[0]);
    if (c->is_json)
        return cli_usage(c, "has no --json: its log has log.format: json");
    r = cli_load_config(c, &config);
    if (r != CLI_OK)
        return r;
    log_configure((enum log_level)config->log_level, (enum log_format)config->log_format);
    cli_config_input(c, &in);
    r = run_service(config, &in);
    config_free(config);
    return r;
}
