/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator over real sockets: it runs on a thread of its own, the test is a blocking client. Each test gets a new
 * server and, after stopping it, its log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/sim/harness.h"

static void answers_and_repeats_itself(void **state)
{
    struct server *s = server_start("big,latency=1ms,bytes=4000", NULL);
    int fd = dial(s);
    char *first = NULL;

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *model = i < 2 ? "m" : "big";
        struct answer a;
        const char *content;
        json_t *tree;

        ask(fd, model, "What is it? JOB:j-1", "Idempotency-Key: ik\r\n");
        a = hear(fd);
        assert_int_equal(a.status, 200);
        content = content_of(&a, &tree);
        assert_non_null(content);
        assert_int_equal(strncmp(content, "ANSWER ", 7), 0);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(tree, "usage"), "completion_tokens")),
                         i < 2 ? 100 : 1000);
        if (i == 0)
            first = mem_strdup(content);
        else if (i == 1)
            assert_string_equal(content, first);
        if (i == 2)
            assert_in_range(a.body.len, 4200, 4800);
        json_decref(tree);
        answer_done(&a);
    }
    mem_free(first);
    (void)close(fd);
    server_stop(s);
    assert_int_equal(s->n_lines, 3);
    assert_int_equal(s->stats.paid, 3);
    assert_int_equal(json_integer_value(json_object_get(s->lines[0], "attempt")), 1);
    assert_int_equal(json_integer_value(json_object_get(s->lines[1], "attempt")), 2);
    assert_int_equal(json_integer_value(json_object_get(s->lines[2], "attempt")), 1);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(string_at(s->lines[i], "decision", NULL), "ok");
        assert_string_equal(string_at(s->lines[i], "job", NULL), "j-1");
        assert_string_equal(string_at(s->lines[i], "idempotency_key", NULL), "ik");
        assert_string_equal(string_at(s->lines[i], "key_id", NULL), "none");
        assert_true(json_is_true(json_object_get(s->lines[i], "paid")));
        assert_true(json_is_integer(json_object_get(s->lines[i], "answered_ms")));
    }
    server_free(s);
}

/* What each order does on the wire and in the log. */
static void orders(void **state)
{
    static const struct {
        const char *prompt;
        const char *model;
        int status;
        bool is_whole;
        bool is_reset;
        const char *in_body; /* NULL: not looked at */
        const char *in_head;
        const char *decision;
        bool is_paid;
    } rows[] = {
        {"[[sim: status=500]]", "m", 500, true, false, "server_error", NULL, "status", false},
        {"[[sim: status=429 retry_after=2]]", "m", 429, true, false, "rate_limit_exceeded", "retry-after: 2\r\n",
         "status", false},
        {"[[sim: e503]]", "m", 503, true, false, "server_is_overloaded", NULL, "e503", false},
        {"[[sim: reset]]", "m", 0, false, true, NULL, NULL, "reset", false},
        {"[[sim: truncate]]", "m", 200, false, false, NULL, NULL, "truncate", false},
        {"[[sim: stall=20ms]]", "m", 200, true, false, "ANSWER m", NULL, "stall", true},
        {"[[sim: empty]]", "m", 200, true, false, "\"content\":\"\"", NULL, "empty", true},
        {"[[sim: bad_json]]", "m", 200, true, false, NULL, NULL, "bad_json", true},
        {"[[sim: error200]]", "m", 200, true, false, "\"code\":502", NULL, "error200", false},
        {"[[sim: answer=Error: \"is\" a word]]", "m", 200, true, false, "Error: \\\"is\\\" a word", NULL, "ok", true},
        {"[[sim: finish=content_filter]]", "m", 200, true, false, "\"finish_reason\":\"content_filter\"", NULL, "ok",
         true},
        {"[[sim: markup]]", "m", 200, true, false, "\\n- item ", NULL, "ok", true},
        {"[[sim: status=500 model=other]]", "m", 200, true, false, "ANSWER m", NULL, "ok", true},
        {"x", "nobody", 404, true, false, "\"code\":\"model_not_found\"", NULL, "no_model", false},
    };
    struct server *s = server_start(NULL, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = dial(s);
        struct answer a;

        ask(fd, rows[i].model, rows[i].prompt, "");
        a = hear(fd);
        assert_int_equal(a.status, rows[i].status);
        assert_int_equal(a.is_whole, rows[i].is_whole);
        assert_int_equal(a.error, rows[i].is_reset ? ECONNRESET : 0);
        if (rows[i].in_body != NULL)
            assert_non_null(strstr(a.body.p, rows[i].in_body));
        if (rows[i].in_head != NULL)
            assert_non_null(strstr(a.head.p, rows[i].in_head));
        answer_done(&a);
        (void)close(fd);
    }
    server_stop(s);
    assert_int_equal(s->n_lines, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(string_at(s->lines[i], "decision", NULL), rows[i].decision);
        assert_int_equal(json_integer_value(json_object_get(s->lines[i], "status")), rows[i].status);
        assert_int_equal(json_is_true(json_object_get(s->lines[i], "paid")), rows[i].is_paid);
        assert_int_equal(json_is_null(json_object_get(s->lines[i], "answered_ms")), !rows[i].is_whole);
        assert_true(json_is_false(json_object_get(s->lines[i], "gone")));
    }
    server_free(s);
}

