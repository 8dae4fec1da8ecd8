/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema to SQL: a column per property, nullable exactly where the schema allows null. Knows only the forms that
 * docs/schemas uses. No state; main thread. */
#include "cli/schema_sql.h"

#include <string.h>

#include "base/buf.h"

/* What a property holds, whatever the engine calls it. */
enum shape { TEXT, WORD, INTEGER, NUMBER, MONEY, BOOLEAN, TIMESTAMP, MAP, RAW, LIST, RECORDS };

struct property {
    enum shape shape;
    bool is_nullable;
    const json_t *items; /* LIST, RECORDS: schema of an item */
};

/* How an engine writes types. */
struct dialect {
    const char *names[RECORDS + 1];
    const char *nullable; /* around a type that may be null */
    const char *list;
    const char *record; /* around the fields of a record */
};

static const json_t *resolve(const json_t *root, const json_t *s)
{
    const char *ref = json_string_value(json_object_get(s, "$ref"));
    const char *name = ref != NULL ? strrchr(ref, '/') : NULL;

    return name != NULL ? json_object_get(json_object_get(root, "$defs"), name + 1) : s;
}

static bool has_type(const json_t *s, const char *type)
{
    const json_t *t = json_object_get(s, "type"), *each;
    size_t i;

    if (json_is_string(t))
        return strcmp(json_string_value(t), type) == 0;
    json_array_foreach(t, i, each) if (strcmp(json_string_value(each), type) == 0) return true;
    return false;
}

static bool has_null(const json_t *s)
{
    const json_t *each;
    size_t i;

    json_array_foreach(json_object_get(s, "enum"), i, each) if (json_is_null(each)) return true;
    return has_type(s, "null");
}

static enum shape shape_of(const json_t *root, const json_t *s, const char *key)
{
    const json_t *items = resolve(root, json_object_get(s, "items"));

    if (json_is_array(json_object_get(s, "enum")))
        return WORD;
    if (json_is_integer(json_object_get(s, "const")) || has_type(s, "integer"))
        return INTEGER;
    if (has_type(s, "number"))
        return strstr(key, "usd") != NULL ? MONEY : NUMBER;
    if (has_type(s, "boolean"))
        return BOOLEAN;
    if (has_type(s, "array"))
        return items == NULL ? RAW : json_is_object(json_object_get(items, "properties")) ? RECORDS : LIST;
    if (has_type(s, "object"))
        return json_is_object(json_object_get(s, "additionalProperties")) ? MAP : RAW;
    return strcmp(key, "ts") == 0 ? TIMESTAMP : TEXT;
}

static struct property property_of(const json_t *root, const json_t *s, const char *key)
{
    s = resolve(root, s);
    return (struct property){.shape = shape_of(root, s, key),
                             .is_nullable = has_null(s),
                             .items = resolve(root, json_object_get(s, "items"))};
}

static const struct dialect clickhouse = {
    .names = {[TEXT] = "String",
              [WORD] = "LowCardinality(String)",
              [INTEGER] = "Int64",
              [NUMBER] = "Float64",
              [MONEY] = "Decimal(18, 9)",
              [BOOLEAN] = "Bool",
              [TIMESTAMP] = "DateTime64(3, 'UTC')",
              [MAP] = "Map(String, String)",
              [RAW] = "String"},
    .nullable = "Nullable(%s)",
    .list = "Array(%s)",
    .record = "Tuple(%s)",
};

static const struct dialect duckdb = {
    .names = {[TEXT] = "VARCHAR",
              [WORD] = "VARCHAR",
              [INTEGER] = "BIGINT",
              [NUMBER] = "DOUBLE",
              [MONEY] = "DECIMAL(18, 9)",
              [BOOLEAN] = "BOOLEAN",
              [TIMESTAMP] = "TIMESTAMPTZ",
              [MAP] = "MAP(VARCHAR, VARCHAR)",
              [RAW] = "JSON"},
    .nullable = "%s", /* every type is */
    .list = "%s[]",
    .record = "STRUCT(%s)",
};

static void add_around(struct buf *out, const char *around, const char *inner)
{
    const char *at = strstr(around, "%s");

    buf_printf(out, "%.*s%s%s", (int)(at - around), around, inner, at + 2);
}

static void add_type(struct buf *out, const struct dialect *d, const json_t *root, struct property p);

