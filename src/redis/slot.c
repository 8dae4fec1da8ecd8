/* SPDX-License-Identifier: Apache-2.0 */
/* The lease of a slot number: three small scripts and a timer. It decides nothing but whose a number is; what a process
 * does with a lost one is its owner's matter. Runs on the loop's thread. source: DESIGN 6 */
#include "slot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop.h"
#include "redis.h"

enum {
    LEASE_MS = 15 * 1000,
    RETRY_US = 200 * 1000,
    COMMAND_US = 1000 * 1000,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

/* KEYS: one of the group's (for its place); ARGV: prefix, owner, ms. The number, 0: none is free. A number that is the
 * owner's already is its answer: the reply to the first question was lost. */
static const char lease_script[] = "local free\n"
                                   "for n = 1, 4096 do\n"
                                   "  local v = redis.call('GET', ARGV[1] .. n)\n"
                                   "  if v == ARGV[2] then free = n break end\n"
                                   "  if not v and not free then free = n end\n"
                                   "  if not v and n > free + 64 then break end\n"
                                   "end\n"
                                   "if not free then return 0 end\n"
                                   "redis.call('SET', ARGV[1] .. free, ARGV[2], 'PX', ARGV[3])\n"
                                   "return free\n";

/* KEYS: the number's; ARGV: owner, ms. A key that is gone (Redis lost it, or we stood still and nobody came) is ours.
 */
static const char renew_script[] = "local v = redis.call('GET', KEYS[1])\n"
                                   "if v and v ~= ARGV[1] then return 0 end\n"
                                   "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                                   "return 1\n";

static const char release_script[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
    "return 0\n";

struct slot {
    struct loop *loop;
    struct redis *redis;
    char *group;
    char *prefix; /* "tutti:slot:<group>:" */
    char *owner;
    char *key; /* of the number; NULL: none yet */
    char number[24];
    char ms[24];
    int64_t renew_us;
    void (*leased)(void *arg, const char *slot);
    void (*lost)(void *arg);
    void (*released)(void *arg);
    void *arg;
    struct timer timer; /* the next question */
    struct wake end;
    bool is_asking; /* a reply will come */
    bool is_lost;
    bool is_released;   /* freed when the last reply has come */
    bool is_given_back; /* or nothing was left to give back */
    int64_t logged_us;
};

static void free_now(struct slot *s)
{
    timer_stop(s->loop, &s->timer);
    wake_cancel(&s->end);
    mem_free(s->group);
    mem_free(s->prefix);
    mem_free(s->owner);
    mem_free(s->key);
    mem_free(s);
}

/* ---- giving back ---- */

static void on_end(void *arg)
{
    struct slot *s = arg;
    void (*released)(void *arg) = s->released;
    void *released_arg = s->arg;

    free_now(s);
    if (released != NULL)
        released(released_arg);
}

static void on_given_back(void *arg, const struct redis_reply *reply, int error)
{
    struct slot *s = arg;

    (void)reply;
    (void)error; /* then it runs out by itself */
    s->is_given_back = true;
    loop_wake(s->loop, &s->end);
}

/* The last thing this slot asks. */
static void give_back(struct slot *s)
{
    const char *argv[] = {"EVAL", release_script, "1", s->key, s->owner};

    if (s->key == NULL || s->is_lost || redis_send(s->redis, 5, argv, NULL, COMMAND_US, on_given_back, s) < 0)
        on_given_back(s, NULL, -ENOTCONN);
}

/* ---- leasing and renewing ---- */

static void ask_again_in(struct slot *s, int64_t us)
{
    timer_start(s->loop, &s->timer, loop_now_us(s->loop) + us);
}

static void log_trouble(struct slot *s, const char *why)
{
    if (log_is_due(&s->logged_us, loop_now_us(s->loop), LOG_PERIOD_US))
        log_event(LOG_ERROR, "slot_not_leased", "group=\"%s\" slot=\"%s\" why=\"%.200s\"", s->group, s->number, why);
}

static void take(struct slot *s, int64_t number)
{
    struct buf key;

    (void)snprintf(s->number, sizeof(s->number), "%" PRId64, number);
    buf_init(&key, 0);
    buf_add_str(&key, s->prefix);
    buf_add_str(&key, s->number);
    s->key = buf_take(&key, NULL);
}

static void lose(struct slot *s)
{
    s->is_lost = true;
    timer_stop(s->loop, &s->timer);
    log_event(LOG_ERROR, "slot_lost", "group=\"%s\" slot=\"%s\" why=\"another process holds it\"", s->group, s->number);
    if (!s->is_released)
        s->lost(s->arg);
}

static void on_reply(void *arg, const struct redis_reply *reply, int error)
{
    struct slot *s = arg;
    bool is_number = error == 0 && reply->type == REDIS_INT;
    bool was_leased = s->key != NULL;

    s->is_asking = false;
    if (error == 0 && !is_number)
        log_trouble(s, reply->type == REDIS_ERROR ? reply->s : "odd reply");
    if (is_number && reply->i == 0 && !was_leased)
        log_trouble(s, "all 4096 numbers are taken");
    if (is_number && reply->i > 0 && !was_leased)
        take(s, reply->i);
    if (s->is_released) {
        give_back(s);
        return;
    }
    if (is_number && reply->i == 0 && was_leased) {
        lose(s);
        return;
    }
    ask_again_in(s, is_number && s->key != NULL ? s->renew_us : RETRY_US);
    if (s->key != NULL && !was_leased) {
        log_event(LOG_INFO, "slot_leased", "group=\"%s\" slot=\"%s\"", s->group, s->number);
        s->leased(s->arg, s->number); /* may release it: the last thing here */
    }
}

static void ask(void *arg)
{
    struct slot *s = arg;
    const char *lease[] = {"EVAL", lease_script, "1", s->prefix, s->prefix, s->owner, s->ms};
    const char *renew[] = {"EVAL", renew_script, "1", s->key, s->owner, s->ms};
    bool is_leased = s->key != NULL;

    if (redis_send(s->redis, is_leased ? 6 : 7, is_leased ? renew : lease, NULL, COMMAND_US, on_reply, s) < 0)
        ask_again_in(s, RETRY_US);
    else
        s->is_asking = true;
}

struct slot *slot_lease(struct loop *l, struct redis *r, const char *group, const char *owner, int64_t lease_ms,
                        void (*leased)(void *arg, const char *slot), void (*lost)(void *arg), void *arg)
{
    struct slot *s = mem_zero(sizeof(*s));
    struct buf prefix;

    s->loop = l;
    s->redis = r;
    s->group = mem_strdup(group);
    s->owner = mem_strdup(owner);
    s->leased = leased;
    s->lost = lost;
    s->arg = arg;
    buf_init(&prefix, 0);
    buf_printf(&prefix, "tutti:slot:%s:", group);
    s->prefix = buf_take(&prefix, NULL);
    if (lease_ms <= 0)
        lease_ms = LEASE_MS;
    (void)snprintf(s->ms, sizeof(s->ms), "%" PRId64, lease_ms);
    s->renew_us = lease_ms * 1000 / 5;
    timer_init(&s->timer, ask, s);
    wake_init(&s->end, on_end, s);
    timer_start(l, &s->timer, loop_now_us(l));
    return s;
}

void slot_release(struct slot *s, void (*released)(void *arg), void *arg)
{
    if (s == NULL)
        return;
    CHECK(!s->is_released);
    s->is_released = true;
    s->released = released;
    s->arg = arg;
    timer_stop(s->loop, &s->timer);
    if (!s->is_asking)
        give_back(s);
}
