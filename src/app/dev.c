/* SPDX-License-Identifier: Apache-2.0 */
/* The servers of `tutti dev` live on the main loop, the worker on a thread of its own beside them. Main thread. */
#include "app/dev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/builtin.h"
#include "app/config.h"
#include "app/relay.h"
#include "app/run.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "impl/broker_mock.h"
#include "loop.h"
#include "sim.h"

enum { KAFKA_PORT = 9092, SIM_PORT = 8089, ADMIN_PORT = 8088, WARN_PERCENT = 80, COUNT_MS = 500, ADDRESS_BYTES = 32 };

static const char *const topics[] = {"tutti.jobs",    "tutti.results", "tutti.calls",   "tutti.model-stats",
                                     "tutti.batches", "tutti.control", "dlq.tutti.jobs"};
enum { JOBS, RESULTS, CALLS, MODEL_STATS, BATCHES, CONTROL, DEAD_LETTERS };

struct dev {
    struct loop *loop;
    struct sim *sim;
    struct mock_kafka *kafka;
    struct relay *relay;
    int admin_port;
    struct buf config;
    struct timer count;
    int told[ARRAY_LEN(topics) * DEV_PARTITIONS]; /* 0, then WARN_PERCENT, then 100: what was warned of */
};

/* The port when it is free (0: one that is), else -1. Whoever listens on it comes a moment later. */
static int try_port(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(a);
    const int one = 1;

    CHECK(fd >= 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    port = -1;
    if (bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    (void)close(fd); /* nothing was written to it */
    return port;
}

/* The port to listen on: what was asked for, else the usual one, else any (0). */
static int choose(int asked, int usual)
{
    if (asked >= 0)
        return asked;
    return try_port(usual) > 0 ? usual : 0;
}

static bool start_sim(struct dev *d, int port, char *why, size_t size)
{
    struct sim_conf conf;
    const char *text;
    char words[128];

    sim_conf_init(&conf);
    conf.port = port;
    for (size_t i = 0; i < BUILTIN_MODELS; i++) {
        (void)snprintf(words, sizeof(words), "%s,%s", builtin_models[i].name, builtin_models[i].words);
        CHECK(sim_conf_set(&conf, "model", words, &text) == 0);
    }
    d->sim = sim_new(d->loop, &conf, &text);
    sim_conf_done(&conf);
    if (d->sim == NULL)
        (void)snprintf(why, size, "simulated models on port %d: %s", port, text);
    return d->sim != NULL;
}

static bool start_kafka(struct dev *d, int port, char *why, size_t size)
{
    const char *brokers;
    int error = 0;

    d->kafka = mock_kafka_new(topics, ARRAY_LEN(topics), DEV_PARTITIONS, why, size);
    if (d->kafka == NULL)
        return false;
    brokers = mock_kafka_brokers(d->kafka);
    d->relay = relay_new(d->loop, port, (int)strtol(strrchr(brokers, ':') + 1, NULL, 10), &error);
    if (d->relay == NULL)
        (void)snprintf(why, size, "Kafka on port %d: %s", port, strerror(error));
    return d->relay != NULL;
}

static void write_config(struct dev *d)
{
    char sim[ADDRESS_BYTES];
    const struct builtin b = {.brokers = mock_kafka_brokers(d->kafka), .sim = sim};

    (void)snprintf(sim, sizeof(sim), "127.0.0.1:%d", sim_port(d->sim));
    builtin_write(&b, &d->config);
    buf_printf(&d->config, "admin: {listen: \"127.0.0.1:%d\"}\n", d->admin_port);
}

static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_count(void *arg)
{
    struct dev *d = arg;
    const struct mock_kafka_usage *usage;
    int n;

    mock_kafka_count(d->kafka);
    usage = mock_kafka_usage(d->kafka, &n);
    for (int i = 0; i < n; i++) {
        int64_t percent = usage[i].bytes * 100 / MOCK_KAFKA_PARTITION_BYTES;
        int step = percent >= 100 ? 100 : percent >= WARN_PERCENT ? WARN_PERCENT : 0;

        if (step <= d->told[i])
            continue;
        d->told[i] = step;
        log_event(LOG_WARN, step < 100 ? "partition_nearly_full" : "partition_full",
                  "topic=\"%s\" part=%d records=%lld bytes=%lld limit=%d why=\"%s\"", usage[i].topic,
                  usage[i].partition, (long long)usage[i].records, (long long)usage[i].bytes,
                  MOCK_KAFKA_PARTITION_BYTES,
                  step < 100 ? "soon the oldest records are dropped" : "the oldest records are dropped from now on");
    }
    timer_start(d->loop, &d->count, loop_now_us(d->loop) + COUNT_MS * 1000);
}

struct dev *dev_new(const struct dev_conf *conf, char *why, size_t size)
{
    struct dev *d = mem_zero(sizeof(*d));

    block_signals();
    d->loop = loop_new();
    CHECK(d->loop != NULL);
    buf_init(&d->config, 0);
    timer_init(&d->count, on_count, d);
    d->admin_port = choose(conf->admin_port, ADMIN_PORT);
    if (d->admin_port == 0)
        d->admin_port = try_port(0); /* the page's address is said before it is there */
    if (!start_sim(d, choose(conf->sim_port, SIM_PORT), why, size) ||
        !start_kafka(d, choose(conf->kafka_port, KAFKA_PORT), why, size)) {
        dev_free(d);
        return NULL;
    }
    write_config(d);
    return d;
}

const char *dev_config(const struct dev *d)
{
    return d->config.p;
}

/* --set may change much, but not where things are. */
static void fix_config(const struct dev *d, struct config *c)
{
    static const char *const jobs[] = {"tutti.jobs"};

    c->kafka.brokers = mock_kafka_brokers(d->kafka);
    c->kafka.slot = "dev";
    c->kafka.delivery = CONFIG_AT_LEAST_ONCE;
    c->kafka.jobs = (struct config_list){.items = jobs, .n = 1};
    c->kafka.results = topics[RESULTS];
    c->kafka.calls = topics[CALLS];
    c->kafka.model_stats = topics[MODEL_STATS];
    c->kafka.batches = topics[BATCHES];
    c->kafka.control = topics[CONTROL];
    c->kafka.dead_letters = topics[DEAD_LETTERS];
    c->journal.is_enabled = false; /* the one in memory stands for it */
    c->workers = 1;
}

static void print_models(const struct dev *d, FILE *out)
{
    (void)fprintf(out, "  Models (simulated)  127.0.0.1:%-7d", sim_port(d->sim));
    for (size_t i = 0; i < BUILTIN_MODELS; i++)
        (void)fprintf(out, "%s%s %s", i == 0 ? "" : "    ", builtin_models[i].name, builtin_models[i].shown);
    (void)fprintf(out, "\n");
}

static void print_banner(const struct dev *d, const struct config *c, FILE *out)
{
    int kafka = relay_port(d->relay), sim = sim_port(d->sim);
    char brokers[ADDRESS_BYTES + 16] = "", at[ADDRESS_BYTES + 16] = "";

    if (kafka != KAFKA_PORT)
        (void)snprintf(brokers, sizeof(brokers), " --brokers 127.0.0.1:%d", kafka);
    if (sim != SIM_PORT)
        (void)snprintf(at, sizeof(at), " --sim 127.0.0.1:%d", sim);
    (void)fprintf(out, "  Kafka (in memory)   127.0.0.1:%-7dtopics:", kafka);
    for (size_t i = 0; i < ARRAY_LEN(topics); i++)
        (void)fprintf(out, "%s %s", i == 4 ? "\n                                           " : "", topics[i]);
    (void)fprintf(out, "\n");
    print_models(d, out);
    if (strcmp(c->admin_listen, "off") != 0)
        (void)fprintf(out, "  Status page         http://%s/\n", c->admin_listen);
    (void)fprintf(
        out,
        "  State               in memory only. A partition (%d per topic) holds 5 MiB, then its oldest records are\n"
        "                      dropped; a warning comes at %d %%. Ctrl-C ends everything and leaves nothing behind.\n"
        "  Try, in another terminal:\n"
        "      tutti ask \"Name three colours\" -m sim/fast -m sim/smart%s\n"
        "      echo '{\"prompt\":\"hi\",\"models\":[\"sim/fast\"]}' | kcat -P -b 127.0.0.1:%d -t tutti.jobs\n"
        "      tutti tail results%s\n",
        DEV_PARTITIONS, WARN_PERCENT, at, kafka, brokers);
    (void)fflush(out);
}

static long long records_in(const struct dev *d, int topic)
{
    long long records = 0;
    int n;
    const struct mock_kafka_usage *usage = mock_kafka_usage(d->kafka, &n);

    for (int i = 0; i < n; i++)
        if (strcmp(usage[i].topic, topics[topic]) == 0)
            records += usage[i].records;
    return records;
}

int dev_run(struct dev *d, struct config *config, FILE *out)
{
    int exit_code;

    fix_config(d, config);
    print_banner(d, config, out);
    on_count(d);
    exit_code = run_service_beside(config, d->loop);
    timer_stop(d->loop, &d->count);
    mock_kafka_settle(d->kafka);
    (void)fprintf(out, "  Stopped. %lld jobs, %lld results, %lld calls and %lld dead letters are gone with it.\n",
                  records_in(d, JOBS), records_in(d, RESULTS), records_in(d, CALLS), records_in(d, DEAD_LETTERS));
    return exit_code;
}

void dev_free(struct dev *d)
{
    if (d == NULL)
        return;
    relay_free(d->relay);
    mock_kafka_free(d->kafka);
    sim_free(d->sim);
    buf_done(&d->config);
    loop_free(d->loop);
    mem_free(d);
}
