/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that are refused: the exact words, the place and the caret of every problem. */
#include "config_testing.h"

struct bad_case {
    const char *text;
    const char *report; /* without the summary line; NULL entry: what is printed */
};

#define PROVIDER     "providers: {p: {api: openai, base_url: http://h/v1}}\n"
#define MODEL(lines) PROVIDER "models:\n  m:\n    provider: p\n" lines

/* Each: a text and its whole report (the summary line apart, see test_three_mistakes_at_once). */
static const struct bad_case cases[] = {
    /* names */
    {CONFIG_BASE "kafak: {}\n", "tutti.yaml:5:1: error: unknown key 'kafak' (did you mean 'kafka'?)\n"
                                "kafak: {}\n"
                                "^~~~~\n"},
    {CONFIG_BASE "pools: {}\n", "tutti.yaml:5:1: error: unknown key 'pools'\n"
                                "pools: {}\n"
                                "^~~~~\n"},
    {CONFIG_BASE "kafka: {topics: {progress: x}}\n", "tutti.yaml:5:18: error: unknown key 'progress' in kafka.topics\n"
                                                     "kafka: {topics: {progress: x}}\n"
                                                     "                 ^~~~~~~~\n"},
    {MODEL("    limits: {rpm: 5, tpm: 100k}\n"),
     "tutti.yaml:5:14: error: unknown key 'rpm' in models.m.limits (did you mean 'requests_per_minute'?)\n"
     "    limits: {rpm: 5, tpm: 100k}\n"
     "             ^~~\n"
     "tutti.yaml:5:22: error: unknown key 'tpm' in models.m.limits (did you mean 'tokens_per_minute'?)\n"
     "    limits: {rpm: 5, tpm: 100k}\n"
     "                     ^~~\n"},
    {MODEL("    rpm: 5\n    concurrency: 3\n    model_name: x\n"),
     "tutti.yaml:5:5: error: unknown key 'rpm' in models.m (did you mean 'limits.requests_per_minute'?)\n"
     "    rpm: 5\n"
     "    ^~~\n"
     "tutti.yaml:6:5: error: unknown key 'concurrency' in models.m (did you mean 'limits.concurrency'?)\n"
     "    concurrency: 3\n"
     "    ^~~~~~~~~~~\n"
     "tutti.yaml:7:5: error: unknown key 'model_name' in models.m (did you mean 'name'?)\n"
     "    model_name: x\n"
     "    ^~~~~~~~~~\n"},
    {CONFIG_BASE "kafka: {'*': 1, topics.jobs: x}\n",
     "tutti.yaml:5:10: error: unknown key '*' in kafka\n"
     "kafka: {'*': 1, topics.jobs: x}\n"
     "         ^\n"
     "tutti.yaml:5:17: error: unknown key 'topics.jobs' in kafka (did you mean 'topics'?)\n"
     "kafka: {'*': 1, topics.jobs: x}\n"
     "                ^~~~~~~~~~~\n"},
    {"providers: {p: {api: openai, api_base: http://h/v1}}\nmodels: {m: {provider: p}}\n",
     "tutti.yaml:1:30: error: unknown key 'api_base' in providers.p (did you mean 'base_url'?)\n"
     "providers: {p: {api: openai, api_base: http://h/v1}}\n"
     "                             ^~~~~~~~\n"},
    {"providers: {p: {dialect: openai, base_url: http://h/v1}}\nmodels: {m: {provider: p, vendor_model: x}}\n",
     "tutti.yaml:1:17: error: unknown key 'dialect' in providers.p (did you mean 'api'?)\n"
     "providers: {p: {dialect: openai, base_url: http://h/v1}}\n"
     "                ^~~~~~~\n"
     "tutti.yaml:2:27: error: unknown key 'vendor_model' in models.m (did you mean 'name'?)\n"
     "models: {m: {provider: p, vendor_model: x}}\n"
     "                          ^~~~~~~~~~~~\n"},
    {CONFIG_BASE "log: {level: info, level: debug}\n",
     "tutti.yaml:5:20: error: duplicate key 'level' (first on line 5)\n"
     "log: {level: info, level: debug}\n"
     "                   ^~~~~\n"},

    /* YAML */
    {"a: [1, 2\n", "tutti.yaml:2:1: error: flow sequence without a closing bracket\n"
                   "\n"
                   "^\n"},
    {"kafka: {group: ${env:G}}\n",
     "tutti.yaml:1:17: error: missing comma in flow mapping (put quotes around a value with ${...})\n"
     "kafka: {group: ${env:G}}\n"
     "                ^\n"},
    {CONFIG_BASE "kafka: &k {group: a}\nredis: *k\nlog: {level: !x info}\n",
     "tutti.yaml:5:9: error: anchors (&) are not supported: write the value where it is needed\n"
     "kafka: &k {group: a}\n"
     "        ^\n"
     "tutti.yaml:6:9: error: aliases (*) are not supported: write the value where it is needed\n"
     "redis: *k\n"
     "        ^\n"
     "tutti.yaml:7:14: error: tags (!) are not supported\n"
     "log: {level: !x info}\n"
     "             ^~\n"},
    {CONFIG_BASE "---\na: 1\n", "tutti.yaml:5:1: error: only one document per file\n"
                                "---\n"
                                "^~~\n"},
    {CONFIG_BASE "? [a, b]\n: 1\n", "tutti.yaml:5:3: error: a key must be a single value, not a list\n"
                                    "? [a, b]\n"
                                    "  ^\n"},
    {"- a\n", "tutti.yaml: error: models: name at least one model\n"
              "tutti.yaml:1:1: error: the file must be a mapping, not a list\n"
              "- a\n"
              "^\n"},
    {CONFIG_BASE "log: {level: \"a\x01\"}\n",
     "tutti.yaml:5:16: error: byte 0x01 is not text: the file must be UTF-8 without control characters\n"
     "log: {level: \"a\x01\"}\n"
     "               ^\n"},
    {"# \xc3\xa9\xff\n",
     "tutti.yaml:1:4: error: byte 0xff is not text: the file must be UTF-8 without control characters\n"
     "# \xc3\xa9\xff\n"
     "   ^\n"},

    /* types */
    {CONFIG_BASE "kafka: [a]\nredis: x\njobs: {deadline: {a: 1}}\n",
     "tutti.yaml:5:8: error: kafka must be a mapping, not a list; its keys: brokers, group, topics, start ...\n"
     "kafka: [a]\n"
     "       ^\n"
     "tutti.yaml:6:8: error: redis must be a mapping, not a single value; its keys: url, when_down, ca_file\n"
     "redis: x\n"
     "       ^\n"
     "tutti.yaml:7:18: error: jobs.deadline must be a duration, not a mapping\n"
     "jobs: {deadline: {a: 1}}\n"
     "                 ^\n"},
    {CONFIG_BASE "kafka:\n  commit_interval: 200\n  prefetch_bytes: 4 MB\n",
     "tutti.yaml:6:20: error: kafka.commit_interval: '200' is not a duration: write a number with its unit, like "
     "250ms, 5s, "
     "2m or 1h\n"
     "  commit_interval: 200\n"
     "                   ^~~\n"
     "tutti.yaml:7:19: error: kafka.prefetch_bytes: '4 MB' is not a size: write it like 4096, 512KiB or 4MiB\n"
     "  prefetch_bytes: 4 MB\n"
     "                  ^~~~\n"},
    {CONFIG_BASE "retry: {attempts: 0, base: 1us, cap: 99h}\nworkers: 65\n",
     "tutti.yaml:5:19: error: retry.attempts: '0' is out of range: 1 to 20\n"
     "retry: {attempts: 0, base: 1us, cap: 99h}\n"
     "                  ^\n"
     "tutti.yaml:5:28: error: retry.base: '1us' is out of range: 1ms to 1h\n"
     "retry: {attempts: 0, base: 1us, cap: 99h}\n"
     "                           ^~~\n"
     "tutti.yaml:5:38: error: retry.cap: '99h' is out of range: 1ms to 1h\n"
     "retry: {attempts: 0, base: 1us, cap: 99h}\n"
     "                                     ^~~\n"
     "tutti.yaml:6:10: error: workers: '65' is out of range: 1 to 64, or auto\n"
     "workers: 65\n"
     "         ^~\n"},
    {CONFIG_BASE "retry: {attempts: 1.5}\njobs: {max_in_flight: many}\nworkers: two\n",
     "tutti.yaml:5:19: error: retry.attempts: '1.5' is not an integer\n"
     "retry: {attempts: 1.5}\n"
     "                  ^~~\n"
     "tutti.yaml:6:23: error: jobs.max_in_flight: 'many' is not a count: write it like 60, 25k or 1.5M\n"
     "jobs: {max_in_flight: many}\n"
     "                      ^~~~\n"
     "tutti.yaml:7:10: error: workers: 'two' is not an integer, or auto\n"
     "workers: two\n"
     "         ^~~\n"},
    {CONFIG_BASE "journal: {enabled: yes}\nkafka: {delivery: exactly_onc}\nredis: {when_down: open}\n",
     "tutti.yaml:5:20: error: journal.enabled: 'yes' is not true or false\n"
     "journal: {enabled: yes}\n"
     "                   ^~~\n"
     "tutti.yaml:6:19: error: kafka.delivery: 'exactly_onc' is not one of exactly_once, at_least_once (did you mean "
     "'exactly_once'?)\n"
     "kafka: {delivery: exactly_onc}\n"
     "                  ^~~~~~~~~~~\n"
     "tutti.yaml:7:20: error: redis.when_down: 'open' is not closed\n"
     "redis: {when_down: open}\n"
     "                   ^~~~\n"},
    {MODEL("    price: {input: 1.0000000001, output: -1}\n"),
     "tutti.yaml:5:20: error: models.m.price.input: '1.0000000001' is not a price: write USD with at most 9 decimals, "
     "like "
     "2.50\n"
     "    price: {input: 1.0000000001, output: -1}\n"
     "                   ^~~~~~~~~~~~\n"
     "tutti.yaml:5:42: error: models.m.price.output: '-1' is not a price: write USD with at most 9 decimals, like "
     "2.50\n"
     "    price: {input: 1.0000000001, output: -1}\n"
     "                                         ^~\n"},
    {CONFIG_BASE "kafka: {brokers: 'a b', group: '', topics: {jobs: [a, a, b/c]}}\n",
     "tutti.yaml:5:33: error: kafka.group: '': it has 1 to 100 letters, digits, dots, underscores or hyphens\n"
     "kafka: {brokers: 'a b', group: '', topics: {jobs: [a, a, b/c]}}\n"
     "                                ^\n"
     "tutti.yaml:5:55: error: kafka.topics.jobs: 'a' is listed twice\n"
     "kafka: {brokers: 'a b', group: '', topics: {jobs: [a, a, b/c]}}\n"
     "                                                      ^\n"
     "tutti.yaml:5:58: error: kafka.topics.jobs: 'b/c': a topic name has 1 to 249 letters, digits, dots, underscores "
     "or "
     "hyphens\n"
     "kafka: {brokers: 'a b', group: '', topics: {jobs: [a, a, b/c]}}\n"
     "                                                         ^~~\n"},
    {CONFIG_BASE "redis: {url: http://x}\njournal: {url: 'redis://'}\n",
     "tutti.yaml:5:14: error: redis.url: 'http://x' is not a URL that begins with redis:// or rediss://\n"
     "redis: {url: http://x}\n"
     "             ^~~~~~~~\n"
     "tutti.yaml:6:17: error: journal.url: 'redis://' is not a URL that begins with redis:// or rediss://\n"
     "journal: {url: 'redis://'}\n"
     "                ^~~~~~~~\n"},
    {"providers:\n  a: {api: openai, base_url: https://h/v1/chat/completions}\n  b: {api: antropic, base_url: "
     "https://u:pw@h}\n"
     "models: {m: {provider: a}}\n",
     "tutti.yaml:2:30: error: providers.a.base_url: 'https://h/v1/chat/completions' is too long: tutti adds "
     "/chat/completions "
     "itself\n"
     "  a: {api: openai, base_url: https://h/v1/chat/completions}\n"
     "                             ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
     "tutti.yaml:3:12: error: providers.b.api: 'antropic' is not one of openai, anthropic, gemini (did you mean "
     "'anthropic'?)\n"
     "  b: {api: antropic, base_url: https://****@h}\n"
     "           ^~~~~~~~\n"
     "tutti.yaml:3:32: error: providers.b.base_url: the value names a user: keys belong into api_key\n"
     "  b: {api: antropic, base_url: https://****@h}\n"
     "                               ^~~~~~~~~~~~~~\n"},
    {CONFIG_BASE "redis: {ca_file: nowhere.pem}\n",
     "tutti.yaml:5:18: error: redis.ca_file: cannot read nowhere.pem: No such file or directory\n"
     "redis: {ca_file: nowhere.pem}\n"
     "                 ^~~~~~~~~~~\n"},
    {MODEL("    params: {a: .5, b: 0x1f, c: [.inf]}\n"),
     "tutti.yaml:5:17: error: '.5' is not a number as JSON writes it: quote it or write it like 0.5\n"
     "    params: {a: .5, b: 0x1f, c: [.inf]}\n"
     "                ^~\n"
     "tutti.yaml:5:24: error: '0x1f' is not a number as JSON writes it: quote it or write it like 0.5\n"
     "    params: {a: .5, b: 0x1f, c: [.inf]}\n"
     "                       ^~~~\n"
     "tutti.yaml:5:34: error: '.inf' is not a number as JSON writes it: quote it or write it like 0.5\n"
     "    params: {a: .5, b: 0x1f, c: [.inf]}\n"
     "                                 ^~~~\n"},
    {CONFIG_BASE "kafka: {properties: {ssl: {ca: {location: x}}}}\n",
     "tutti.yaml:5:22: error: kafka.properties: 'ssl' must be a single value, not a mapping; write a.b.c: value in one "
     "line\n"
     "kafka: {properties: {ssl: {ca: {location: x}}}}\n"
     "                     ^~~\n"},

    /* references */
    {CONFIG_BASE "kafka: {group: 'a-${env:NOPE}', brokers: '${HOST}:9092', slot: '${cred:x}'}\n",
     "tutti.yaml:5:19: error: environment variable NOPE is not set (a default is written ${env:NOPE:-default})\n"
     "kafka: {group: 'a-${env:NOPE}', brokers: '${HOST}:9092', slot: '${cred:x}'}\n"
     "                  ^~~~~~~~~~~\n"
     "tutti.yaml:5:43: error: unknown reference '${HOST}' (did you mean '${env:HOST}'?)\n"
     "kafka: {group: 'a-${env:NOPE}', brokers: '${HOST}:9092', slot: '${cred:x}'}\n"
     "                                          ^~~~~~~\n"
     "tutti.yaml:5:65: error: unknown reference '${cred:x}': there are ${env:NAME}, ${env:NAME:-default} and "
     "${file:PATH}\n"
     "kafka: {group: 'a-${env:NOPE}', brokers: '${HOST}:9092', slot: '${cred:x}'}\n"
     "                                                                ^~~~~~~~~\n"},
    {CONFIG_BASE "kafka: {group: '${env:A', slot: '${file:/nonexistent}'}\n",
     "tutti.yaml:5:17: error: '${' without its '}'\n"
     "kafka: {group: '${env:A', slot: '${file:/nonexistent}'}\n"
     "                ^~~~~~~\n"
     "tutti.yaml:5:34: error: cannot read /nonexistent: No such file or directory\n"
     "kafka: {group: '${env:A', slot: '${file:/nonexistent}'}\n"
     "                                 ^~~~~~~~~~~~~~~~~~~~\n"},

    /* across options */
    {"models: {m: {provider: opnai}, n: {}}\nproviders: {openai: {api: openai, base_url: http://h/v1}}\n",
     "tutti.yaml:1:24: error: models.m.provider: there is no provider 'opnai' (did you mean 'openai'?)\n"
     "models: {m: {provider: opnai}, n: {}}\n"
     "                       ^~~~~\n"
     "tutti.yaml:1:32: error: models.n: 'provider' is missing\n"
     "models: {m: {provider: opnai}, n: {}}\n"
     "                               ^\n"},
    /* D-24: each name leads back to its own row */
    {PROVIDER "models:\n  a: {provider: p, name: big, aliases: [p/small]}\n  b: {provider: p, name: small}\n",
     "tutti.yaml:4:3: error: models.b: the name 'p/small' means models.a, so this model would not be asked\n"
     "  b: {provider: p, name: small}\n"
     "  ^\n"},
    {PROVIDER "models:\n  a: {provider: p, aliases: [b, x]}\n  b: {provider: p, aliases: [x]}\n",
     "tutti.yaml:3:29: error: models.a.aliases: 'b' is already the id of models.b\n"
     "  a: {provider: p, aliases: [b, x]}\n"
     "                            ^\n"
     "tutti.yaml:4:29: error: models.b.aliases: 'x' is already an alias of models.a\n"
     "  b: {provider: p, aliases: [x]}\n"
     "                            ^\n"},
    {PROVIDER "models:\n  chatgpt: {provider: p}\njobs: {default_models: [chatgtp]}\n",
     "tutti.yaml:4:24: error: jobs.default_models: there is no model 'chatgtp' (did you mean 'chatgpt'?)\n"
     "jobs: {default_models: [chatgtp]}\n"
     "                       ^\n"},
    {PROVIDER "models:\n  a: {provider: p, aliases: [x], fallbacks: [b, y, x]}\n  b: {provider: p, aliases: [y]}\n",
     "tutti.yaml:3:45: error: models.a.fallbacks: 'y' is 'b', which is there already\n"
     "  a: {provider: p, aliases: [x], fallbacks: [b, y, x]}\n"
     "                                            ^\n"
     "tutti.yaml:3:45: error: models.a.fallbacks: 'x' is the model itself\n"
     "  a: {provider: p, aliases: [x], fallbacks: [b, y, x]}\n"
     "                                            ^\n"},
    {PROVIDER "models:\n  a: {provider: p, fallbacks: [a, bb]}\n  b: {provider: p}\njobs: {default_provider: q}\n",
     "tutti.yaml:3:31: error: models.a.fallbacks: there is no model 'bb'\n"
     "  a: {provider: p, fallbacks: [a, bb]}\n"
     "                              ^\n"
     "tutti.yaml:3:31: error: models.a.fallbacks: 'a' is the model itself\n"
     "  a: {provider: p, fallbacks: [a, bb]}\n"
     "                              ^\n"
     "tutti.yaml:5:26: error: jobs.default_provider: there is no provider 'q'\n"
     "jobs: {default_provider: q}\n"
     "                         ^\n"},
    {"providers:\n  p:\n    api: gemini\n    base_url: http://h\n    api_key: '${env:A:-x}'\n    api_keys: "
     "['${env:B:-y}']\n"
     "models: {m: {provider: p}}\n",
     "tutti.yaml:6:15: error: providers.p: api_key and api_keys exclude each other\n"
     "    api_keys: ['${env:B:-y}']\n"
     "              ^\n"},
    {CONFIG_BASE "admin: {listen: 8088}\nbreaker: {failures: -1, open_for: 1us}\n",
     "tutti.yaml:5:17: error: admin.listen: '8088': write host:port, for example 127.0.0.1:8088, or off\n"
     "admin: {listen: 8088}\n"
     "                ^~~~\n"
     "tutti.yaml:6:21: error: breaker.failures: '-1' is not an integer\n"
     "breaker: {failures: -1, open_for: 1us}\n"
     "                    ^~\n"
     "tutti.yaml:6:35: error: breaker.open_for: '1us' is out of range: 10ms to 1h\n"
     "breaker: {failures: -1, open_for: 1us}\n"
     "                                  ^~~\n"},
    /* D-02: a call may not outlive its job */
    {MODEL("    timeout: {total: 40s, idle: 50s}\n") "jobs: {deadline: 30s}\n",
     "tutti.yaml:5:22: error: models.m.timeout.total: 40s is longer than jobs.deadline (30s)\n"
     "    timeout: {total: 40s, idle: 50s}\n"
     "                     ^~~\n"
     "tutti.yaml:5:33: error: models.m.timeout.idle: 50s is longer than timeout.total (40s)\n"
     "    timeout: {total: 40s, idle: 50s}\n"
     "                                ^~~\n"},
    {PROVIDER "models:\n  a: {provider: p, name: x, limits: {requests_per_minute: 5}}\n  b: {provider: p, name: x}\n",
     "tutti.yaml:4:3: error: models.b has the provider, key and vendor name of models.a but other limits: they are one "
     "meter\n"
     "  b: {provider: p, name: x}\n"
     "  ^\n"},
    {MODEL("    limits: {largest_call: 5k}\n"),
     "tutti.yaml:5:28: error: models.m.limits.largest_call needs tokens_per_minute beside it\n"
     "    limits: {largest_call: 5k}\n"
     "                           ^~\n"},
    {MODEL("    limits: {tokens_per_minute: 5k, largest_call: 5k}\n"),
     "tutti.yaml:5:51: error: models.m.limits.largest_call: 5k is not below tokens_per_minute (5k)\n"
     "    limits: {tokens_per_minute: 5k, largest_call: 5k}\n"
     "                                                  ^~\n"},
    {MODEL("    limits: {tokens_per_minute: 1k}\n"), "tutti.yaml:3:3: error: models.m.max_output_tokens: 1024 leaves "
                                                     "no room for a prompt in limits.largest_call (500): every "
                                                     "call would end over_pool\n"
                                                     "  m:\n"
                                                     "  ^\n"},
    {CONFIG_BASE "retry: {base: 30s}\n", "tutti.yaml:5:15: error: retry.base: 30s is longer than retry.cap (20s)\n"
                                         "retry: {base: 30s}\n"
                                         "              ^~~\n"},
    {CONFIG_BASE "kafka: {topics: {jobs: [], results: tutti.calls}}\n",
     "tutti.yaml:5:24: error: kafka.topics.jobs: name at least one topic\n"
     "kafka: {topics: {jobs: [], results: tutti.calls}}\n"
     "                       ^\n"
     "tutti.yaml:5:37: error: kafka.topics.calls: 'tutti.calls' is also in kafka.topics.results\n"
     "kafka: {topics: {jobs: [], results: tutti.calls}}\n"
     "                                    ^~~~~~~~~~~\n"},
    {"", "tutti.yaml: error: models: name at least one model\n"},
    {"models: {}\n", "tutti.yaml: error: models: name at least one model\n"},
    {PROVIDER "models: {'a b': {provider: p}}\n",
     "tutti.yaml:2:11: error: models.a b: a model's id has 1 to 200 characters without blanks\n"
     "models: {'a b': {provider: p}}\n"
     "          ^~~\n"},

    /* the caret under tabs and wide text */
    {CONFIG_BASE "log: {level: \xc3\xbcml, format:\tx}\n",
     "tutti.yaml:5:14: error: log.level: '\xc3\xbcml' is not one of debug, info, warn, error\n"
     "log: {level: \xc3\xbcml, format:\tx}\n"
     "             ^~~\n"
     "tutti.yaml:5:27: error: log.format: 'x' is not one of auto, pretty, logfmt, json\n"
     "log: {level: \xc3\xbcml, format:\tx}\n"
     "                         \t^\n"},
};

