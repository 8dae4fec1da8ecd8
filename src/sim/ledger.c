/* SPDX-License-Identifier: Apache-2.0 */
/* The request log: what an audit of paid calls reads. Lines gather in memory during a turn of the loop and go out in
 * one appending write(2), so that they outlive whatever happens to the clients. Loop thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_write.h"
#include "base/log.h"
#include "sim/dialect.h"

enum { LINES_BYTES_MAX = 1024 * 1024 }; /* written out before the turn ends beyond this */

int ledger_open(struct ledger *l, const char *path, const char **why)
{
    static _Thread_local char text[256];

    buf_init(&l->lines, 0);
    l->fd = -1;
    if (path == NULL)
        return 0;
    l->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (l->fd < 0) {
        int error = errno;

        (void)snprintf(text, sizeof(text), "cannot write the log %s: %s", path, strerror(error));
        *why = text;
        return -error;
    }
    return 0;
}

void ledger_close(struct ledger *l)
{
    ledger_flush(l);
    if (l->fd >= 0)
        (void)close(l->fd); /* all was written by write(2) */
    l->fd = -1;
    buf_done(&l->lines);
}

void ledger_flush(struct ledger *l)
{
    size_t done = 0;

    while (done < l->lines.len) {
        ssize_t n = write(l->fd, l->lines.p + done, l->lines.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_event(LOG_ERROR, "sim_log_lost", "bytes=%zu error=\"%s\"", l->lines.len - done, strerror(errno));
            break;
        }
        done += (size_t)n;
    }
    buf_clear(&l->lines);
}

bool exchange_is_billed(const struct exchange *x)
{
    if (x->meter == NULL || x->decision.status != 200)
        return false;
    return x->decision.fault != SIM_ERROR200 && x->decision.fault != SIM_TRUNCATE;
}

static void kv_label(struct json_write *w, const char *key, const char *label)
{
    jw_kv_str(w, key, label[0] != '\0' ? label : NULL);
}

void ledger_add(struct ledger *l, const struct exchange *x, int64_t answered_ms, bool is_paid)
{
    bool is_ours = x->decision.fault == SIM_RESET || x->decision.fault == SIM_TRUNCATE; /* it was us who hung up */
    struct json_write w;

    if (l->fd < 0)
        return;
    jw_init(&w, &l->lines);
    jw_open(&w, '{');
    jw_kv_int(&w, "t_ms", x->arrived_ms);
    jw_kv_int(&w, "t_us", x->arrived_us);
    jw_kv_str(&w, "dialect", x->dialect->name);
    jw_kv_str(&w, "key_id", x->key_id);
    kv_label(&w, "model", x->model_name);
    kv_label(&w, "prompt_sha256", x->prompt_hash);
    kv_label(&w, "body_sha256", x->body_hash);
    kv_label(&w, "job", x->job);
    kv_label(&w, "idempotency_key", x->idempotency_key);
    jw_kv_int(&w, "attempt", x->attempt);
    jw_kv_str(&w, "decision", x->word);
    jw_kv_int(&w, "status", x->status);
    jw_kv_int_opt(&w, "answered_ms", answered_ms);
    jw_kv_bool(&w, "gone", answered_ms < 0 && !is_ours);
    jw_kv_bool(&w, "paid", is_paid);
    jw_kv_bool(&w, "over_limit", x->over_limit);
    jw_kv_int(&w, "in_flight", x->in_flight);
    jw_kv_int_opt(&w, "prompt_tokens", x->prompt_tokens);
    jw_kv_int_opt(&w, "completion_tokens", x->completion_tokens);
    jw_close(&w, '}');
    buf_add_char(&l->lines, '\n');
    if (l->lines.len > LINES_BYTES_MAX)
        ledger_flush(l);
}
