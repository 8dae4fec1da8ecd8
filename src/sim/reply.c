/* SPDX-License-Identifier: Apache-2.0 */
/* A whole HTTP response in the simulator's wire buffer, and the requests that are not about a model's answer: health,
 * model lists, unknown URLs. Never touches a socket. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim/dialect.h"

size_t sim_respond(struct sim *s, const struct dialect *d, int status, const char *type, const char *extra)
{
    struct buf *w = &s->wire;
    size_t head_bytes;

    s->n_answers++;
    buf_clear(w);
    buf_add_str(w, "HTTP/1.1 ");
    buf_add_i64(w, status);
    buf_add_char(w, ' ');
    buf_add_str(w, http_reason(status));
    buf_add_str(w, "\r\ncontent-type: ");
    buf_add_str(w, type != NULL ? type : "application/json");
    if (d->id_header != NULL) {
        buf_add_str(w, "\r\n");
        buf_add_str(w, d->id_header);
        buf_add_str(w, ": req_sim");
        buf_add_i64(w, (int64_t)s->n_answers);
    }
    buf_add_str(w, "\r\ncontent-length: ");
    buf_add_i64(w, (int64_t)s->body.len);
    buf_add_str(w, "\r\n");
    buf_add_str(w, extra);
    buf_add_str(w, "\r\n");
    head_bytes = w->len;
    buf_add(w, s->body.p, s->body.len);
    return head_bytes;
}

int sim_refuse(struct sim *s, const struct dialect *d, struct problem *p, const char *extra)
{
    const struct problem_row *row = &d->problems[p->kind];

    if (row->message == NULL)
        row = &d->problems[p->kind = PROBLEM_STATUS];
    if (p->status == 0)
        p->status = row->status;
    p->request_id = (int64_t)s->n_answers + 1;
    buf_clear(&s->body);
    d->write_error(&s->body, p);
    (void)sim_respond(s, d, p->status, NULL, extra);
    return p->status;
}

static bool ends_in(struct text t, const char *suffix)
{
    size_t len = strlen(suffix);

    return t.len >= len && memcmp(t.p + t.len - len, suffix, len) == 0;
}

static void answer_models(struct sim *s, const struct http_request *r, const struct target *t)
{
    struct text key = http_key(r, t->dialect->keys);
    const struct sim_model *only = NULL;
    struct problem p = {.model = t->model, .wait_us = -1};

    if (t->model[0] != '\0')
        only = sim_model_of(s, text_of(t->model));
    if (!sim_key_is_known(s, key))
        p.kind = key.p != NULL ? PROBLEM_BAD_KEY : PROBLEM_NO_KEY;
    else if (only == NULL && t->model[0] != '\0')
        p.kind = PROBLEM_MODEL;
    if (p.kind != PROBLEM_NONE) {
        (void)sim_refuse(s, t->dialect, &p, "");
        return;
    }
    t->dialect->write_models(&s->body, &s->conf, only);
    (void)sim_respond(s, t->dialect, 200, NULL, "");
}

void sim_answer_other(struct sim *s, const struct http_request *r, const struct target *t)
{
    char url[256];
    struct problem p = {.kind = PROBLEM_ROUTE, .model = "", .wait_us = -1};

    buf_clear(&s->body);
    if (text_is(r->method, "GET") && ends_in(r->path, "/health")) {
        buf_add_str(&s->body, "{\"status\":\"ok\"}");
        (void)sim_respond(s, t->dialect, 200, NULL, "");
        return;
    }
    if (text_is(r->method, "GET") && (ends_in(r->path, "/models") || t->model[0] != '\0')) {
        answer_models(s, r, t);
        return;
    }
    (void)snprintf(url, sizeof(url), "%.*s %.*s", (int)(r->method.len < 16 ? r->method.len : 16), r->method.p,
                   (int)(r->path.len < 200 ? r->path.len : 200), r->path.p);
    p.detail = text_of(url);
    (void)sim_refuse(s, t->dialect, &p, "");
}
