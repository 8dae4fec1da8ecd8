/* SPDX-License-Identifier: Apache-2.0 */
/* tutti schema: what a topic's records look like, as JSON Schema or as tables. Connects to nothing. Main thread. */
#include <string.h>

#include "app/embedded.h"
#include "base/buf.h"
#include "base/check.h"
#include "cli/cli.h"
#include "cli/schema_sql.h"

/* A kind of record; without an order it is no table. */
static const struct record_kind {
    const char *word;
    const char *file;
    const char *table;
    const char *topic;
    const char *order;
} kinds[] = {
    {"results", "docs/schemas/result.schema.json", "results", "tutti.results", "ts, event_id"},
    {"calls", "docs/schemas/call.schema.json", "calls", "tutti.calls", "request_model, ts, event_id"},
    {"model-stats", "docs/schemas/model-stats.schema.json", "model_stats", "tutti.model-stats",
     "request_model, ts, event_id"},
    {"batches", "docs/schemas/batch.schema.json", "batches", "tutti.batches", "batch_id, ts, event_id"},
    {"jobs", "docs/schemas/job.schema.json", NULL, NULL, NULL},
    {"dlq", "docs/schemas/dead-letter.schema.json", NULL, NULL, NULL},
    {"control", "docs/schemas/control.schema.json", NULL, NULL, NULL},
};

static const struct embedded_file *find_file(const char *name)
{
    for (const struct embedded_file *f = embedded_files; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static int write_table(const struct cli *c, const struct record_kind *k, bool is_duckdb, const struct embedded_file *f)
{
    const char *brokers = cli_flag(c, "brokers"), *topic = cli_flag(c, "topic"), *file = cli_flag(c, "file");
    char default_file[64];
    json_t *schema = json_loadb(f->bytes, f->len, 0, NULL);
    struct schema_table t = {.name = k->table,
                             .word = k->word,
                             .topic = topic != NULL ? topic : k->topic,
                             .order = k->order,
                             .brokers = brokers != NULL ? brokers : "localhost:9092",
                             .schema = schema};
    struct buf b;

    CHECK(schema != NULL); /* a test reads them all */
    (void)snprintf(default_file, sizeof(default_file), "%s.jsonl", k->table);
    t.file = file != NULL ? file : default_file;
    buf_init(&b, 0);
    if (is_duckdb)
        schema_duckdb(&t, &b);
    else
        schema_clickhouse(&t, &b);
    (void)fwrite(b.p, 1, b.len, c->out); /* cli_main() tests the stream */
    buf_done(&b);
    json_decref(schema);
    return CLI_OK;
}

/* They stand inside SQL quotes. */
static int check_quotes(const struct cli *c)
{
    static const char *const flags[] = {"brokers", "topic", "file"};

    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (cli_flag(c, flags[i]) != NULL && strpbrk(cli_flag(c, flags[i]), "'\\\n") != NULL)
            return cli_usage(c, "--%s may not hold quotes, backslashes or line breaks", flags[i]);
    return CLI_OK;
}

int cmd_schema(struct cli *c)
{
    static const char *const forms[] = {"json-schema", "clickhouse", "duckdb"};
    const char *form = cli_flag(c, "as"), *words[ARRAY_LEN(kinds)];
    const struct record_kind *kind = NULL;
    const struct embedded_file *f;
    size_t i = 0;

    form = form != NULL ? form : forms[0];
    if (c->n_args != 1)
        return cli_usage(c, "name one kind of record: results, calls, model-stats, batches, jobs, dlq or control");
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        words[k] = kinds[k].word;
        if (strcmp(c->args[0], kinds[k].word) == 0)
            kind = &kinds[k];
    }
    if (kind == NULL)
        return cli_unknown(c, "kind of record", c->args[0], words, ARRAY_LEN(words));
    while (i < ARRAY_LEN(forms) && strcmp(form, forms[i]) != 0)
        i++;
    if (i == ARRAY_LEN(forms))
        return cli_unknown(c, "form", form, forms, ARRAY_LEN(forms));
    if (i > 0 && kind->table == NULL)
        return cli_usage(c, "%s are no table; --as json-schema", kind->word);
    f = find_file(kind->file);
    CHECK(f != NULL);
    if (i > 0)
        return check_quotes(c) == CLI_OK ? write_table(c, kind, i == 2, f) : CLI_USAGE;
    (void)fwrite(f->bytes, 1, f->len, c->out); /* cli_main() tests the stream */
    return CLI_OK;
}
