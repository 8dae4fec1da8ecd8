/* SPDX-License-Identifier: Apache-2.0 */
/* status, models ls and limits ls: what they make of a service's documents, and of nobody there. The service is a
 * thread that answers with canned text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/cli.h"

enum { WORDS_MAX = 8 };

/* --- the service --- */

struct page {
    const char *path;
    const char *answer; /* status line and body, or all of it */
};

static const struct page *pages; /* pages[], path NULL at the end */
static int listener = -1;
static pthread_t thread;
static char url[64];

static void answer(int fd)
{
    char request[2048] = "", out[8192];
    size_t len = 0;
    ssize_t n;

    while (strstr(request, "\r\n\r\n") == NULL && len < sizeof(request) - 1 &&
           (n = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0)
        request[len += (size_t)n] = '\0';
    for (const struct page *p = pages; p->path != NULL; p++) {
        size_t path_len = strlen(p->path);

        if (strncmp(request, "GET ", 4) != 0 || strncmp(request + 4, p->path, path_len) != 0 ||
            request[4 + path_len] != ' ')
            continue;
        (void)snprintf(out, sizeof(out), "%s", p->answer);
        (void)send(fd, out, strlen(out), MSG_NOSIGNAL);
    }
}

static void *serve(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        answer(fd);
        (void)close(fd);
    }
    return NULL;
}

static void start(const struct page *all)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    pages = all;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
    (void)snprintf(url, sizeof(url), "127.0.0.1:%d", ntohs(a.sin_port));
    CHECK(pthread_create(&thread, NULL, serve, NULL) == 0);
}

static int stop(void **state)
{
    (void)state;
    if (listener < 0)
        return 0;
    (void)shutdown(listener, SHUT_RDWR); /* accept() ends */
    CHECK(pthread_join(thread, NULL) == 0);
    (void)close(listener);
    listener = -1;
    return 0;
}

/* --- the program --- */

struct run {
    int code;
    char *out, *err;
};

