/* SPDX-License-Identifier: Apache-2.0 */
/* The process: signals, the slot, one thread per worker. The main thread has a loop of its own for these; workers meet
 * it only through loop_post(). Main thread, but for what is marked otherwise. */
#include "app/run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/admin.h"
#include "app/build_id.h"
#include "app/config.h"
#include "app/control.h"
#include "app/reload.h"
#include "app/wire.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "redis.h"
#include "slot.h"

enum {
    EXIT_UNAVAILABLE = 69,
    EXIT_INTERNAL = 70,
    EXIT_STOPPED = 75,
    EXIT_REFUSED = 77,
    EXIT_CONFIG = 78,
    WORKERS_AUTO_MAX = 4
};

#define START_TIMEOUT_US INT64_C(30000000) /* to reach Redis and lease a slot */

struct process;

/* A worker's thread as the main thread sees it. */
struct member {
    struct process *process;
    int index;
    pthread_t thread;
    struct loop *loop;           /* made by main, run by the thread */
    struct crew crew;            /* the thread's */
    const struct wiring *wiring; /* that it starts with */
    struct admin_worker watched;
    int exit_code; /* written by the thread before it posts on_member_over() */
};

/* A Redis server that must answer before anything starts. */
struct reach {
    struct process *process;
    struct redis_conf conf;
    struct redis *redis;
    bool is_up;
};

struct process {
    const struct config *config;
    struct wiring wiring;     /* of the start */
    const struct wiring *now; /* in force: that of the last reload */
    struct reload *reload;    /* NULL: the configuration is no file */
    struct loop *loop;
    struct rng rng;
    struct admin *admin;
    int signal_fd;
    struct watch *signals;
    struct reach reaches[2]; /* reaches[wiring.n_redis_urls]; the first also leases the slot and is kept for it */
    struct slot *slot;
    char slot_name[64];
    struct timer start_timeout;
    struct control *control; /* commands, for the workers */
    bool has_slot;           /* the workers may start when both are there */
    bool has_commands;
    struct member *members; /* members[n_members] */
    int n_members;
    int n_running;
    bool is_draining;
    bool is_finishing;
    bool was_signalled; /* a second signal ends the process at once */
    int exit_code;
};

/* --- a worker's thread --- */

static void on_member_over(void *arg);

/* thread: the worker's */
static void on_worker_stopped(void *arg, int exit_code)
{
    struct member *m = arg;

    m->exit_code = exit_code;
    loop_stop(m->loop);
}

/* thread: the worker's */
static void *member_main(void *arg)
{
    struct member *m = arg;
    char name[16];

    snprintf(name, sizeof(name), "worker-%d", m->index);
    pthread_setname_np(pthread_self(), name);
    m->exit_code = EXIT_INTERNAL;
    if (crew_init(&m->crew, m->wiring, m->loop, m->process->slot_name, m->index, on_worker_stopped, m) < 0)
        m->exit_code = EXIT_CONFIG;
    else if (worker_start(m->crew.worker) == 0) {
        admin_worker_begin(&m->watched);
        loop_run(m->loop);
    }
    admin_worker_end(&m->watched);
    crew_done(&m->crew);
    loop_post(m->process->loop, on_member_over, m);
    return NULL;
}

/* thread: the worker's */
static void drain_member(void *arg)
{
    struct member *m = arg;

    if (m->crew.worker != NULL)
        worker_drain(m->crew.worker);
}

/* --- the main thread --- */

static void on_control_stopped(void *arg)
{
    struct process *p = arg;

    loop_stop(p->loop);
}

static void on_released(void *arg)
{
    struct process *p = arg;

    control_stop(p->control, on_control_stopped, p);
}

static void finish(struct process *p)
{
    if (p->is_finishing)
        return;
    p->is_finishing = true;
    timer_stop(p->loop, &p->start_timeout);
    if (p->slot != NULL)
        slot_release(TAKE(p->slot), on_released, p);
    else
        on_released(p);
}

static void drain_all(struct process *p)
{
    if (p->is_draining)
        return;
    p->is_draining = true;
    status_set_life(admin_status(p->admin), LIFE_DRAINING);
    for (int i = 0; i < p->n_members && p->members[i].loop != NULL; i++)
        loop_post(p->members[i].loop, drain_member, &p->members[i]);
    if (p->n_running == 0)
        finish(p); /* before the workers were started */
}

static void on_member_over(void *arg)
{
    struct member *m = arg;
    struct process *p = m->process;

    pthread_join(m->thread, NULL);
    admin_unwatch(p->admin, m->index);
    if (p->exit_code == 0)
        p->exit_code = m->exit_code;
    if (--p->n_running == 0)
        finish(p);
    else if (m->exit_code != 0)
        drain_all(p); /* half a process is no process: leave together, the supervisor starts a whole one */
}

