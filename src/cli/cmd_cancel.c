/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti cancel`: writes one command to the control topic, and waits until the brokers have it. Whether a job was still
 * there to be cancelled is for its result to say. Main thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/builtin.h"
#include "app/config.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "core/cancel.h"
#include "impl/broker_client.h"

enum { DELIVERY_MS = 30000 };

/* How the one record went. */
struct delivery {
    bool is_over;
    int32_t partition;
    int64_t offset;
    const char *error; /* NULL: the brokers have it */
};

static void on_sent(void *arg, size_t tag, int32_t partition, int64_t offset, const char *error)
{
    struct delivery *d = arg;

    (void)tag;
    *d = (struct delivery){.is_over = true, .partition = partition, .offset = offset, .error = error};
}

static int read_run(const struct cli *c, int64_t *out)
{
    const char *value = cli_flag(c, "run");
    char *end;

    *out = -1;
    if (value == NULL)
        return CLI_OK;
    errno = 0;
    *out = strtoll(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || *out > INT32_MAX)
        return cli_usage(c, "--run takes the run's number, from 0 on, not '%s'", value);
    return CLI_OK;
}

static int read_words(const struct cli *c, struct cancel *out)
{
    const char *batch = cli_flag(c, "batch");
    int code = read_run(c, &out->run);

    if (code != CLI_OK)
        return code;
    out->is_batch = batch != NULL;
    if (batch != NULL && c->n_args > 0)
        return cli_usage(c, "takes a job's id or --batch ID, not both");
    if (batch != NULL && out->run >= 0)
        return cli_usage(c, "--run goes with a job, not with --batch");
    if (batch == NULL && c->n_args != 1)
        return cli_usage(c, "takes one job's id, or --batch ID");
    out->id = batch != NULL ? batch : c->args[0];
    if (strlen(out->id) < 1 || strlen(out->id) > CANCEL_ID_MAX)
        return cli_usage(c, "an id has 1 to %d bytes", CANCEL_ID_MAX);
    return CLI_OK;
}

static void print_json(const struct cli *c, const char *topic, const struct buf *value, const struct delivery *d)
{
    struct json_write w;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_str(&w, "topic", topic);
    jw_kv_int(&w, "partition", d->partition);
    jw_kv_int(&w, "offset", d->offset);
    jw_kv_raw(&w, "value", text_slice(value->p, value->len));
    jw_close(&w, '}');
    (void)fprintf(c->out, "%s\n", b.p);
    buf_done(&b);
}

static void print_words(const struct cli *c, const char *topic, const struct cancel *x, const struct delivery *d)
{
    (void)fprintf(c->out, "Asked to cancel %s %s", x->is_batch ? "all jobs of batch" : "job", x->id);
    if (x->run >= 0)
        (void)fprintf(c->out, ", run %lld", (long long)x->run);
    (void)fprintf(c->out,
                  " (%s, partition %d, offset %lld).\n"
                  "What has not ended yet ends as failed, with error_code cancelled and the answers it has.\n",
                  topic, d->partition, (long long)d->offset);
}

static int code_of(int r)
{
    return r == -EACCES ? CLI_REFUSED : r == -EINVAL ? CLI_CONFIG : CLI_UNAVAILABLE;
}

static int write_command(struct kafka_sender *s, const struct cancel *x, const struct buf *value, struct delivery *d)
{
    kafka_sender_put(s, x->id, strlen(x->id), value->p, value->len, 0);
    (void)kafka_sender_flush(s, DELIVERY_MS);
    if (!d->is_over)
        d->error = "no answer from the brokers; it may have been written";
    return d->error == NULL ? CLI_OK : CLI_UNAVAILABLE;
}

static int cancel(const struct cli *c, const struct config *config, const struct cancel *x)
{
    const struct config_map *map = &config->kafka.properties;
    AUTO_FREE struct kafka_property *properties = mem_zero(sizeof(*properties) * (map->n + 1));
    const struct kafka_client_conf conf = {
        .brokers = config->kafka.brokers, .properties = properties, .n_properties = (int)map->n};
    const char *topic = config->kafka.control;
    struct delivery d = {.error = NULL};
    struct kafka_sender *s = NULL;
    char why[256];
    struct buf value;
    int r, code;

    for (size_t i = 0; i < map->n; i++)
        properties[i] = (struct kafka_property){map->pairs[i].name, map->pairs[i].value};
    r = kafka_sender_new(&conf, topic, on_sent, &d, &s, why, sizeof(why));
    if (r < 0) {
        (void)fprintf(c->err, "tutti cancel: %s%s\n", why, r == -ENOENT ? ": has a tutti run here?" : "");
        return code_of(r);
    }
    buf_init(&value, 0);
    cancel_write(x, &value);
    code = write_command(s, x, &value, &d);
    kafka_sender_free(s);
    if (code != CLI_OK)
        (void)fprintf(c->err, "tutti cancel: topic %s: %s\n", topic, d.error);
    else if (c->is_json)
        print_json(c, topic, &value, &d);
    else
        print_words(c, topic, x, &d);
    buf_done(&value);
    return code;
}

int cmd_cancel(struct cli *c)
{
    const struct builtin builtin = {.brokers = BUILTIN_BROKERS, .sim = BUILTIN_SIM, .env = c->env};
    struct config *config = NULL;
    struct cancel x = {.id = NULL};
    bool is_built_in;
    struct buf text;
    int code = read_words(c, &x);

    if (x.id == NULL || code != CLI_OK)
        return code;
    buf_init(&text, 0);
    builtin_write(&builtin, &text);
    code = cli_load_config_or(c, text.p, &config, &is_built_in);
    if (code == CLI_OK)
        code = cancel(c, config, &x);
    config_free(config);
    buf_done(&text);
    return code;
}
