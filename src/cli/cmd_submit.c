/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti submit`: a file of jobs to the jobs topic, checked first, all or nothing. Main thread. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "app/config.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/cli_kafka.h"
#include "cli/submit_file.h"
#include "cli/submit_wait.h"
#include "cli/term.h"

enum { FLUSH_MS = 35000, POLL_MS = 200 };

struct submit {
    struct cli *c;
    struct cli_kafka kafka;
    struct submit_file file;
    const char *topic;
    struct submitted *jobs; /* jobs[file.n] */
    size_t n_sent;
    const char *error; /* of the first that Kafka did not take */
    struct submit_wait wait;
};

static atomic_bool is_interrupted;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&is_interrupted, true);
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_sent(void *arg, size_t tag, int32_t partition, int64_t offset, const char *error)
{
    struct submit *s = arg;

    if (error != NULL) {
        s->error = s->error == NULL ? error : s->error;
        return;
    }
    s->jobs[s->n_sent++] = (struct submitted){.partition = partition, .offset = offset};
    (void)tag;
}

static int send_all(struct submit *s)
{
    struct kafka_sender *sender;
    char why[512] = "";
    int r = kafka_sender_new(&s->kafka.client, s->topic, on_sent, s, &sender, why, sizeof(why));
    size_t n_lost;

    if (r < 0)
        return cli_kafka_failed(s->c, &s->kafka, r, why);
    s->jobs = mem_zero(sizeof(*s->jobs) * (s->file.n + 1));
    for (size_t i = 0; i < s->file.n; i++) {
        const struct submit_line *line = &s->file.lines[i];

        kafka_sender_put(sender, line->key, line->key != NULL ? strlen(line->key) : 0, line->value, line->len, i);
    }
    (void)kafka_sender_flush(sender, FLUSH_MS);
    kafka_sender_free(sender);
    n_lost = s->file.n - s->n_sent;
    if (n_lost == 0)
        return CLI_OK;
    (void)fprintf(s->c->err, "tutti submit: %zu of %zu jobs were not taken by Kafka: %s\n", n_lost, s->file.n,
                  s->error != NULL ? s->error : "no answer");
    return CLI_UNAVAILABLE;
}

/* --- --wait --- */

/* Made before anything is sent: it begins where the topics end now. */
static int open_results(struct submit *s, struct kafka_reader **out)
{
    const struct config_kafka *k = &s->kafka.config->kafka;
    const char *const topics[] = {k->results, k->dead_letters};
    const struct kafka_reader_conf conf = {
        .client = s->kafka.client, .topics = topics, .n_topics = 2, .from = KAFKA_FROM_END};
    char why[512] = "";
    int r = kafka_reader_new(&conf, out, why, sizeof(why));

    return r < 0 ? cli_kafka_failed(s->c, &s->kafka, r, why) : CLI_OK;
}

static int follow(struct submit *s, struct kafka_reader *reader)
{
    struct submit_wait *w = &s->wait;
    const char *dead = s->kafka.config->kafka.dead_letters, *why;
    int r = 0;

    *w = (struct submit_wait){.jobs_topic = s->topic,
                              .jobs = s->jobs,
                              .n = s->n_sent,
                              .width = s->c->is_json ? 0 : term_width(s->c->err),
                              .err = s->c->err};
    submit_wait_begin(w, now_ms());
    while (w->n_over < w->n && r >= 0 && !atomic_load(&is_interrupted)) {
        struct kafka_read record;

        r = kafka_reader_next(reader, POLL_MS, &record, &why);
        if (r == 1)
            submit_wait_take(w, &record, strcmp(record.topic, dead) == 0);
        if (!s->c->is_json)
            submit_wait_tell(w, now_ms());
    }
    if (!s->c->is_json)
        submit_wait_end(w, now_ms());
    if (r < 0)
        return cli_kafka_failed(s->c, &s->kafka, r, why);
    if (w->n_over < w->n) {
        (void)fprintf(s->c->err, "tutti submit: stopped waiting; the jobs go on\n");
        return CLI_STOPPED;
    }
    return w->ok == w->n ? CLI_OK : CLI_SOME_FAILED;
}

/* --- what is said --- */

static void print_json(const struct submit *s, bool has_waited)
{
    const struct submit_wait *w = &s->wait;
    struct json_write j;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&j, &b);
    jw_open(&j, '{');
    jw_kv_str(&j, "topic", s->topic);
    jw_kv_int(&j, "sent", (int64_t)s->n_sent);
    jw_kv_int(&j, "bad", (int64_t)s->file.n_bad);
    jw_kv_str(&j, "batch_id", cli_flag(s->c, "batch-id"));
    if (has_waited) {
        jw_kv_int(&j, "ok", (int64_t)w->ok);
        jw_kv_int(&j, "partial", (int64_t)w->partial);
        jw_kv_int(&j, "failed", (int64_t)w->failed);
        jw_kv_int(&j, "dead_letters", (int64_t)w->dead);
        jw_kv_usd_opt(&j, "cost_usd", (int64_t)(w->cost_usd * 1e9 + 0.5));
        jw_kv_bool(&j, "cost_complete", w->is_cost_complete);
    }
    jw_close(&j, '}');
    buf_add_char(&b, '\n');
    (void)fwrite(b.p, 1, b.len, s->c->out); /* cli_main() tests the stream */
    buf_done(&b);
}

static void print_text(const struct submit *s, bool has_waited)
{
    const char *brokers = cli_flag(s->c, "brokers");
    char where[160] = "";

    if (brokers != NULL)
        (void)snprintf(where, sizeof(where), " --brokers %s", brokers);
    (void)fprintf(s->c->out, "%zu job%s sent to %s at %s\n", s->n_sent, s->n_sent == 1 ? "" : "s", s->topic,
                  s->kafka.client.brokers);
    if (!has_waited)
        (void)fprintf(s->c->out,
                      "  tutti tail results --since 1m%s   # the answers\n"
                      "  tutti tail dlq --since 1m%s       # what was no job\n",
                      where, where);
    (void)fflush(s->c->out); /* also in a pipe before the progress */
}

/* CLI_OK: there is something to send. */
static int look(struct submit *s, const char *path)
{
    bool skips = cli_flag(s->c, "skip-bad") != NULL;

    submit_file_check(&s->file, s->c, s->kafka.config, path, cli_flag(s->c, "batch-id"), !s->kafka.is_built_in);
    if (s->file.n_bad > 0 && !skips) {
        (void)fprintf(s->c->err, "tutti submit: %zu bad of %zu lines: nothing was sent; --skip-bad sends the others\n",
                      s->file.n_bad, s->file.n_bad + s->file.n);
        return CLI_BAD_DATA;
    }
    if (s->file.n == 0) {
        (void)fprintf(s->c->err, "tutti submit: no job in %s\n", path);
        return s->file.n_bad > 0 ? CLI_BAD_DATA : CLI_NO_INPUT;
    }
    return CLI_OK;
}

static int submit(struct submit *s, const char *path)
{
    bool waits = cli_flag(s->c, "wait") != NULL;
    struct kafka_reader *reader = NULL;
    const char *topic = cli_flag(s->c, "topic");
    int code = look(s, path);

    s->topic = topic != NULL ? topic : s->kafka.config->kafka.jobs.items[0];
    if (code == CLI_OK && waits)
        code = open_results(s, &reader);
    if (code == CLI_OK)
        code = send_all(s);
    if (code == CLI_OK && !s->c->is_json)
        print_text(s, waits);
    if (code == CLI_OK && waits)
        code = follow(s, reader);
    if (s->c->is_json && s->jobs != NULL)
        print_json(s, s->wait.jobs != NULL);
    kafka_reader_free(reader);
    if (code == CLI_OK && s->file.n_bad > 0)
        code = CLI_SOME_FAILED;
    return code;
}

int cmd_submit(struct cli *c)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct submit s = {.c = c};
    int code;

    if (c->n_args != 1)
        return cli_usage(c, c->n_args == 0 ? "name a FILE of jobs, or - for stdin" : "takes one FILE");
    code = submit_file_read(&s.file, c, c->args[0]);
    if (code == CLI_OK)
        code = cli_kafka_init(&s.kafka, c);
    if (code == CLI_OK && cli_flag(c, "wait") != NULL)
        (void)sigaction(SIGINT, &action, NULL);
    if (code == CLI_OK)
        code = submit(&s, c->args[0]);
    mem_free(s.jobs);
    submit_file_done(&s.file);
    cli_kafka_done(&s.kafka);
    return code;
}