static void test_every_problem_has_its_words_and_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_reading r = config_read(cases[i].text, NULL);

        assert_null(r.config);
        cut_summary(r.report);
        assert_string_equal(r.report, cases[i].report);
        config_reading_done(&r);
    }
}

static void test_three_mistakes_at_once(void **state)
{
    struct config_reading r =
        config_read(CONFIG_BASE "kafka: {brokerz: x}\nretry: {attempts: no}\nworkers: -1\n", NULL);

    (void)state;
    assert_null(r.config);
    assert_string_equal(r.report, "tutti.yaml:5:9: error: unknown key 'brokerz' in kafka (did you mean 'brokers'?)\n"
                                  "kafka: {brokerz: x}\n"
                                  "        ^~~~~~~\n"
                                  "tutti.yaml:6:19: error: retry.attempts: 'no' is not an integer\n"
                                  "retry: {attempts: no}\n"
                                  "                  ^~\n"
                                  "tutti.yaml:7:10: error: workers: '-1' is not an integer, or auto\n"
                                  "workers: -1\n"
                                  "         ^~\n"
                                  "3 problems (3 errors, 0 warnings) in tutti.yaml. Nothing was started.\n");
    config_reading_done(&r);
}

static void test_depth_and_size_are_bounded(void **state)
{
    char deep[200];
    struct config_reading r;
    char *large = mem_alloc(5 * 1024 * 1024);

    (void)state;
    memset(deep, '[', sizeof(deep));
    r = config_read_named(deep, sizeof(deep), "tutti.yaml", NULL);
    assert_null(r.config);
    assert_non_null(strstr(r.report, "nested deeper than 16 levels"));
    config_reading_done(&r);
    memset(large, ' ', 5 * 1024 * 1024);
    r = config_read_named(large, 5 * 1024 * 1024, "tutti.yaml", NULL);
    assert_null(r.config);
    assert_non_null(strstr(r.report, "larger than 4 MiB"));
    config_reading_done(&r);
    mem_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_problem_has_its_words_and_place),
        cmocka_unit_test(test_three_mistakes_at_once),
        cmocka_unit_test(test_depth_and_size_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
