/* SPDX-License-Identifier: Apache-2.0 */
/* Physical floor: libcurl multi (socket_action + epoll), one CURLM per thread,
 * jansson request and response. floor URL threads conc secs [rate-per-second]
 * Prints one line key=value. No Kafka, no retries, no limiter. */
#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAXLAT 4000000
static const char *url;
static int conc;
static double secs, rate;
static char prompt[1100];
static atomic_long seq;

typedef struct {
    CURL *e;
    char *b, *body;
    size_t n, cap;
    double t0;
    int busy;
} slot;
typedef struct {
    int ep;
    CURLM *m;
    double due;
    slot *s;
    int nconc;
    double *lat;
    long n, err;
    double tail;
} worker;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static size_t on_data(char *p, size_t s, size_t n, void *u)
{
    slot *x = u;
    size_t k = s * n;
    if (x->n + k > x->cap) {
        x->cap = 2 * (x->n + k);
        x->b = realloc(x->b, x->cap);
    }
    memcpy(x->b + x->n, p, k);
    x->n += k;
    return k;
}

static int on_timer(CURLM *m, long t, void *u)
{
    (void)m;
    ((worker *)u)->due = t < 0 ? -1 : now() + t / 1e3;
    return 0;
}

static int on_socket(CURL *e, curl_socket_t s, int what, void *u, void *sp)
{
    worker *w = u;
    (void)e;
    struct epoll_event ev = {.data.fd = s};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(w->ep, EPOLL_CTL_DEL, s, 0);
        return 0;
    }
    ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (sp) {
        epoll_ctl(w->ep, EPOLL_CTL_MOD, s, &ev);
        return 0;
    }
    if (epoll_ctl(w->ep, EPOLL_CTL_ADD, s, &ev))
        epoll_ctl(w->ep, EPOLL_CTL_MOD, s, &ev);
    curl_multi_assign(w->m, s, (void *)1);
    return 0;
}

static void start(worker *w, slot *x)
{
    char text[1100];
    snprintf(text, sizeof text, "JOB:floor-%07ld; %s", atomic_fetch_add(&seq, 1), prompt);
    json_t *j = json_pack("{s:s,s:[{s:s,s:s}],s:i}", "model", "m-a", "messages", "role", "user", "content", text,
                          "max_tokens", 100);
    free(x->body);
    x->body = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    curl_easy_setopt(x->e, CURLOPT_POSTFIELDSIZE, (long)strlen(x->body));
    curl_easy_setopt(x->e, CURLOPT_POSTFIELDS, x->body);
    x->n = 0;
    x->busy = 1;
    x->t0 = now();
    curl_multi_add_handle(w->m, x->e);
}

static void finish(worker *w, slot *x, CURLcode rc)
{
    json_error_t je;
    json_t *r = rc ? 0 : json_loadb(x->b, x->n, 0, &je);
    const char *text = json_string_value(
        json_object_get(json_object_get(json_array_get(json_object_get(r, "choices"), 0), "message"), "content"));
    if (!text || strncmp(text, "ANSWER", 6))
        w->err++;
    json_decref(r);
    if (w->n < MAXLAT)
        w->lat[w->n] = (now() - x->t0) * 1e3;
    w->n++;
    x->busy = 0;
}

