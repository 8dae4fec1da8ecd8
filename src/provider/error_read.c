/* SPDX-License-Identifier: Apache-2.0 */
/* Reads error bodies in all their envelopes: JSON in a dozen shapes, plain text, HTML, nothing. Collects words; what
 * they mean is error_class.c's. No state; any thread.
 * source  wire-oddities.md 31-33, 40, 41 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "provider/answer.h"
#include "provider/error.h"
#include "provider/head.h"

/* Sets a text once: the first envelope that names it wins. */
static void set_once(struct text *to, struct text from)
{
    if (text_is_blank(*to) && !text_is_blank(from))
        *to = from;
}

static bool is_status(struct text t)
{
    return t.len == 3 && (t.p[0] == '4' || t.p[0] == '5') && t.p[1] >= '0' && t.p[1] <= '9' && t.p[2] >= '0' &&
           t.p[2] <= '9';
}

/* A code: a number between 400 and 599 (also as a string: Azure) is a status, any other string or number a word. */
static int scan_code(struct scan *s, struct arena *a, struct wire_error *e)
{
    bool is_number = scan_peek(s) == SCAN_NUMBER;
    struct text code = TEXT_NONE;

    if (is_number)
        (void)scan_skip(s, &code);
    else
        (void)answer_text(s, a, &code);
    if (s->error != 0)
        return s->error;
    if (is_status(code)) {
        if (e->status == 0)
            e->status = (code.p[0] - '0') * 100 + (code.p[1] - '0') * 10 + (code.p[2] - '0');
    } else {
        set_once(&e->code, code);
    }
    return 0;
}

/* {"headers": {"X-RateLimit-Reset": "1759845420000"}} */
static void scan_metadata_headers(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text value;
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (!KEY_IS(key, "X-RateLimit-Reset")) {
            (void)scan_skip(s, NULL);
            continue;
        }
        (void)answer_text(s, a, &value);
        if (value.p != NULL && value.len >= 13 && value.len <= 15)
            e->reset_ms = strtoll(text_decode(a, value, NULL), NULL, 10);
    }
}

/* OpenRouter: what the upstream said, as a string, and its headers. */
static void scan_metadata(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "raw"))
            (void)answer_text(s, a, &e->inner);
        else if (KEY_IS(key, "headers"))
            scan_metadata_headers(s, a, e);
        else
            (void)scan_skip(s, NULL);
    }
}

/* A message: a string, FastAPI's [{"msg": ...}], Mistral's {"detail": [{"msg": ...}]}. As deep as the scan goes. */
static void scan_message(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text t = TEXT_NONE;
    struct text key;

    if (scan_peek(s) == SCAN_ARRAY) {
        (void)scan_enter_array(s);
        while (scan_next_item(s))
            scan_message(s, a, e);
    } else if (scan_peek(s) == SCAN_OBJECT) {
        (void)scan_enter_object(s);
        while (scan_next_key(s, &key)) {
            if (KEY_IS(key, "msg") || KEY_IS(key, "message") || KEY_IS(key, "detail"))
                scan_message(s, a, e);
            else
                (void)scan_skip(s, NULL);
        }
    } else {
        (void)answer_text(s, a, &t);
        set_once(&e->message, t);
    }
}

/* One member of an error object or of a bare envelope. */
static void scan_error_member(struct scan *s, struct arena *a, struct wire_error *e, struct text key)
{
    struct text t = TEXT_NONE;

    if (KEY_IS(key, "message") || KEY_IS(key, "detail") || KEY_IS(key, "Message") || KEY_IS(key, "msg")) {
        scan_message(s, a, e);
    } else if (KEY_IS(key, "type") || KEY_IS(key, "error_type") || KEY_IS(key, "status")) {
        if (scan_peek(s) == SCAN_NUMBER)
            (void)scan_code(s, a, e); /* Azure's "status": 400 */
        else
            (void)answer_text(s, a, &t);
        set_once(&e->type, t);
    } else if (KEY_IS(key, "code") || KEY_IS(key, "error_code")) {
        (void)scan_code(s, a, e);
    } else if (KEY_IS(key, "metadata")) {
        scan_metadata(s, a, e);
    } else if (KEY_IS(key, "details")) {
        error_scan_details(s, a, e);
    } else if (KEY_IS(key, "request_id")) {
        (void)answer_text(s, a, &e->request_id);
    } else {
        (void)scan_skip(s, NULL);
    }
}

int error_scan(struct scan *s, struct arena *a, struct wire_error *e)
{
    enum scan_type type = scan_peek(s);
    struct text message = TEXT_NONE;
    struct text key;
    bool is_empty = true;

    if (type == SCAN_STRING) {
        (void)scan_text(s, a, &message);
        set_once(&e->message, message);
        e->is_present |= !text_is_blank(message);
        return s->error;
    }
    if (type != SCAN_OBJECT)
        return scan_skip(s, NULL); /* null beside a good answer */
    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        is_empty = false;
        scan_error_member(s, a, e, key);
    }
    e->is_present |= !is_empty;
    return s->error;
}

void error_read(const char *bytes, size_t len, struct arena *a, struct wire_error *e)
{
    struct wire_error bare = {.status = 0}; /* what stands beside `error`: it speaks only where that is silent */
    struct text object = TEXT_NONE;
    struct text key;
    struct scan s;

    scan_init(&s, bytes, len);
    if (scan_peek(&s) == SCAN_ARRAY) { /* Google's OpenAI surface: a list of one */
        (void)scan_enter_array(&s);
        if (!scan_next_item(&s))
            return;
    }
    if (scan_peek(&s) != SCAN_OBJECT)
        return;
    (void)scan_enter_object(&s);
    while (scan_next_key(&s, &key)) { /* a body that breaks off still gives what stood before */
        if (KEY_IS(key, "error"))
            (void)error_scan(&s, a, e);
        else if (KEY_IS(key, "object"))
            (void)answer_text(&s, a, &object);
        else
            scan_error_member(&s, a, &bare, key);
    }
    e->is_present = true;
    e->is_declared = text_is(object, "error") || text_is(bare.type, "error");
    set_once(&e->message, bare.message);
    set_once(&e->code, bare.code);
    if (!text_is(bare.type, "error"))
        set_once(&e->type, bare.type);
    set_once(&e->request_id, bare.request_id);
    if (e->status == 0)
        e->status = bare.status;
}