/* The loops first: commands that were read already are there when the workers begin. */
static void make_loops(struct process *p)
{
    struct control_target *targets = mem_zero(sizeof(*targets) * (size_t)p->n_members);

    for (int i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];

        m->process = p;
        m->index = i;
        m->loop = loop_new();
        CHECK(m->loop != NULL);
        admin_watch(p->admin, i, &m->watched, m->loop, &m->crew.worker);
        targets[i] = (struct control_target){.loop = m->loop, .worker = &m->crew.worker};
    }
    control_attach(p->control, targets, p->n_members);
    mem_free(targets);
}

static void start_members(struct process *p)
{
    if (!p->has_slot || !p->has_commands || p->is_draining || p->is_finishing)
        return;
    timer_stop(p->loop, &p->start_timeout);
    log_event(LOG_INFO, "starting", "version=\"%s\" build=\"%s\" group=\"%s\" slot=\"%s\" workers=%d", build_version,
              build_commit, p->config->kafka.group, p->slot_name, p->n_members);
    status_set_slot(admin_status(p->admin), p->slot_name);
    status_set_life(admin_status(p->admin), LIFE_RUNNING);
    make_loops(p);
    for (int i = 0; i < p->n_members; i++) {
        p->n_running++;
        p->members[i].wiring = p->now;
        CHECK(pthread_create(&p->members[i].thread, NULL, member_main, &p->members[i]) == 0);
    }
}

static void on_slot(struct process *p)
{
    p->has_slot = true;
    start_members(p);
}

static void on_commands(void *arg)
{
    struct process *p = arg;

    p->has_commands = true;
    start_members(p);
}

static void on_leased(void *arg, const char *slot)
{
    struct process *p = arg;

    snprintf(p->slot_name, sizeof(p->slot_name), "%s", slot);
    on_slot(p);
}

static void on_slot_lost(void *arg)
{
    struct process *p = arg;

    log_event(LOG_ERROR, "slot_lost", "slot=\"%s\" why=\"another process holds it after a long stall\"", p->slot_name);
    p->exit_code = EXIT_INTERNAL;
    drain_all(p);
}

static void on_start_timeout(void *arg)
{
    struct process *p = arg;

    for (int i = 0; i < p->wiring.n_redis_urls; i++) {
        const struct reach *r = &p->reaches[i];
        bool is_refused;

        if (r->is_up)
            continue; /* its connection may be closed again */
        is_refused = redis_is_refused(r->redis);
        log_event(LOG_ERROR, is_refused ? "redis_refused_start" : "redis_unreachable", "host=\"%s\" port=%d",
                  r->conf.host, r->conf.port);
        p->exit_code = is_refused ? EXIT_REFUSED : EXIT_UNAVAILABLE;
    }
    if (p->exit_code == 0)
        p->exit_code = EXIT_UNAVAILABLE; /* they answer, but no slot was leased */
    finish(p);
}

static void reload(struct process *p)
{
    struct reload_target *targets;
    const struct wiring *now;
    int n = 0;

    if (p->is_draining || p->is_finishing) {
        log_event(LOG_INFO, "reload_ignored", "why=\"the process is ending\"");
        return;
    }
    targets = mem_zero(sizeof(*targets) * (size_t)p->n_members);
    for (; n < p->n_members && p->members[n].loop != NULL; n++)
        targets[n] = (struct reload_target){.loop = p->members[n].loop, .crew = &p->members[n].crew};
    now = reload_now(p->reload, targets, n);
    mem_free(targets);
    if (now == NULL)
        return;
    p->now = now;
    status_set_wiring(admin_status(p->admin), now);
}

static void on_signal(void *arg, int fd, int what)
{
    struct process *p = arg;
    struct signalfd_siginfo info;

    (void)what;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload(p);
            continue;
        }
        if (p->was_signalled) {
            /* offsets and journal are durable at every moment; what is in flight is what a crash would leave */
            log_event(LOG_WARN, "stopped_at_once", "signal=%d", (int)info.ssi_signo);
            _exit(EXIT_STOPPED);
        }
        log_event(LOG_INFO, "signal", "signal=%d", (int)info.ssi_signo);
        p->was_signalled = true;
        drain_all(p);
    }
}

/* Signals go to the main loop; they must be blocked before any thread exists. */
static void take_signals(struct process *p)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (p->reload != NULL)
        sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(p->signal_fd >= 0);
    p->signals = watch_new(p->loop, p->signal_fd, LOOP_READ, on_signal, p);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* the old limit stays: calls then fail one by one with a clear fault */
    }
}