/* times=2: the same prompt gets two failures, then its answer, on one kept connection. */
static void fails_twice_then_answers(void **state)
{
    static const int want[] = {500, 500, 200};
    struct server *s = server_start(NULL, NULL);
    int fd = dial(s);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct answer a;

        ask(fd, "m", "[[sim: status=500 times=2]]", "");
        a = hear(fd);
        assert_int_equal(a.status, want[i]);
        answer_done(&a);
    }
    (void)close(fd);
    server_stop(s);
    assert_int_equal(s->stats.paid, 1);
    server_free(s);
}

static void silence_and_drip_end_when_the_client_goes(void **state)
{
    struct server *s = server_start(NULL, NULL);
    struct timeval limit = {.tv_usec = 60000};

    (void)state;
    for (int i = 0; i < 2; i++) {
        int fd = dial(s);
        struct answer a;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
        ask(fd, "m", i == 0 ? "[[sim: silence]]" : "[[sim: drip]]", "");
        a = hear(fd);
        assert_int_equal(a.status, i == 0 ? 0 : 200);
        assert_int_equal(a.error, EAGAIN);
        assert_int_equal(a.body.len, 0); /* the first byte comes after a second */
        answer_done(&a);
        (void)close(fd);
        fd = dial(s); /* whoever is answered now was read after the close */
        ask(fd, "m", "x", "");
        a = hear(fd);
        answer_done(&a);
        (void)close(fd);
    }
    server_stop(s);
    assert_int_equal(s->stats.gone, 2);
    assert_string_equal(string_at(s->lines[0], "decision", NULL), "silence");
    assert_true(json_is_true(json_object_get(s->lines[0], "gone")));
    assert_string_equal(string_at(s->lines[2], "decision", NULL), "drip");
    assert_true(json_is_false(json_object_get(s->lines[2], "paid")));
    server_free(s);
}

static void limits_hold_per_key(void **state)
{
    static const struct {
        const char *headers;
        int status;
        const char *decision;
    } rows[] = {
        {"Authorization: Bearer k1\r\n", 200, "ok"},
        {"Authorization: Bearer k1\r\n", 200, "ok"},
        {"Authorization: Bearer k1\r\n", 429, "over_rpm"},
        {"Authorization: Bearer k2\r\n", 200, "ok"},
        {"Authorization: Bearer wrong-key\r\n", 401, "unauthorized"},
        {"", 401, "unauthorized"},
        {"api-key: k2\r\n", 200, "ok"},
        {"api-key: k2\r\n", 429, "over_rpm"},
    };
    struct server *s = server_start("lim,latency=1ms,rpm=2,window=10m", "k1,k2");
    int fd = dial(s);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;

        ask(fd, "lim", "x", rows[i].headers);
        a = hear(fd);
        assert_int_equal(a.status, rows[i].status);
        if (a.status == 429) {
            assert_non_null(strstr(a.head.p, "retry-after: 600\r\n"));
            assert_non_null(strstr(a.head.p, "x-ratelimit-remaining-requests: 0\r\n"));
            assert_non_null(strstr(a.body.p, "Limit 2, Used 2, Requested 1. Please try again in "));
        }
        if (a.status == 401)
            assert_null(strstr(a.body.p, "wrong-key"));
        answer_done(&a);
    }
    (void)close(fd);
    server_stop(s);
    assert_int_equal(s->stats.over_limit, 2);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(string_at(s->lines[i], "decision", NULL), rows[i].decision);
        assert_int_equal(json_is_true(json_object_get(s->lines[i], "over_limit")), rows[i].status == 429);
    }
    assert_string_not_equal(string_at(s->lines[0], "key_id", NULL), string_at(s->lines[3], "key_id", NULL));
    server_free(s);
}

