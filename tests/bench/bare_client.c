/* SPDX-License-Identifier: Apache-2.0 */
/* The least CPU a call can cost: libcurl's multi interface on epoll, one CURLM per thread, jansson for request and
 * response; no Kafka, no retries, no limits. Prints one line of key=value, which tests/bench/run reads. Links nothing
 * of ours: it is what ours is measured against. Each worker is one thread; main() only waits for them.
 *
 *     bare_client URL THREADS CONCURRENCY SECONDS [CALLS-PER-SECOND] */
#include <curl/curl.h>
#include <jansson.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LATENCIES = 4000000, MAX_THREADS = 64, MAX_EVENTS = 256, PROMPT_BYTES = 1000 };

/* One connection's worth of work: a call after the other. */
struct slot {
    CURL *easy;
    char *request;
    char *response;
    size_t response_len;
    size_t response_size;
    double began_s;
    bool is_busy;
};

/* One thread. Times are in seconds of the monotonic clock. */
struct worker {
    pthread_t thread;
    int epoll_fd;
    CURLM *multi;
    double timer_s; /* when curl wants to be called, < 0: not at all */
    struct slot *slots;
    int n_slots;
    int n_busy;
    int next; /* where to look for an idle slot */
    long n_sent;
    double began_s;
    double end_s;         /* no call starts later */
    double *latencies_ms; /* [MAX_LATENCIES] */
    long n_calls;
    long n_errors;
    double wall_s;
};

/* What all workers did together. */
struct total {
    double *latencies_ms; /* [MAX_LATENCIES] */
    long n_latencies;
    long n_calls;
    long n_errors;
    double wall_s;
};

/* Written before the threads start. */
static const char *url;
static double seconds;
static double rate; /* calls per second and thread, 0: as fast as it goes */
static char prompt[PROMPT_BYTES + 1];

static atomic_long n_started;

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    struct slot *x = arg;
    size_t len = size * n;

    if (x->response_len + len > x->response_size) {
        x->response_size = 2 * (x->response_len + len);
        x->response = must(realloc(x->response, x->response_size));
    }
    memcpy(x->response + x->response_len, p, len);
    x->response_len += len;
    return len;
}

static int on_timer(CURLM *multi, long delay_ms, void *arg)
{
    struct worker *w = arg;

    (void)multi;
    w->timer_s = delay_ms < 0 ? -1 : now_s() + (double)delay_ms / 1e3;
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct worker *w = arg;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (known != NULL) {
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, fd, &event);
        return 0;
    }
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    curl_multi_assign(w->multi, fd, w); /* anything but NULL: it is known */
    return 0;
}

/* --- calls --- */

static void start_call(struct worker *w, struct slot *x)
{
    char text[PROMPT_BYTES + 100];
    json_t *request;

    (void)snprintf(text, sizeof(text), "JOB:floor-%07ld; %s", atomic_fetch_add(&n_started, 1), prompt);
    request = must(json_pack("{s:s,s:[{s:s,s:s}],s:i}", "model", "m-a", "messages", "role", "user", "content", text,
                             "max_tokens", 2000));
    free(x->request);
    x->request = must(json_dumps(request, JSON_COMPACT));
    json_decref(request);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(x->request));
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->request);
    x->response_len = 0;
    x->is_busy = true;
    x->began_s = now_s();
    w->n_busy++;
    curl_multi_add_handle(w->multi, x->easy);
}

static bool is_an_answer(const struct slot *x)
{
    json_error_t error;
    json_t *response = json_loadb(x->response, x->response_len, 0, &error);
    json_t *choice = json_array_get(json_object_get(response, "choices"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
    bool is_one = text != NULL && strncmp(text, "ANSWER", 6) == 0;

    json_decref(response);
    return is_one;
}

static void finish_call(struct worker *w, struct slot *x, CURLcode result)
{
    if (result != CURLE_OK || !is_an_answer(x))
        w->n_errors++;
    if (w->n_calls < MAX_LATENCIES)
        w->latencies_ms[w->n_calls] = (now_s() - x->began_s) * 1e3;
    w->n_calls++;
    x->is_busy = false;
    w->n_busy--;
    curl_multi_remove_handle(w->multi, x->easy);
}

/* Starts what is due; without a rate that is one call in every idle slot. */
static void start_due_calls(struct worker *w, double t_s)
{
    while (w->n_busy < w->n_slots && (rate <= 0 || (double)w->n_sent < (t_s - w->began_s) * rate)) {
        while (w->slots[w->next].is_busy)
            w->next = (w->next + 1) % w->n_slots;
        start_call(w, &w->slots[w->next]);
        w->next = (w->next + 1) % w->n_slots;
        w->n_sent++;
    }
}

/* Without a rate an idle slot starts again at once. */
static void finish_calls(struct worker *w)
{
    CURLMsg *message;
    int n_left;

    while ((message = curl_multi_info_read(w->multi, &n_left)) != NULL) {
        CURLcode result = message->data.result;
        struct slot *x = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        finish_call(w, x, result);
        if (rate <= 0 && now_s() < w->end_s)
            start_call(w, x);
    }
}

/* --- a worker --- */

static void set_up(struct worker *w)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

    headers = curl_slist_append(headers, "Authorization: Bearer sk-x");
    headers = curl_slist_append(headers, "Expect:");
    w->epoll_fd = epoll_create1(0);
    w->multi = must(curl_multi_init());
    w->timer_s = -1;
    w->slots = must(calloc((size_t)w->n_slots, sizeof(*w->slots)));
    w->latencies_ms = must(malloc(sizeof(double) * MAX_LATENCIES));
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
    curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)w->n_slots + 8);
    for (int i = 0; i < w->n_slots; i++) {
        struct slot *x = &w->slots[i];

        x->easy = must(curl_easy_init());
        curl_easy_setopt(x->easy, CURLOPT_URL, url);
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
        curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, 60000L);
    }
}

