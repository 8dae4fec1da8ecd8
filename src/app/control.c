/* SPDX-License-Identifier: Apache-2.0 */
/* Reads, checks and hands out commands. An order belongs to the main thread; workers borrow it and say when they have
 * had it. Main thread, but for deliver(). */
#include "app/control.h"

#include "app/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "engine/worker.h"
#include "impl/broker_control.h"

enum { ORDERS_MAX = 110000 /* kept until the workers have had them: all that a worker remembers */ };

#define READY_US INT64_C(5000000)
#define LOG_US   INT64_C(60000000)

struct order;

/* An order on its way to one worker and back. */
struct errand {
    struct order *order;
    const struct control_target *target;
};

struct order {
    struct list link; /* control->orders */
    struct control *control;
    struct arena *arena; /* holds the order */
    struct cancel cancel;
    struct errand *errands; /* errands[control->n_targets], once attached */
    int n_left;             /* workers that have not had it */
};

struct control {
    struct loop *loop;
    const struct config *config;
    struct kafka_conf kafka;
    struct kafka_property *properties;
    struct kafka_control *reader; /* NULL: refused, or stopped */
    struct timer patience;
    void (*ready)(void *arg);
    void *arg;
    bool is_ready;
    struct control_target *targets; /* targets[n_targets] */
    int n_targets;                  /* 0: not attached */
    struct list orders;             /* oldest first */
    int n_orders;
    int64_t logged_us;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* --- orders --- */

static void drop(struct order *o)
{
    o->control->n_orders--;
    list_del(&o->link);
    arena_free(o->arena);
}

static void on_delivered(void *arg)
{
    const struct errand *e = arg;

    if (--e->order->n_left == 0)
        drop(e->order);
}

/* thread: the worker's */
static void deliver(void *arg)
{
    const struct errand *e = arg;
    struct control *c = e->order->control;
    struct worker *w = *e->target->worker;

    if (w != NULL)
        worker_cancel(w, &e->order->cancel);
    loop_post(c->loop, on_delivered, arg);
}

static void send(struct control *c, struct order *o)
{
    o->errands = arena_zero(o->arena, sizeof(*o->errands) * (size_t)c->n_targets);
    o->n_left = c->n_targets;
    for (int i = 0; i < c->n_targets; i++) {
        o->errands[i] = (struct errand){.order = o, .target = &c->targets[i]};
        loop_post(c->targets[i].loop, deliver, &o->errands[i]);
    }
}

static void refuse(struct control *c, int32_t partition, int64_t offset, const char *why)
{
    metric_add(METRIC_CONTROL_REFUSED, 1);
    if (log_is_due(&c->logged_us, loop_now_us(c->loop), LOG_US))
        log_event(LOG_WARN, "control_record_refused", "topic=\"%s\" part=%d off=%lld why=\"%s\"",
                  c->config->kafka.control, partition, (long long)offset, why);
}

static void on_record(void *arg, int32_t partition, const struct message *m)
{
    struct control *c = arg;
    struct arena *a;
    struct order *o;
    const char *why;

    if (m->value == NULL)
        return; /* a tombstone, if somebody compacts the topic */
    a = arena_new(sizeof(*o) + m->value_len + 256);
    o = arena_zero(a, sizeof(*o));
    if (cancel_read(m->value, m->value_len, a, &o->cancel, &why) < 0) {
        refuse(c, partition, m->offset, why);
        arena_free(a);
        return;
    }
    metric_add(METRIC_CONTROL_COMMANDS, 1);
    o->cancel.ts_ms = m->ts_ms;
    o->control = c;
    o->arena = a;
    list_init(&o->link);
    list_add_tail(&c->orders, &o->link);
    if (++c->n_orders > ORDERS_MAX && c->n_targets == 0)
        drop(LIST_ENTRY(c->orders.next, struct order, link));
    log_event(c->is_ready ? LOG_INFO : LOG_DEBUG, o->cancel.is_batch ? "cancel_batch" : "cancel_job",
              "id=\"%s\" run=%lld part=%d off=%lld", o->cancel.id, (long long)o->cancel.run, partition,
              (long long)m->offset);
    if (c->n_targets > 0)
        send(c, o);
}

/* Before the workers run the newest are kept; then they are read no faster than the slowest worker takes them. */
static bool on_has_room(void *arg)
{
    const struct control *c = arg;

    return c->n_targets == 0 || c->n_orders < ORDERS_MAX;
}

void control_attach(struct control *c, const struct control_target *targets, int n)
{
    c->targets = mem_zero(sizeof(*targets) * (size_t)n);
    for (int i = 0; i < n; i++)
        c->targets[i] = targets[i];
    c->n_targets = n;
    LIST_EACH (it, &c->orders)
        send(c, LIST_ENTRY(it, struct order, link));
}

/* --- life --- */

static void set_ready(struct control *c)
{
    if (c->is_ready)
        return;
    c->is_ready = true;
    timer_stop(c->loop, &c->patience);
    log_event(LOG_INFO, "control_read", "topic=\"%s\" commands=%d", c->config->kafka.control, c->n_orders);
    c->ready(c->arg);
}

static void on_caught_up(void *arg)
{
    set_ready(arg);
}

static void on_patience(void *arg)
{
    struct control *c = arg;

    if (c->reader != NULL)
        log_event(LOG_WARN, "control_late", "topic=\"%s\" why=\"%s\"", c->config->kafka.control,
                  "not read to its end yet: a job that is cancelled there may begin");
    set_ready(c);
}

struct control *control_new(struct loop *loop, const struct config *config, void (*ready)(void *arg), void *arg)
{
    static const struct kafka_control_events events = {
        .record = on_record, .caught_up = on_caught_up, .has_room = on_has_room};
    struct control *c = mem_zero(sizeof(*c));
    const struct config_map *map = &config->kafka.properties;

    c->loop = loop;
    c->config = config;
    c->ready = ready;
    c->arg = arg;
    list_init(&c->orders);
    timer_init(&c->patience, on_patience, c);
    c->properties = mem_zero(sizeof(*c->properties) * (map->n + 1));
    for (size_t i = 0; i < map->n; i++)
        c->properties[i] = (struct kafka_property){map->pairs[i].name, map->pairs[i].value};
    c->kafka = (struct kafka_conf){.brokers = config->kafka.brokers,
                                   .group = config->kafka.group,
                                   .properties = c->properties,
                                   .n_properties = (int)map->n};
    c->reader = kafka_control_new(loop, &c->kafka, config->kafka.control, &events, c);
    timer_start(loop, &c->patience, loop_now_us(loop) + (c->reader != NULL ? READY_US : 0));
    return c;
}

static void on_reader_stopped(void *arg)
{
    struct control *c = arg;

    kafka_control_free(TAKE(c->reader));
    c->stopped(c->stopped_arg);
}

void control_stop(struct control *c, void (*done)(void *arg), void *arg)
{
    timer_stop(c->loop, &c->patience);
    c->is_ready = true; /* nobody waits for it any more */
    c->stopped = done;
    c->stopped_arg = arg;
    if (c->reader != NULL)
        kafka_control_stop(c->reader, on_reader_stopped, c);
    else
        loop_post(c->loop, done, arg);
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    LIST_EACH_SAFE (it, &c->orders)
        drop(LIST_ENTRY(it, struct order, link)); /* to workers that ended first */
    mem_free(c->targets);
    mem_free(c->properties);
    mem_free(c);
}
