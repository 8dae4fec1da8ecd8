/* SPDX-License-Identifier: Apache-2.0 */
/* An idempotent producer for the command line. One thread; calls block. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "broker/client_internal.h"

struct kafka_sender {
    rd_kafka_t *rk;
    char *topic;
    struct client_state state;
};

void client_on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct client_state *state = opaque;

    (void)rk;
    state->sent(state->arg, (size_t)(uintptr_t)m->_private, m->partition, m->offset,
                m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : rd_kafka_err2str(m->err));
}

int kafka_sender_new(const struct kafka_client_conf *conf, const char *topic, kafka_sent sent, void *arg,
                     struct kafka_sender **out, char *why, size_t size)
{
    struct kafka_sender *s = mem_zero(sizeof(*s));
    int r = -EINVAL;

    s->topic = mem_strdup(topic);
    s->state.sent = sent;
    s->state.arg = arg;
    s->rk = client_new(RD_KAFKA_PRODUCER, conf, &s->state, why, size);
    if (s->rk != NULL)
        r = client_look_up(s->rk, conf, &s->state, topic, why, size);
    if (r < 0) {
        kafka_sender_free(s);
        return r;
    }
    *out = s;
    return 0;
}

void kafka_sender_put(struct kafka_sender *s, const char *key, size_t key_len, const char *value, size_t value_len,
                      size_t tag)
{
    for (;;) {
        rd_kafka_resp_err_t err = rd_kafka_producev(s->rk, RD_KAFKA_V_TOPIC(s->topic), RD_KAFKA_V_KEY(key, key_len),
                                                    RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value_len),
                                                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                                    RD_KAFKA_V_OPAQUE((void *)(uintptr_t)tag), RD_KAFKA_V_END);

        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)rd_kafka_poll(s->rk, 0);
            return;
        }
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            s->state.sent(s->state.arg, tag, -1, -1, rd_kafka_err2str(err));
            return;
        }
        (void)rd_kafka_poll(s->rk, 100);
    }
}

int kafka_sender_flush(struct kafka_sender *s, int timeout_ms)
{
    (void)rd_kafka_flush(s->rk, timeout_ms); /* what is left says how it went */
    return rd_kafka_outq_len(s->rk);
}

void kafka_sender_free(struct kafka_sender *s)
{
    if (s == NULL)
        return;
    if (s->rk != NULL)
        rd_kafka_destroy(s->rk);
    mem_free(s->topic);
    mem_free(s);
}