/* Waits for sockets, curl's timer or the next call that is due, and lets curl work. */
static void turn(struct worker *w)
{
    struct epoll_event events[MAX_EVENTS];
    double t_s = now_s(), until_s = w->timer_s < 0 ? t_s + 1 : w->timer_s;
    int n, n_running;

    if (rate > 0 && t_s < w->end_s && w->began_s + (double)w->n_sent / rate < until_s)
        until_s = w->began_s + (double)w->n_sent / rate;
    n = epoll_wait(w->epoll_fd, events, MAX_EVENTS, until_s <= t_s ? 0 : (int)((until_s - t_s) * 1e3 + .999));
    if (w->timer_s >= 0 && now_s() >= w->timer_s) {
        w->timer_s = -1;
        curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    }
    for (int i = 0; i < n; i++) {
        uint32_t e = events[i].events;
        int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        curl_multi_socket_action(w->multi, events[i].data.fd, what, &n_running);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;

    set_up(w);
    w->began_s = now_s();
    w->end_s = w->began_s + seconds;
    for (;;) {
        double t_s = now_s();

        if (t_s < w->end_s)
            start_due_calls(w, t_s);
        else if (w->n_busy == 0)
            break;
        turn(w);
        finish_calls(w);
    }
    w->wall_s = now_s() - w->began_s;
    return NULL;
}

/* --- the report --- */

static int by_value(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;

    return d < 0 ? -1 : d > 0;
}

static void add_worker(struct total *total, const struct worker *w)
{
    for (long i = 0; i < w->n_calls && i < MAX_LATENCIES && total->n_latencies < MAX_LATENCIES; i++)
        total->latencies_ms[total->n_latencies++] = w->latencies_ms[i];
    total->n_calls += w->n_calls;
    total->n_errors += w->n_errors;
    if (w->wall_s > total->wall_s)
        total->wall_s = w->wall_s;
}

static long peak_rss_kb(void)
{
    static const char name[] = "VmHWM:";
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f != NULL && kb == 0 && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, name, sizeof(name) - 1) == 0)
            kb = strtol(line + sizeof(name) - 1, NULL, 10);
    }
    if (f != NULL)
        (void)fclose(f);
    return kb;
}

static double time_us(const struct timeval *t)
{
    return (double)t->tv_sec * 1e6 + (double)t->tv_usec;
}

static void print_total(const struct total *total)
{
    struct rusage r;
    double user_us, system_us, calls = (double)total->n_calls;
    const double *latencies_ms = total->latencies_ms;
    long rss_kb = peak_rss_kb(); /* sorting allocates */

    (void)getrusage(RUSAGE_SELF, &r);
    user_us = time_us(&r.ru_utime);
    system_us = time_us(&r.ru_stime);
    qsort(total->latencies_ms, (size_t)total->n_latencies, sizeof(double), by_value);
    printf("calls=%ld errs=%ld wall=%.2f calls_s=%.0f cpu_s=%.2f cpu_us_call=%.1f user_us=%.1f sys_us=%.1f p50=%.2f "
           "p99=%.2f min=%.2f maxrss_kb=%ld\n",
           total->n_calls, total->n_errors, total->wall_s, calls / total->wall_s, (user_us + system_us) / 1e6,
           (user_us + system_us) / calls, user_us / calls, system_us / calls, latencies_ms[total->n_latencies / 2],
           latencies_ms[(long)((double)total->n_latencies * .99)], latencies_ms[0], rss_kb);
}

int main(int argc, char **argv)
{
    static struct worker workers[MAX_THREADS];
    static const char sentence[] = "Explain the trade-offs of the design below. ";
    struct total total = {0};
    long n_threads = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    long concurrency = argc > 3 ? strtol(argv[3], NULL, 10) : 0;

    seconds = argc > 4 ? strtod(argv[4], NULL) : 0;
    if (n_threads < 1 || n_threads > MAX_THREADS || concurrency < n_threads || concurrency > 100000 || seconds <= 0) {
        fprintf(stderr, "usage: bare_client URL THREADS CONCURRENCY SECONDS [CALLS-PER-SECOND]\n");
        return 64;
    }
    url = argv[1];
    rate = argc > 5 ? strtod(argv[5], NULL) / (double)n_threads : 0;
    for (size_t i = 0; i < PROMPT_BYTES; i++)
        prompt[i] = sentence[i % (sizeof(sentence) - 1)];
    curl_global_init(CURL_GLOBAL_ALL);
    for (long i = 0; i < n_threads; i++) {
        workers[i].n_slots = (int)(concurrency / n_threads);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    total.latencies_ms = must(malloc(sizeof(double) * MAX_LATENCIES));
    for (long i = 0; i < n_threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        add_worker(&total, &workers[i]);
    }
    if (total.n_calls == 0) {
        fprintf(stderr, "bare_client: no call ended\n");
        return 1;
    }
    print_total(&total);
    return 0;
}