static void concurrency_counts_what_is_under_way(void **state)
{
    struct server *s = server_start("one,latency=100ms,concurrency=1", NULL);
    int first = dial(s);
    int second = dial(s);
    struct answer a;

    (void)state;
    ask(first, "one", "a", "");
    ask(first, "m", "pipelined", ""); /* waits for the first */
    ask(second, "m", "b", "");        /* when this is answered, the first is under way */
    a = hear(second);
    assert_int_equal(a.status, 200);
    answer_done(&a);
    ask(second, "one", "c", "");
    a = hear(second);
    assert_int_equal(a.status, 429);
    answer_done(&a);
    a = hear(first);
    assert_int_equal(a.status, 200);
    answer_done(&a);
    a = hear(first);
    assert_non_null(strstr(a.body.p, "ANSWER m"));
    answer_done(&a);
    ask(second, "one", "c", "");
    a = hear(second);
    assert_int_equal(a.status, 200);
    answer_done(&a);
    (void)close(first);
    (void)close(second);
    server_stop(s);
    assert_string_equal(string_at(s->lines[1], "decision", NULL), "over_concurrency");
    assert_int_equal(json_integer_value(json_object_get(s->lines[1], "in_flight")), 2);
    server_free(s);
}

static void other_requests(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *in_body;
        bool is_closed;
    } rows[] = {
        {"GET /health HTTP/1.1\r\n\r\n", 200, "ok", false},
        {"GET /v1/models HTTP/1.1\r\n\r\n", 200, "\"id\":\"m\"", false},
        {"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n", 200, "\"id\":\"m\"", true},
        {"GET /nothing HTTP/1.1\r\n\r\n", 404, "Invalid URL (GET /nothing)", false},
        {"POST /v1/chat/completions HTTP/1.1\r\n\r\n", 411, "Content-Length", true},
        {"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{]", 400, "could not parse", false},
        {"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400, "a model parameter", false},
        {"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413, "too large", true},
        {"POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 100, NULL, false},
        {"garbage\r\n\r\n", 400, "not an HTTP request", true},
    };
    struct server *s = server_start(NULL, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = dial(s);
        struct answer a;
        char byte;

        put(fd, rows[i].request, strlen(rows[i].request));
        a = hear(fd);
        assert_int_equal(a.status, rows[i].status);
        if (rows[i].in_body != NULL)
            assert_non_null(strstr(a.body.p, rows[i].in_body));
        if (rows[i].is_closed)
            assert_int_equal(recv(fd, &byte, 1, 0), 0);
        answer_done(&a);
        (void)close(fd);
    }
    server_stop(s);
    server_free(s);
}

/* Sentences for who reads them; what is hard to carry comes when it is ordered, whole in every dialect's JSON. */
static void answers_in_plain_words(void **state)
{
    static const struct {
        const char *prompt;
        bool is_plain;
    } rows[] = {{"What is it?", true}, {"And why?", true}, {"What is it? [[sim: markup]]", false}};
    struct server *s = server_start(NULL, NULL);
    int fd = dial(s);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;
        const char *content;
        size_t n_hard = 0;
        json_t *tree;

        ask(fd, "m", rows[i].prompt, "");
        a = hear(fd);
        content = content_of(&a, &tree);
        assert_non_null(content);
        assert_int_equal(strncmp(content, "ANSWER m: ", 10), 0);
        for (const char *p = content; *p != '\0'; p++)
            n_hard += strchr("\"\\`*#\n", *p) != NULL || (unsigned char)*p >= 0x80;
        assert_int_equal(n_hard == 0, rows[i].is_plain);
        assert_in_range(strlen(content), 300, 400);
        assert_int_equal(content[strlen(content) - 1] == '.', rows[i].is_plain);
        json_decref(tree);
        answer_done(&a);
    }
    (void)close(fd);
    server_stop(s);
    server_free(s);
}

/* One model, one prompt, all dialects: the same text, each request in the log with its dialect. */
static void three_dialects_on_one_port(void **state)
{
    static const struct {
        const char *line;
        const char *body;
        int status;
        const char *in_body;
        const char *in_head;
        const char *dialect;
        const char *decision;
    } rows[] = {
        {"/v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer k1",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 200,
         "\"content\":\"ANSWER m: ", "\r\nx-request-id: ", "openai", "ok"},
        {"/v1/messages HTTP/1.1\r\nx-api-key: k1\r\nanthropic-version: 2023-06-01",
         "{\"model\":\"m\",\"max_tokens\":999,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 200,
         "\"text\":\"ANSWER m: ", "\r\nrequest-id: ", "anthropic", "ok"},
        {"/v1beta/models/m:generateContent HTTP/1.1\r\nx-goog-api-key: k1",
         "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}", 200,
         "\"text\":\"ANSWER m: ", "\r\nserver-timing: ", "gemini", "ok"},
        {"/v1/messages HTTP/1.1\r\nx-api-key: k1", "{}", 400, "anthropic-version: header is required", NULL,
         "anthropic", "bad_request"},
        {"/v1/messages HTTP/1.1\r\nx-api-key: no\r\nanthropic-version: 1", "{}", 401, "\"authentication_error\"", NULL,
         "anthropic", "unauthorized"},
        {"/v1beta/models/m:generateContent?key=no HTTP/1.1", "{}", 400, "\"API_KEY_INVALID\"", NULL, "gemini",
         "unauthorized"},
        {"/v1beta/models/m:generateContent HTTP/1.1", "{}", 403, "\"PERMISSION_DENIED\"", NULL, "gemini",
         "unauthorized"},
        {"/v1beta/models/n:generateContent?key=k1 HTTP/1.1", "{\"contents\":[{}]}", 404, "models/n is not found", NULL,
         "gemini", "no_model"},
        {"/v1beta/models/m:countTokens?key=k1 HTTP/1.1", "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}", 200,
         "\"totalTokens\":8", NULL, "gemini", "count"},
        {"/v1beta/models/m:streamGenerateContent?key=k1 HTTP/1.1", "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}",
         200, "[{\"candidates\":", "application/json", "gemini", "ok"},
        {"/v1beta/models/m:streamGenerateContent?alt=sse&key=k1 HTTP/1.1",
         "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}", 200, "data: {\"candidates\":", "text/event-stream",
         "gemini", "ok"},
    };
    struct server *s = server_start(NULL, "k1");
    int fd = dial(s);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;
        struct buf b;

        buf_init(&b, 0);
        buf_printf(&b, "POST %s\r\ncontent-length: %zu\r\n\r\n%s", rows[i].line, strlen(rows[i].body), rows[i].body);
        put(fd, b.p, b.len);
        a = hear(fd);
        assert_int_equal(a.status, rows[i].status);
        assert_non_null(strstr(a.body.p, rows[i].in_body));
        if (rows[i].in_head != NULL)
            assert_non_null(strstr(a.head.p, rows[i].in_head));
        answer_done(&a);
        buf_done(&b);
    }
    (void)close(fd);
    server_stop(s);
    assert_int_equal(s->n_lines, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(string_at(s->lines[i], "dialect", NULL), rows[i].dialect);
        assert_string_equal(string_at(s->lines[i], "decision", NULL), rows[i].decision);
        if (i > 0 && i < 3) {
            assert_string_equal(string_at(s->lines[i], "prompt_sha256", NULL),
                                string_at(s->lines[0], "prompt_sha256", NULL));
            assert_int_equal(json_integer_value(json_object_get(s->lines[i], "attempt")), i + 1);
        }
    }
    server_free(s);
}