static struct run run_tutti(const char *const *words)
{
    static const char *const no_env[] = {NULL};
    const char *argv[WORDS_MAX + 2] = {"tutti"};
    struct run r = {0};
    size_t out_len, err_len;
    FILE *out = open_memstream(&r.out, &out_len), *err = open_memstream(&r.err, &err_len);
    int argc = 1;

    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = words[argc - 1];
    r.code = cli_main(argc, argv, no_env, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return r;
}

static void expect(const char *const *words, int code, const char *out, const char *err)
{
    struct run r = run_tutti(words);

    if (r.code != code || strcmp(r.out, out) != 0 || strcmp(r.err, err) != 0)
        fail_msg("code %d instead of %d\n--- out\n%s--- instead of\n%s--- err\n%s--- instead of\n%s", r.code, code,
                 r.out, out, r.err, err);
    free(r.out);
    free(r.err);
}

static char config_path[64];

static int write_config(void **state)
{
    static const char text[] =
        "providers:\n"
        "  keyless: {api: openai, base_url: 'https://api.example/v1'}\n"
        "  many: {api: anthropic, base_url: 'https://api.example', api_keys: [sk-one, sk-two]}\n"
        "  local: {api: gemini, base_url: 'http://127.0.0.1:1'}\n"
        "models:\n"
        "  gpt: {provider: keyless, name: gpt-4o, aliases: [big, best], price: {input: 2.5, output: 10}}\n"
        "  claude: {provider: many, limits: {requests_per_minute: 500, tokens_per_minute: 300k, concurrency: 7},\n"
        "    fallbacks: [gpt], price: {input: 3, output: 15, cached_input: 0.3}}\n"
        "  home: {provider: local}\n"
        "redis: {url: 'redis://127.0.0.1:1'}\n"
        "admin: {listen: 'off'}\n";
    int fd;

    (void)state;
    (void)snprintf(config_path, sizeof(config_path), "/tmp/tutti-cli-XXXXXX");
    fd = mkstemp(config_path);
    CHECK(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1 && close(fd) == 0);
    return 0;
}

static int remove_config(void **state)
{
    (void)unlink(config_path);
    return stop(state);
}

#define OK_JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

static const char status_doc[] = OK_JSON
    "{\"schema_version\":1,\"state\":\"degraded\",\"verdict\":\"Degraded. 1.0 jobs/s.\",\"version\":\"1.2\",\"build\":"
    "\"abc\",\"group\":\"g\",\"slot\":null,\"config\":\"/etc/t.yaml\",\"uptime_ms\":7384000,\"checks\":[{\"name\":"
    "\"kafka\",\"level\":\"ok\",\"text\":\"x\"},{\"name\":\"redis\",\"level\":\"degraded\",\"text\":\"away\"}],"
    "\"models\":[{\"model\":\"claude\",\"available\":true,\"reason\":\"the last call ended with ok\",\"breaker\":"
    "\"closed\",\"last_outcome\":\"ok\",\"last_outcome_at_ms\":5,\"calls_total\":12,\"calls_ok\":10,\"calls_per_s\":"
    "0.25,\"error_ratio\":0.125,\"rate_limited_last_minute\":2,\"p50_ms\":120.4,\"p95_ms\":null,\"calls_in_flight\":3,"
    "\"requests_available_ratio\":0.5,\"tokens_available_ratio\":null,\"cost_usd_per_hour\":1.5},"
    "{\"model\":\"gpt\",\"available\":false,\"reason\":\"the breaker is open\",\"breaker\":\"open\",\"last_outcome\":"
    "\"timeout\",\"last_outcome_at_ms\":4,\"calls_total\":5,\"calls_ok\":0,\"calls_per_s\":0,\"error_ratio\":null,"
    "\"rate_limited_last_minute\":0,\"p50_ms\":null,\"p95_ms\":null,\"calls_in_flight\":0,"
    "\"requests_available_ratio\":null,\"tokens_available_ratio\":null,\"cost_usd_per_hour\":0}],"
    "\"partitions\":[{\"topic\":\"j\",\"partition\":10,\"worker_id\":\"s.1\",\"offset\":7,\"lag\":null,\"jobs\":0,"
    "\"oldest_age_ms\":null,\"stalled\":false,\"revoking\":false},{\"topic\":\"j\",\"partition\":2,\"worker_id\":"
    "\"s.0\",\"offset\":5,\"lag\":3,\"jobs\":1,\"oldest_age_ms\":61000,\"stalled\":true,\"revoking\":false}],"
    "\"errors\":[{\"error_code\":\"timeout\",\"count\":9,\"last_minute\":4,\"models\":\"gpt\"},{\"error_code\":"
    "\"auth\",\"count\":1,\"last_minute\":0,\"models\":\"gpt\"}]}\n";

static const char limits_doc[] = OK_JSON
    "{\"schema_version\":1,\"limits\":[{\"pool\":\"p1\",\"provider\":\"many\",\"key_id\":\"k\",\"models\":[\"claude\","
    "\"other\"],\"requests_per_minute\":25000,\"tokens_per_minute\":null,\"concurrency\":7,\"known\":true,"
    "\"requests_bucket\":500,\"requests_available\":499,\"tokens_bucket\":null,\"tokens_available\":null,"
    "\"fleet_in_flight\":6,\"fleet_workers\":2,\"in_flight\":1,\"waiting\":4,\"waiting_for\":\"concurrency\","
    "\"paused_ms\":2500},{\"pool\":\"p2\",\"provider\":\"many\",\"key_id\":null,\"models\":[\"x\"],"
    "\"requests_per_minute\":null,\"tokens_per_minute\":1000,\"concurrency\":null,\"known\":false,"
    "\"waiting\":0,\"paused_ms\":0}]}\n";

static const struct page healthy[] = {
    {"/api/v1/status", status_doc}, {"/api/v1/limits", limits_doc}, {"/readyz", OK_JSON "degraded\n"}, {NULL, NULL}};

static void test_status(void **state)
{
    const char *const words[] = {"status", "--url", url, NULL}, *const json[] = {"status", "--json", "--url", url,
                                                                                 NULL};
    const char *const quiet[] = {"status", "-q", "--url", url, NULL};

    (void)state;
    start(healthy);
    expect(words, 0,
           "Degraded. 1.0 jobs/s.\n"
           "  degraded  redis: away\n"
           "tutti 1.2 (abc), group g, slot -, up 2h 3m, /etc/t.yaml\n"
           "\n"
           "MODEL   CALLS/S  P50 MS  P95 MS  ERRORS  429/MIN  IN FLIGHT  REQ LEFT  TOK LEFT  USD/HOUR  STATE\n"
           "claude      0.2     120       -     12%        2          3       50%         -      1.50  the last call "
           "ended with ok\n"
           "gpt         0.0       -       -       -        0          0         -         -      0.00  not available: "
           "the breaker is open\n"
           "\n"
           "PARTITION  WORKER  OFFSET  LAG  JOBS  OLDEST\n"
           "j/2        s.0          5    3     1   1m 1s  held back by its oldest job\n"
           "j/10       s.1          7    -     0       -\n"
           "\n"
           "Errors of the last minute: timeout 4 (gpt)\n",
           "");
    expect(json, 0, strchr(status_doc, '{'), "");
    expect(quiet, 0, "", "");
}

/* A health check: 0 exactly when /readyz is 200. */
static void test_quiet_is_readyz(void **state)
{
    static const struct {
        const char *answer;
        int code;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\nok\n", 0},
        {"HTTP/1.1 200 OK\r\n\r\ndegraded\n", 0},
        {"HTTP/1.1 503 Nope\r\n\r\nnot ready\n", 1},
        {"HTTP/1.1 404 Nope\r\n\r\n", 1},
        {"SSH-2.0-OpenSSH_9.2\r\n", 69},
        {"", 69},
        {"HTTP/1.1 banana\r\n\r\n", 69},
    };
    const char *const words[] = {"status", "--quiet", "--url", url, NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct page all[] = {{"/readyz", cases[i].answer}, {NULL, NULL}};

        start(all);
        expect(words, cases[i].code, "", "");
        (void)stop(NULL);
    }
    expect(words, 69, "", ""); /* nobody listens there any more */
}

static void test_status_that_is_none(void **state)
{
    static const struct page odd[] = {{"/api/v1/status", OK_JSON "{\"hello\":1}"}, {NULL, NULL}};
    static const struct page not_ready[] = {
        {"/api/v1/status", OK_JSON "{\"state\":\"not_ready\",\"verdict\":\"Not ready: starting.\"}"}, {NULL, NULL}};
    const char *const words[] = {"status", "--url", url, NULL};
    const char *const off[] = {"status", "-c", config_path, NULL};
    char err[160];
    struct run r;

    (void)state;
    start(odd);
    (void)snprintf(err, sizeof(err), "tutti status: no service at http://%s: it does not answer like a tutti\n", url);
    expect(words, 69, "", err);
    (void)stop(NULL);
    start(not_ready);
    r = run_tutti(words);
    assert_int_equal(r.code, 1);
    assert_memory_equal(r.out, "Not ready: starting.\n", 21);
    free(r.out);
    free(r.err);
    expect(off, 69, "", "tutti status: admin.listen is off\n");
}

/* D-47: availability is what is configured, the key, the breaker and the last outcome; each is stated. */
static void test_d47_models(void **state)
{
    const char *const alone[] = {"models", "ls", "-c", config_path, NULL};
    const char *const live[] = {"models", "ls", "-c", config_path, "--url", url, NULL};
    const char *const json[] = {"models", "ls", "-c", config_path, "--json", NULL};
    char want[2048];
    struct run r;

    (void)state;
    (void)snprintf(want, sizeof(want),
                   "gpt  NOT available: no API key is configured for the provider keyless\n"
                   "    provider keyless (openai), name gpt-4o, no key; also called big, best\n"
                   "    limits none; price 2.5 in, 10 out (USD per million tokens)\n"
                   "claude  available: configured; no service tells how it does\n"
                   "    provider many (anthropic), name claude, 2 keys\n"
                   "    limits 500 requests/min, 300k tokens/min, 7 at a time; price 3 in, 15 out, 0.3 cached (USD per "
                   "million tokens)\n"
                   "    when it fails: gpt\n"
                   "home  available: configured; no service tells how it does\n"
                   "    provider local (gemini), name home, no key\n"
                   "    limits none; price unknown\n"
                   "\n"
                   "3 models, 2 available, by the configuration alone (%s): no service at (nowhere): admin.listen is "
                   "off.\n",
                   config_path);
    r = run_tutti(alone);
    assert_string_equal(r.out, want);
    assert_int_equal(r.code, 0);
    assert_null(strstr(r.out, "sk-"));
    free(r.out);
    free(r.err);

    start(healthy);
    r = run_tutti(live);
    assert_non_null(strstr(r.out, "gpt  NOT available: the breaker is open\n"));
    assert_non_null(strstr(r.out, "    breaker open; 5 calls, 0 answered; last outcome timeout\n"));
    assert_non_null(strstr(r.out, "claude  available: the last call ended with ok\n"));
    assert_non_null(strstr(r.out, "home  NOT available: the running service does not have it: reload or restart it\n"));
    assert_non_null(strstr(r.out, "3 models, 1 available, by the service at http://127.0.0.1:"));
    free(r.out);
    free(r.err);

    r = run_tutti(json);
    assert_non_null(strstr(r.out,
                           "{\"model\":\"gpt\",\"aliases\":[\"big\",\"best\"],\"provider\":\"keyless\",\"dialect\":"
                           "\"openai\",\"vendor_model\":\"gpt-4o\",\"key_present\":false,\"keys\":0,"));
    assert_non_null(strstr(r.out,
                           "\"available\":false,\"reason\":\"no API key is configured for the provider keyless\","
                           "\"breaker\":null,\"last_outcome\":null"));
    assert_null(strstr(r.out, "sk-"));
    free(r.out);
    free(r.err);
}

static void test_limits(void **state)
{
    const char *const words[] = {"limits", "ls", "-c", config_path, "--url", url, NULL};
    char want[1024];

    (void)state;
    start(healthy);
    (void)snprintf(
        want, sizeof(want),
        "MODELS         PROVIDER  REQUESTS/MIN        LEFT  TOKENS/MIN  LEFT  AT A TIME  IN FLIGHT  WORKERS  "
        "          WAITING  PAUSED  POOL\n"
        "claude, other  many               25k  499 of 500           -     -          7          6        2  "
        "4 for concurrency   2.5 s  p1\n"
        "x              many                 -           -          1k     -          -          -        -  "
        "                0       -  p2\n"
        "\n"
        "By the service at http://%s. LEFT, IN FLIGHT and WORKERS are the fleet's, WAITING are its own "
        "calls.\n",
        url);
    expect(words, 0, want, "");
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *err;
    } cases[] = {
        {{"status", "x"}, "tutti status: takes no argument, 'x' was given; see 'tutti status --help'\n"},
        {{"status", "--quiet", "--json"},
         "tutti status: --quiet prints nothing, --json does; see 'tutti status --help'\n"},
        {{"status", "--url", "https://h:1"},
         "tutti status: --url takes http://: the admin server has no TLS; see 'tutti status --help'\n"},
        {{"status", "--url", "h"}, "tutti status: --url takes http://HOST:PORT, not 'h'; see 'tutti status --help'\n"},
        {{"status", "--url", "h:p"},
         "tutti status: --url takes http://HOST:PORT, not 'h:p'; see 'tutti status --help'\n"},
        {{"models"}, "tutti models: name what to do: ls; see 'tutti models --help'\n"},
        {{"models", "lst"}, "tutti models: unknown word 'lst' (did you mean 'ls'?); see 'tutti models --help'\n"},
        {{"limits", "ls", "x"}, "tutti limits: ls takes no argument, 'x' was given; see 'tutti limits --help'\n"},
        {{"limit", "ls"}, "tutti: unknown command 'limit' (did you mean 'limits'?); see 'tutti help'\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(cases[i].words, 64, "", cases[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_status, stop),
        cmocka_unit_test_teardown(test_quiet_is_readyz, stop),
        cmocka_unit_test_setup_teardown(test_status_that_is_none, write_config, remove_config),
        cmocka_unit_test_setup_teardown(test_d47_models, write_config, remove_config),
        cmocka_unit_test_setup_teardown(test_limits, write_config, remove_config),
        cmocka_unit_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
