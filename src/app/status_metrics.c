/* SPDX-License-Identifier: Apache-2.0 */
/* The gauges of /metrics that are looked up when somebody reads them: limits, breakers, partitions, the build, the
 * process itself. /proc is read here: memory of the kernel, no disk. Main thread. source: Prometheus client library
 * guidelines (process_*) */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/build_id.h"
#include "app/status.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/check.h"

static void begin(struct buf *out, const char *name, const char *provider, const char *model)
{
    buf_printf(out, "%s{", name);
    metrics_print_label(out, "provider", provider, true);
    metrics_print_label(out, "model", model, false);
}

/* --- limits --- */

enum { KIND_RPM, KIND_TPM, KIND_CONCURRENCY, KIND_MAX };

struct limit_sum {
    int64_t configured;
    double cap, level; /* level as far as it is known */
    bool is_known;
};

static void add_pool(struct limit_sum *sums, const struct status_pool *p)
{
    const struct pool_view *v = &p->view;
    const struct {
        int64_t configured, cap, level;
    } kinds[KIND_MAX] = {
        [KIND_RPM] = {p->conf->requests_per_minute, v->req_cap, v->req_level},
        [KIND_TPM] = {p->conf->tokens_per_minute, v->tok_cap, v->tok_level},
        [KIND_CONCURRENCY] = {p->conf->concurrency, p->conf->concurrency, p->conf->concurrency - v->fleet_in_flight},
    };

    for (int k = 0; k < KIND_MAX; k++) {
        sums[k].configured += kinds[k].configured;
        if (!p->is_known || kinds[k].configured == 0)
            continue;
        sums[k].is_known = true;
        sums[k].cap += (double)kinds[k].cap;
        sums[k].level += (double)(kinds[k].level > 0 ? kinds[k].level : 0);
    }
}

/* Both families of one model, into a buffer each: families must stand together. */
static void print_limits_of(const struct status_view *v, const struct model *m, struct buf *capacity, struct buf *ratio)
{
    static const char *const kinds[KIND_MAX] = {"rpm", "tpm", "concurrency"};
    struct limit_sum sums[KIND_MAX] = {0};

    for (int k = 0; k < m->provider->n_keys; k++)
        if (m->pools[k] >= 0 && m->pools[k] < v->n_pools)
            add_pool(sums, &v->pools[m->pools[k]]);
    for (int k = 0; k < KIND_MAX; k++) {
        if (sums[k].configured == 0)
            continue;
        begin(capacity, "tutti_limit_capacity", m->provider->id, m->id);
        metrics_print_label(capacity, "kind", kinds[k], false);
        buf_printf(capacity, "} %lld\n", (long long)sums[k].configured);
        if (!sums[k].is_known || sums[k].cap <= 0)
            continue;
        begin(ratio, "tutti_limit_available_ratio", m->provider->id, m->id);
        metrics_print_label(ratio, "kind", kinds[k], false);
        buf_printf(ratio, "} %.4f\n", sums[k].level / sums[k].cap);
    }
}

static void print_limits(const struct status_view *v, struct buf *out)
{
    const struct registry *reg = &v->wiring->registry;
    struct buf capacity, ratio;

    buf_init(&capacity, 0);
    buf_init(&ratio, 0);
    metrics_print_head(&capacity, "tutti_limit_capacity", "gauge",
                       "Configured limits: requests or tokens per minute, calls at a time; all keys together");
    metrics_print_head(&ratio, "tutti_limit_available_ratio", "gauge",
                       "Share of a limit's bucket that the fleet has left, as last heard");
    for (size_t i = 0; i < reg->n_models && i < METRIC_MODELS_MAX; i++)
        print_limits_of(v, &reg->models[i], &capacity, &ratio);
    buf_add(out, capacity.p, capacity.len);
    buf_add(out, ratio.p, ratio.len);
    buf_done(&capacity);
    buf_done(&ratio);
}

/* --- partitions --- */

static void print_part(struct buf *out, const char *name, const struct report_part *p)
{
    buf_printf(out, "%s{", name);
    metrics_print_label(out, "topic", p->topic, true);
    buf_printf(out, ",partition=\"%d\"} ", (int)p->partition);
}