static void add_record(struct buf *out, const struct dialect *d, const json_t *root, const json_t *schema)
{
    const char *key, *comma = "";
    json_t *each;
    struct buf fields;

    buf_init(&fields, 0);
    json_object_foreach((json_t *)json_object_get(schema, "properties"), key, each)
    {
        buf_printf(&fields, "%s%s ", comma, key);
        add_type(&fields, d, root, property_of(root, each, key));
        comma = ", ";
    }
    add_around(out, d->record, fields.p);
    buf_done(&fields);
}

/* ClickHouse: a null in a list, a map or raw JSON becomes an empty one (input_format_null_as_default), and a nullable
 * LowCardinality is written the other way round. */
static void add_type(struct buf *out, const struct dialect *d, const json_t *root, struct property p)
{
    const char *name = p.shape < LIST ? d->names[p.shape] : NULL;
    struct buf inner;

    if (p.shape == LIST || p.shape == RECORDS) {
        buf_init(&inner, 0);
        if (p.shape == RECORDS)
            add_record(&inner, d, root, p.items);
        else
            add_type(&inner, d, root, property_of(root, p.items, ""));
        add_around(out, d->list, inner.p);
        buf_done(&inner);
    } else if (p.is_nullable && p.shape == WORD && d == &clickhouse) {
        buf_add_str(out, "LowCardinality(Nullable(String))");
    } else if (p.is_nullable && p.shape != MAP && p.shape != RAW) {
        add_around(out, d->nullable, name);
    } else {
        buf_add_str(out, name);
    }
}

static void add_columns(struct buf *out, const struct dialect *d, const struct schema_table *t, bool has_ts)
{
    const char *key, *comma = "";
    json_t *each;

    json_object_foreach((json_t *)json_object_get(t->schema, "properties"), key, each)
    {
        struct property p = property_of(t->schema, each, key);

        if (p.shape == TIMESTAMP && !has_ts)
            continue;
        buf_printf(out, "%s\n    %s ", comma, key);
        add_type(out, d, t->schema, p);
        comma = ",";
    }
}

/* The Kafka table leaves `ts` out: not every server parses its form, while all take the milliseconds. */
void schema_clickhouse(const struct schema_table *t, struct buf *out)
{
    const char *n = t->name;

    buf_printf(out,
               "-- %s for ClickHouse: CREATE DATABASE llm first. Its Kafka engine reads committed records only\n"
               "-- (librdkafka's default isolation.level). Records that come again carry the same event_id: FINAL\n"
               "-- counts them once.\n"
               "CREATE TABLE llm.%s_queue (",
               t->topic, n);
    add_columns(out, &clickhouse, t, false);
    buf_printf(
        out,
        "\n) ENGINE = Kafka SETTINGS kafka_broker_list = '%s', kafka_topic_list = '%s',\n"
        "    kafka_group_name = 'clickhouse-%s', kafka_format = 'JSONEachRow', kafka_handle_error_mode = 'stream';\n"
        "\nCREATE TABLE llm.%s (",
        t->brokers, t->topic, n, n);
    add_columns(out, &clickhouse, t, true);
    buf_printf(out,
               "\n) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(ts) ORDER BY (%s);\n"
               "\nCREATE MATERIALIZED VIEW llm.%s_mv TO llm.%s AS\n"
               "SELECT fromUnixTimestamp64Milli(ts_ms, 'UTC') AS ts, * FROM llm.%s_queue WHERE _error = '';\n"
               "\n-- what could not be read\n"
               "CREATE TABLE llm.%s_errors (at DateTime, raw String, error String) ENGINE = MergeTree ORDER BY at;\n"
               "CREATE MATERIALIZED VIEW llm.%s_errors_mv TO llm.%s_errors AS\n"
               "SELECT now() AS at, _raw_message AS raw, _error AS error FROM llm.%s_queue WHERE _error != '';\n",
               t->order, n, n, n, n, n, n, n);
}

void schema_duckdb(const struct schema_table *t, struct buf *out)
{
    const char *key, *comma = "";
    json_t *each;

    buf_printf(out,
               "-- %s for DuckDB: tutti tail %s --json --since all --once > %s.jsonl\n"
               "CREATE VIEW %s AS SELECT * FROM read_json('%s', format = 'newline_delimited',\n"
               "    maximum_object_size = 67108864, columns = {",
               t->topic, t->word, t->name, t->name, t->file);
    json_object_foreach((json_t *)json_object_get(t->schema, "properties"), key, each)
    {
        buf_printf(out, "%s\n    %s: '", comma, key);
        add_type(out, &duckdb, t->schema, property_of(t->schema, each, key));
        buf_add_char(out, '\'');
        comma = ",";
    }
    buf_add_str(out, "\n});\n");
}