static void *work(void *u)
{
    worker *w = u;
    int run, busy = 0;
    struct curl_slist *h = curl_slist_append(0, "Content-Type: application/json");
    h = curl_slist_append(h, "Authorization: Bearer sk-x");
    h = curl_slist_append(h, "Expect:");
    w->ep = epoll_create1(0);
    w->m = curl_multi_init();
    w->due = -1;
    w->s = calloc(w->nconc, sizeof *w->s);
    w->lat = malloc(sizeof(double) * MAXLAT);
    curl_multi_setopt(w->m, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(w->m, CURLMOPT_SOCKETDATA, w);
    curl_multi_setopt(w->m, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(w->m, CURLMOPT_TIMERDATA, w);
    curl_multi_setopt(w->m, CURLMOPT_MAXCONNECTS, (long)w->nconc + 8);
    for (int i = 0; i < w->nconc; i++) {
        slot *x = w->s + i;
        x->e = curl_easy_init();
        curl_easy_setopt(x->e, CURLOPT_URL, url);
        curl_easy_setopt(x->e, CURLOPT_HTTPHEADER, h);
        curl_easy_setopt(x->e, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(x->e, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(x->e, CURLOPT_PRIVATE, x);
        curl_easy_setopt(x->e, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(x->e, CURLOPT_TIMEOUT_MS, 60000L);
    }
    double t0 = now(), end = t0 + secs;
    long sent = 0;
    int next = 0;
    for (;;) {
        double t = now();
        if (t < end)
            for (int k = 0; k < w->nconc; k++) {
                if (rate > 0 && sent >= (t - t0) * rate)
                    break;
                slot *x = w->s + (next + k) % w->nconc;
                if (x->busy) {
                    if (rate > 0)
                        continue;
                    if (busy == w->nconc)
                        break;
                    continue;
                }
                start(w, x);
                sent++;
                busy++;
                if (rate > 0)
                    next = (next + k + 1) % w->nconc, k = -1;
            }
        else if (!busy)
            break;
        t = now();
        double until = w->due < 0 ? t + 1 : w->due;
        if (rate > 0 && t < end && t0 + sent / rate < until)
            until = t0 + sent / rate;
        struct epoll_event ev[256];
        int n = epoll_wait(w->ep, ev, 256, until <= t ? 0 : (int)((until - t) * 1e3 + .999));
        if (w->due >= 0 && now() >= w->due) {
            w->due = -1;
            curl_multi_socket_action(w->m, CURL_SOCKET_TIMEOUT, 0, &run);
        }
        for (int i = 0; i < n; i++) {
            int f = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                    (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(w->m, ev[i].data.fd, f, &run);
        }
        CURLMsg *g;
        int q;
        while ((g = curl_multi_info_read(w->m, &q))) {
            slot *x;
            CURL *e = g->easy_handle;
            CURLcode rc = g->data.result;
            curl_easy_getinfo(e, CURLINFO_PRIVATE, (char **)&x);
            finish(w, x, rc);
            curl_multi_remove_handle(w->m, e);
            busy--;
            if (rate <= 0 && now() < end) {
                start(w, x);
                busy++;
            }
        }
    }
    w->tail = now() - t0;
    return 0;
}

static int cmp(const void *a, const void *b)
{
    double d = *(double *)a - *(double *)b;
    return d < 0 ? -1 : d > 0;
}

int main(int c, char **v)
{
    if (c < 5)
        return 2;
    url = v[1];
    int nt = atoi(v[2]);
    conc = atoi(v[3]);
    secs = atof(v[4]);
    rate = c > 5 ? atof(v[5]) / nt : 0;
    for (int i = 0; i < 1000; i++)
        prompt[i] = "Explain the trade-offs of the design below. "[i % 44];
    curl_global_init(CURL_GLOBAL_ALL);
    worker *w = calloc(nt, sizeof *w);
    pthread_t t[64];
    for (int i = 0; i < nt; i++) {
        w[i].nconc = conc / nt;
        pthread_create(t + i, 0, work, w + i);
    }
    long n = 0, err = 0;
    double tail = 0;
    double *lat = malloc(sizeof(double) * MAXLAT);
    for (int i = 0; i < nt; i++) {
        pthread_join(t[i], 0);
        for (long k = 0; k < w[i].n && n + k < MAXLAT; k++)
            lat[n + k] = w[i].lat[k];
        n += w[i].n;
        err += w[i].err;
        if (w[i].tail > tail)
            tail = w[i].tail;
    }
    long hwm = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &hwm) == 1)
            break;
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    double cpu = r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    qsort(lat, n, sizeof *lat, cmp);
    printf("calls=%ld errs=%ld wall=%.2f calls_s=%.0f cpu_s=%.2f cpu_us_call=%.1f user_us=%.1f sys_us=%.1f p50=%.2f "
           "p99=%.2f min=%.2f maxrss_kb=%ld\n",
           n, err, tail, n / tail, cpu, cpu * 1e6 / n, (r.ru_utime.tv_sec * 1e6 + r.ru_utime.tv_usec) / n,
           (r.ru_stime.tv_sec * 1e6 + r.ru_stime.tv_usec) / n, lat[n / 2], lat[(long)(n * .99)], lat[0], hwm);
}