static void stops_with_requests_under_way(void **state)
{
    struct server *s = server_start(NULL, NULL);
    int fd = dial(s);
    int other = dial(s);
    struct answer a;

    (void)state;
    ask(fd, "m", "[[sim: latency=10m]]", "");
    ask(other, "m", "x", "");
    a = hear(other);
    answer_done(&a);
    server_stop(s);
    assert_int_equal(s->stats.in_flight, 1);
    assert_int_equal(s->n_lines, 2);
    assert_true(json_is_true(json_object_get(s->lines[1], "gone")));
    (void)close(fd);
    (void)close(other);
    server_free(s);
}

static void says_why_it_cannot_listen(void **state)
{
    struct server *s = server_start(NULL, NULL);
    struct loop *loop = loop_new();
    struct sim_conf c;
    const char *why = NULL;

    (void)state;
    sim_conf_init(&c);
    c.port = s->port;
    assert_null(sim_new(loop, &c, &why));
    assert_non_null(strstr(why, "cannot listen on 127.0.0.1:"));
    assert_int_equal(sim_conf_set(&c, "log", "/nonexistent/dir/log", &why), 0);
    assert_null(sim_new(loop, &c, &why));
    assert_non_null(strstr(why, "cannot write the log"));
    sim_conf_done(&c);
    loop_free(loop);
    server_stop(s);
    server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_repeats_itself),
        cmocka_unit_test(orders),
        cmocka_unit_test(fails_twice_then_answers),
        cmocka_unit_test(silence_and_drip_end_when_the_client_goes),
        cmocka_unit_test(limits_hold_per_key),
        cmocka_unit_test(concurrency_counts_what_is_under_way),
        cmocka_unit_test(other_requests),
        cmocka_unit_test(answers_in_plain_words),
        cmocka_unit_test(three_dialects_on_one_port),
        cmocka_unit_test(stops_with_requests_under_way),
        cmocka_unit_test(says_why_it_cannot_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