/* What only had to be there is closed again: the workers have connections of their own. */
static void drop_reaches(void *arg)
{
    struct process *p = arg;

    for (int i = p->config->kafka.slot == NULL ? 1 : 0; i < p->wiring.n_redis_urls; i++)
        redis_free(TAKE(p->reaches[i].redis));
}

static void on_redis_up(void *arg)
{
    struct reach *r = arg;
    struct process *p = r->process;
    char owner[24];

    if (r->is_up)
        return;
    r->is_up = true;
    for (int i = 0; i < p->wiring.n_redis_urls; i++)
        if (!p->reaches[i].is_up)
            return;
    if (p->is_draining)
        return;
    loop_post(p->loop, drop_reaches, p);
    if (p->config->kafka.slot != NULL) {
        on_slot(p);
        return;
    }
    snprintf(owner, sizeof(owner), "%016llx", (unsigned long long)rng_u64(&p->rng));
    p->slot = slot_lease(p->loop, p->reaches[0].redis, p->config->kafka.group, owner, 0, on_leased, on_slot_lost, p);
}

/* -EINVAL, logged: a URL that cannot be read (the configuration's check lets none through). */
static int reach_redis(struct process *p)
{
    static const struct redis_events events = {.up = on_redis_up};
    const char *why;

    timer_start(p->loop, &p->start_timeout, loop_now_us(p->loop) + START_TIMEOUT_US);
    for (int i = 0; i < p->wiring.n_redis_urls; i++) {
        struct reach *r = &p->reaches[i];

        if (redis_conf_parse(p->wiring.redis_urls[i], &r->conf, &why) < 0) {
            log_event(LOG_ERROR, "redis_url", "why=\"%s\"", why);
            return -EINVAL;
        }
        r->process = p;
        r->conf.ca_file = mem_strdup(p->config->redis.ca_file);
        r->conf.name = "start";
        r->redis = redis_new(p->loop, &p->rng, &r->conf, &events, r);
    }
    return 0;
}

/* The processors that this process may use, which is not all of a machine's in a container. */
static int count_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int count_workers(const struct config *c)
{
    int n = count_processors();

    if (c->workers > 0)
        return (int)c->workers;
    return n > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : n;
}

static void process_done(struct process *p)
{
    admin_free(p->admin);
    for (int i = 0; i < p->n_members; i++)
        loop_free(p->members[i].loop);
    control_free(p->control);
    mem_free(p->members);
    timer_stop(p->loop, &p->start_timeout);
    for (int i = 0; i < p->wiring.n_redis_urls; i++) {
        redis_free(p->reaches[i].redis);
        redis_conf_done(&p->reaches[i].conf);
    }
    watch_free(p->signals);
    (void)close(p->signal_fd);
    reload_free(p->reload);
    wiring_done(&p->wiring);
}

/* in: where the configuration was read; NULL: it is that of `tutti dev` */
static int run(const struct config *config, const struct config_input *in, struct loop *loop)
{
    struct process p = {.config = config, .loop = loop};

    raise_descriptor_limit();
    rng_seed(&p.rng, rng_entropy());
    timer_init(&p.start_timeout, on_start_timeout, &p);
    wiring_init(&p.wiring, config);
    p.now = &p.wiring;
    if (in != NULL)
        p.reload = reload_new(in, config, &p.wiring);
    take_signals(&p);
    if (in == NULL) {
        p.wiring.has_local_limits = p.wiring.has_memory_journal = p.wiring.has_mock_kafka = true;
        p.wiring.n_redis_urls = 0;
    }
    p.n_members = count_workers(config);
    p.members = mem_zero(sizeof(*p.members) * (size_t)p.n_members);
    if (config->kafka.slot != NULL)
        snprintf(p.slot_name, sizeof(p.slot_name), "%s", config->kafka.slot);
    p.exit_code = admin_new(p.loop, &p.wiring, p.n_members, &p.admin);
    if (p.exit_code == 0)
        p.control = control_new(loop, config, on_commands, &p);
    if (p.exit_code != 0) {
        loop_stop(p.loop);
    } else if (p.wiring.n_redis_urls == 0) {
        on_slot(&p);
    } else if (reach_redis(&p) < 0) {
        p.exit_code = EXIT_CONFIG;
        finish(&p);
    }
    loop_run(p.loop);
    process_done(&p);
    return p.exit_code;
}

int run_service(const struct config *config, const struct config_input *in)
{
    struct loop *loop = loop_new();
    int exit_code;

    CHECK(loop != NULL);
    exit_code = run(config, in, loop);
    loop_free(loop);
    return exit_code;
}

int run_service_beside(const struct config *config, struct loop *loop)
{
    return run(config, NULL, loop);
}
