/* SPDX-License-Identifier: Apache-2.0 */
/* tutti version: what was built. Main thread. */
#include "app/build_id.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "cli/cli.h"

int cmd_version(struct cli *c)
{
    struct json_write w;
    struct buf b;

    if (c->n_args > 0)
        return cli_usage(c, "takes no argument '%s'", c->args[0]);
    buf_init(&b, 0);
    if (c->is_json) {
        jw_init(&w, &b);
        jw_open(&w, '{');
        jw_kv_str(&w, "version", build_version);
        jw_kv_str(&w, "commit", build_commit);
        jw_close(&w, '}');
        buf_add_char(&b, '\n');
    } else {
        buf_printf(&b, "tutti %s (%s)\n", build_version, build_commit);
    }
    (void)fwrite(b.p, 1, b.len, c->out); /* cli_main() tests the stream */
    buf_done(&b);
    return CLI_OK;
}