static void print_parts(const struct status_view *v, struct buf *out)
{
    static const char lag[] = "tutti_kafka_consumer_lag_records", age[] = "tutti_kafka_oldest_unprocessed_age_seconds";
    struct buf ages;

    buf_init(&ages, 0);
    metrics_print_head(out, lag, "gauge", "Records from the lowest unfinished one to the end of the partition");
    metrics_print_head(&ages, age, "gauge", "Age of the oldest record in hand, by its timestamp");
    for (int i = 0; i < v->n_workers; i++) {
        const struct report *r = v->reports[i];

        for (int k = 0; r != NULL && k < r->n_parts; k++) {
            const struct report_part *p = &r->parts[k];
            int64_t age_ms = p->oldest_ts_ms > 0 && r->wall_ms > p->oldest_ts_ms ? r->wall_ms - p->oldest_ts_ms : 0;

            if (p->lag >= 0) {
                print_part(out, lag, p);
                buf_printf(out, "%lld\n", (long long)p->lag);
            }
            print_part(&ages, age, p);
            metrics_print_decimal(&ages, age_ms, 3);
            buf_add_char(&ages, '\n');
        }
    }
    buf_add(out, ages.p, ages.len);
    buf_done(&ages);
}

/* --- the process --- */

static void print_one(struct buf *out, const char *name, const char *kind, const char *help, double value)
{
    metrics_print_head(out, name, kind, help);
    buf_printf(out, "%s %.15g\n", name, value);
}

/* The values of /proc/self/stat behind the command's name; -1 where it cannot be read. */
static void read_stat(double *out_cpu_s, double *out_start_s, double *out_virtual, double *out_resident)
{
    unsigned long long utime, stime, start, vsize;
    double tick = (double)sysconf(_SC_CLK_TCK);
    struct timespec boot = {0}, real = {0};
    char line[1024] = "";
    FILE *f = fopen("/proc/self/stat", "re");
    const char *p;
    long rss;

    *out_cpu_s = *out_start_s = *out_virtual = *out_resident = -1;
    if (f == NULL)
        return;
    p = fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
    (void)fclose(f);
    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %llu %ld",
               &utime, &stime, &start, &vsize, &rss) != 5)
        return;
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    (void)clock_gettime(CLOCK_REALTIME, &real);
    *out_cpu_s = (double)(utime + stime) / tick;
    *out_start_s = (double)real.tv_sec - (double)boot.tv_sec + (double)start / tick;
    *out_virtual = (double)vsize;
    *out_resident = (double)rss * (double)sysconf(_SC_PAGESIZE);
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = -3; /* itself, . and .. */

    if (d == NULL)
        return -1;
    while (readdir(d) != NULL) /* NOLINT(concurrency-mt-unsafe): no other thread reads this directory stream */
        n++;
    (void)closedir(d);
    return n;
}

static void print_process(struct buf *out)
{
    double cpu_s, start_s, virtual_bytes, resident_bytes;
    struct rlimit limit;
    int n_fds = count_fds();

    read_stat(&cpu_s, &start_s, &virtual_bytes, &resident_bytes);
    if (cpu_s >= 0) {
        print_one(out, "process_cpu_seconds_total", "counter", "User and system CPU time", cpu_s);
        print_one(out, "process_start_time_seconds", "gauge", "Start of the process since 1970", start_s);
        print_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory", virtual_bytes);
        print_one(out, "process_resident_memory_bytes", "gauge", "Resident memory", resident_bytes);
    }
    if (n_fds >= 0)
        print_one(out, "process_open_fds", "gauge", "Open file descriptors", n_fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        print_one(out, "process_max_fds", "gauge", "Most file descriptors", (double)limit.rlim_cur);
}

void status_metrics(const struct status_view *v, struct buf *out)
{
    print_limits(v, out);
    print_parts(v, out);
    metrics_print_head(out, "tutti_build_info", "gauge", "What is running");
    buf_add_str(out, "tutti_build_info{");
    metrics_print_label(out, "version", build_version, true);
    metrics_print_label(out, "commit", build_commit, false);
    buf_add_str(out, "} 1\n");
    print_process(out);
}
