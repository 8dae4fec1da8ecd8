/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for the output topics, written from their JSON Schemas. */
#ifndef CLI_SCHEMA_SQL_H
#define CLI_SCHEMA_SQL_H

#include <jansson.h>

struct buf;

struct schema_table {
    const char *name; /* of the table: calls, model_stats */
    const char *word; /* what `tutti tail` calls the topic */
    const char *topic;
    const char *file;  /* DuckDB: where the lines are */
    const char *order; /* ClickHouse: sort key */
    const char *brokers;
    const json_t *schema; /* the parsed JSON Schema of a record */
};

/* A Kafka table, a ReplacingMergeTree and the view between them (ClickHouse >= 23.8). */
void schema_clickhouse(const struct schema_table *t, struct buf *out);
/* A view over JSON Lines with every column typed (DuckDB >= 1.0). */
void schema_duckdb(const struct schema_table *t, struct buf *out);

#endif
