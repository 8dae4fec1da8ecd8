/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: names, flags and help. Constant. */
#include <string.h>

#include "cli/cli.h"

static const struct cli_flag sim_flags[] = {
    {"listen", 'l', "HOST:PORT", "where to listen [127.0.0.1:8089]; port 0: a free one"},
    {"seed", 0, "N", "seed of latencies and faults [1]"},
    {"log", 0, "FILE", "one JSON line per request, to audit with"},
    {"api-key", 0, "K1,K2", "keys that are let in [any]"},
    {"defaults", 0, "WORDS", "what the models behind it start from"},
    {"model", 'm', "NAME,WORDS", "a model: latency=50ms,p99=3,errors=5%,rpm=600 ...; repeatable"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag schema_flags[] = {
    {"as", 0, "FORM", "json-schema, clickhouse or duckdb [json-schema]"},
    {"brokers", 0, "HOST:PORT", "clickhouse: where it reads [localhost:9092]"},
    {"topic", 0, "TOPIC", "clickhouse: what it reads [the default name]"},
    {"file", 0, "PATH", "duckdb: JSON Lines to read [NAME.jsonl]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag dev_flags[] = {
    {"port", 'p', "PORT", "Kafka's port [9092, else a free one]; 0: a free one"},
    {"sim-port", 0, "PORT", "port of the simulated models [8089, else a free one]"},
    {"admin-port", 0, "PORT", "port of the status page [8088, else a free one]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag ask_flags[] = {
    {"model", 'm', "MODEL", "a model to ask; repeatable [jobs.default_models]"},
    {"system", 's', "TEXT", "system prompt"},
    {"merge", 0, "NAME", "merge the answers: concat, vote, first ... or none"},
    {"sim", 0, "HOST:PORT", "simulated models of the built-in configuration [127.0.0.1:8089]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag cancel_flags[] = {
    {"run", 0, "N", "only this run of the job [every run]"},
    {"batch", 'b', "ID", "all jobs of a batch instead of one job"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag submit_flags[] = {
    {"wait", 'w', NULL, "wait until every job has its result"},
    {"batch-id", 0, "ID", "put the jobs into this batch"},
    {"skip-bad", 0, NULL, "send the good lines although others are bad"},
    {"topic", 0, "TOPIC", "where to send [kafka.topics.jobs]"},
    {"brokers", 'b', "HOST:PORT", "Kafka [kafka.brokers, without a file localhost:9092]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag tail_flags[] = {
    {"since", 0, "10m|all", "begin with records of so long ago"},
    {"last", 'n', "N", "begin with the last N records [10]"},
    {"once", 0, NULL, "end where the topic ends now [--since all]"},
    {"where", 0, "KEY=VALUE", "only records with this value, repeatable; dlq: a header"},
    {"brokers", 'b', "HOST:PORT", "Kafka [kafka.brokers, without a file localhost:9092]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag init_flags[] = {
    {"yes", 'y', NULL, "do not ask"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag status_flags[] = {
    {"url", 0, "URL", "where it listens [http://<admin.listen>]"},
    {"quiet", 'q', NULL, "no output, only the exit code: for health checks"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag service_flags[] = {
    {"url", 0, "URL", "where the service listens [http://<admin.listen>]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_command commands[] = {
    {.name = "dev",
     .help = "everything in one process: Kafka in memory, simulated models, the service",
     .usage = "[--port PORT] [--sim-port PORT] [--admin-port PORT] [--set KEY=VALUE]",
     .examples = "tutti dev                             # no key, no installation; Ctrl-C ends it\n"
                 "tutti dev --port 0 --set log.level=info\n",
     .details = "Kafka, limits and journal are in memory. Any Kafka client may use it (5 MiB per partition).\n",
     .flags = dev_flags,
     .run = cmd_dev},
    {.name = "ask",
     .help = "one job now, without Kafka: the models' answers side by side",
     .usage = "PROMPT|- [-m MODEL]... [--system TEXT] [--merge NAME] [--json]",
     .examples = "tutti ask \"Name three colours\" -m sim/fast -m sim/smart     # beside 'tutti dev'\n"
                 "OPENAI_API_KEY=... tutti ask \"Name three colours\" -m openai/gpt-4o-mini\n"
                 "git diff | tutti ask - -m claude --system \"Review this\" > review.md\n",
     .details = "Exit code 0 all answered, 1 some failed, 69 all failed, 77 key refused. Limits are the fleet's while\n"
                "the configured Redis answers. Costs go to stderr, answers to stdout.\n",
     .flags = ask_flags,
     .run = cmd_ask},
    {.name = "submit",
     .help = "send a file of jobs, checked first; wait for the answers",
     .usage = "FILE|- [--wait] [--batch-id ID] [--skip-bad] [--topic TOPIC] [--json]",
     .examples =
         "tutti submit jobs.jsonl --wait\n"
         "tutti submit openai-batch.jsonl --batch-id night-7   # batch lines of OpenAI, Anthropic, Gemini as they are\n"
         "jq -c '{prompt: .text, models: [\"sim/fast\"]}' rows.jsonl | tutti submit -\n",
     .details =
         "One JSON object per line. Bad lines are told as file:line: pointer: reason and nothing is sent (65).\n"
         "--wait: 0 all ok, 1 some are partial, failed or dead letters, 75 stopped by Ctrl-C (the jobs go on).\n",
     .flags = submit_flags,
     .run = cmd_submit},
    {.name = "tail",
     .help = "follow a topic, decoded",
     .usage = "jobs|results|calls|dlq|model-stats|batches [--since 10m|all] [-n N] [--once] [--json]",
     .examples = "tutti tail results\n"
                 "tutti tail calls --since 1h --where status=error\n"
                 "tutti tail calls --json --since 1h --once | duckdb -c \"select request_model, sum(cost_usd)\n"
                 "                                  from read_json('/dev/stdin') group by all\"\n",
     .details = "--json: the records as they are, one per line; dlq: position, value and headers of each.\n",
     .flags = tail_flags,
     .run = cmd_tail},
    {.name = "init",
     .help = "write a commented tutti.yaml and example jobs",
     .usage = "[DIR] [--yes]",
     .examples = "tutti init                            # ./tutti.yaml and ./jobs.jsonl; nothing is overwritten\n"
                 "tutti init deploy --yes\n",
     .flags = init_flags,
     .run = cmd_init},
    {.name = "run",
     .help = "the service: jobs from Kafka, answers to Kafka",
     .usage = "[-c FILE] [--set KEY=VALUE]",
     .examples = "tutti run                             # ./tutti.yaml\n"
                 "tutti run -c prod.yaml --set workers=2\n",
     .details = "SIGTERM and SIGINT stop intake, finish what has begun (shutdown.grace), commit and exit 0;\n"
                "a second one stops at once (75). Exit codes: tutti help exit-codes.\n",
     .run = cmd_run},
    {.name = "sim",
     .help = "simulated providers over HTTP: OpenAI, Anthropic, Gemini",
     .usage = "[-c FILE] [--listen HOST:PORT] [--model NAME,WORDS]...",
     .examples = "tutti sim                             # three models on 127.0.0.1:8089\n"
                 "tutti sim -m sim/a,latency=200ms,p99=4,errors=5% --log requests.jsonl\n",
     .details =
         "One port for all clients: base URL http://HOST:PORT/v1 for OpenAI's, http://HOST:PORT for the others.\n"
         "Words of a model: latency p99 bytes prompt_tokens completion_tokens context fail fail_status retry_after,\n"
         "limits rpm tpm input_tpm output_tpm concurrency window meter, shares like 5%: errors e429 e500 e503\n"
         "overloaded quota filter refusal reset truncate silence drip stall empty bad_json error200. A prompt may\n"
         "order what happens to it, for tests: [[sim: status=429 times=2 retry_after=0.5]], [[sim: tool=NAME]],\n"
         "[[sim: finish=length answer=TEXT]], a fault's word; docs/simulator.md has them all.\n",
     .flags = sim_flags,
     .run = cmd_sim},
    {.name = "cancel",
     .help = "take a job or a batch back",
     .usage = "JOB [--run N] | --batch ID [-c FILE] [--json]",
     .examples = "tutti cancel order-17                 # every run of the job\n"
                 "tutti cancel order-17 --run 1\n"
                 "tutti cancel --batch night-2026-11-22\n",
     .details = "Writes one command to kafka.topics.control. Jobs sent before it close their calls, or never begin,\n"
                "and end as failed with error_code cancelled; what has been answered stays in answers[].\n",
     .flags = cancel_flags,
     .run = cmd_cancel},
    {.name = "config",
     .help = "check or show a configuration, explain its keys",
     .usage = "check|show|explain KEY|docs [-c FILE] [--set KEY=VALUE] [--json]",
     .examples =
         "tutti config check                    # ./tutti.yaml, every problem at once; exit 78 when there are errors\n"
         "tutti config check -c prod.yaml --json\n"
         "tutti config show                     # every option in effect and where it came from, secrets hidden\n"
         "tutti config explain kafka.delivery   # type, range, default, meaning\n",
     .details = "check prints what each limit promises: B the bucket, r the refill, U* the share that can be used.\n"
                "docs writes docs/configuration.md to stdout.\n",
     .run = cmd_config},
    {.name = "status",
     .help = "how the running service does, by its own word",
     .usage = "[--quiet] [--url URL] [-c FILE] [--json]",
     .examples = "tutti status                          # the service of ./tutti.yaml, or of 'tutti dev'\n"
                 "tutti status --quiet && echo ready    # as a health check\n"
                 "tutti status --url http://10.0.0.7:8088 --json | jq .verdict\n",
     .details = "Exit code 0 ready or degraded (/readyz is 200), 1 not ready, 69 nobody answers.\n",
     .flags = status_flags,
     .run = cmd_status},
    {.name = "models",
     .help = "every model: names, key, limits, price, and is it available",
     .usage = "ls [--url URL] [-c FILE] [--json]",
     .examples = "tutti models ls\n"
                 "tutti models ls --json | jq '.models[] | select(.available | not) | {model, reason}'\n",
     .details = "By the configuration, and by the service where one answers at admin.listen: its breakers and last\n"
                "outcomes. No model is called to find out.\n",
     .flags = service_flags,
     .run = cmd_models},
    {.name = "limits",
     .help = "the pools of limits: what is left, who waits, what is paused",
     .usage = "ls [--url URL] [-c FILE] [--json]",
     .examples = "tutti limits ls                       # by the service at admin.listen, else by redis.url\n"
                 "tutti limits ls --json | jq '.limits[] | select(.paused_ms > 0)'\n",
     .details = "Models that share a provider's key and model name share a pool. Nothing is changed.\n",
     .flags = service_flags,
     .run = cmd_limits},
    {.name = "doctor",
     .help = "look at everything the service needs, and say what to do",
     .usage = "[-c FILE] [--json]",
     .examples = "tutti doctor                          # Kafka, topics, Redis, providers, limits of this machine\n"
                 "tutti doctor -c prod.yaml --json\n",
     .details = "Connects to each, asks, changes nothing and calls no model. Exit code 69 when something failed.\n",
     .run = cmd_doctor},
    {.name = "schema",
     .help = "a topic's records as JSON Schema or as tables",
     .usage = "results|calls|model-stats|batches|jobs|dlq|control [--as json-schema|clickhouse|duckdb]",
     .examples = "tutti schema calls                                  # JSON Schema\n"
                 "tutti schema calls --as duckdb --file /dev/stdin    # a view with typed columns\n"
                 "tutti schema results --as clickhouse --brokers kafka:9092\n",
     .details = "clickhouse: a Kafka table, a ReplacingMergeTree and the views between them, in the database llm.\n",
     .flags = schema_flags,
     .run = cmd_schema},
    {.name = "version",
     .help = "version and build",
     .usage = "[--json]",
     .examples = "tutti version\ntutti version --json\n",
     .run = cmd_version},
    {.name = "help",
     .help = "help on a command or a topic: exit-codes, env",
     .usage = "[COMMAND|exit-codes|env]",
     .examples = "tutti help config\ntutti help exit-codes\n",
     .run = cmd_help},
    {.name = NULL},
};

const struct cli_command *cli_commands(void)
{
    return commands;
}

const struct cli_command *cli_find_command(const char *name)
{
    for (const struct cli_command *m = commands; m->name != NULL; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}
