/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP POST: asked by core, carried by an adapter (curl, or a script in tests). */
#ifndef SEAM_HTTP_H
#define SEAM_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/text.h"

struct http;
struct transfer;

/* How a transfer ended. Everything but OK is a fault of the way, not the provider's answer. */
enum transfer_end {
    TRANSFER_OK,              /* a complete response; any status */
    TRANSFER_DNS,             /* name did not resolve */
    TRANSFER_REFUSED,         /* connection refused or unreachable */
    TRANSFER_CONNECT_TIMEOUT, /* incl. TLS handshake */
    TRANSFER_TLS,             /* certificate or handshake refused */
    TRANSFER_FIRST_BYTE_TIMEOUT,
    TRANSFER_IDLE_TIMEOUT, /* gap inside the body */
    TRANSFER_TOTAL_TIMEOUT,
    TRANSFER_DEADLINE,    /* the job's absolute deadline */
    TRANSFER_RESET,       /* connection lost before the first byte of an answer, or mid-answer with an error */
    TRANSFER_TRUNCATED,   /* closed before Content-Length or the last chunk */
    TRANSFER_TOO_LARGE,   /* over max_body_bytes */
    TRANSFER_RESEND,      /* the library was about to send the request a second time: aborted (DESIGN 8) */
    TRANSFER_GRANT_STALE, /* send_before_us had passed when the request was about to be written: nothing was sent */
    TRANSFER_PROTOCOL,    /* not HTTP, bad chunk, ... */
    TRANSFER_LOCAL,       /* our own trouble: no descriptor, no memory, bad URL */
    TRANSFER_END_MAX
};

/* "connect_refused", "first_byte_timeout" ...: error_detail of the call record; NULL for OK. */
const char *transfer_detail(enum transfer_end end);

struct http_header {
    const char *name;
    const char *value;
};

typedef void (*transfer_done)(struct transfer *t, void *arg);

struct transfer {
    /* asked; set by the caller, unchanged until done, owned by the caller */
    const char *url;
    const struct http_header *headers; /* headers[n_headers]; Content-Type is among them */
    int n_headers;
    struct text body;       /* plain bytes */
    const char *ca_file;    /* NULL: the system's store */
    int64_t connect_us;     /* limits, durations; 0: none */
    int64_t first_byte_us;  /* from the request written to the first byte of the status line */
    int64_t idle_us;        /* longest gap between bytes of the answer */
    int64_t total_us;       /* from start */
    int64_t deadline_us;    /* absolute, loop time; 0: none */
    int64_t send_before_us; /* absolute: checked when the request is about to be written; 0: no check */
    size_t max_body_bytes;  /* 0: 1 MiB */
    transfer_done done;
    void *arg;

    /* answered; valid in done() until transfer_release() */
    enum transfer_end end;
    int status;                 /* 0: no status line */
    bool was_sent;              /* the request was about to be written: it may have reached the provider */
    int64_t sent_us;            /* absolute loop time of that moment, 0: never */
    int64_t connect_took_us;    /* 0 on a reused connection; -1: unknown */
    int64_t first_byte_took_us; /* from start; -1: none arrived */
    int64_t total_took_us;
    int64_t bytes_out;
    int64_t bytes_in;
    char why[128];      /* the library's or the system's words; never a header value */
    struct buf head;    /* raw response header lines, capped at 16 KiB */
    struct buf body_in; /* response body, capped */

    void *impl; /* the adapter's */
};

/* Value of a response header (case-insensitive, last one wins), trimmed; TEXT_NONE when absent. */
struct text transfer_header(const struct transfer *t, const char *name);
/* Frees what the answer holds (head, body_in). Call it once the answer was read. */
void transfer_release(struct transfer *t);

struct http_ops {
    const char *name;
    /* Starts the POST; done() comes exactly once, never from inside this call.
     * owns    `t` and all it points at stay the caller's and must outlive done() or cancel() */
    void (*start)(struct http *h, struct transfer *t);
    /* Closes the transfer's socket (or resets its stream); after this done() never comes. t->was_sent and sent_us are
     * valid. */
    void (*cancel)(struct http *h, struct transfer *t);
    void (*free)(struct http *h);
};

/* Base of every implementation. */
struct http {
    const struct http_ops *ops;
};

#endif
