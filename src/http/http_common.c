/* SPDX-License-Identifier: Apache-2.0 */
/* What libcurl's result codes mean to us: one table, and the few codes whose meaning depends on how far the request had
 * come or on libcurl's text. Never calls libcurl. Any thread. */
#include <string.h>

#include "base/check.h"
#include "http/http_internal.h"

struct meaning {
    CURLcode code;
    enum transfer_end before; /* the request was not sent yet */
    enum transfer_end after;  /* it was, at least partly */
};

static const struct meaning meanings[] = {
    {CURLE_OK, TRANSFER_OK, TRANSFER_OK},
    {CURLE_UNSUPPORTED_PROTOCOL, TRANSFER_LOCAL, TRANSFER_PROTOCOL}, /* after: an HTTP/0.9 answer */
    {CURLE_URL_MALFORMAT, TRANSFER_LOCAL, TRANSFER_LOCAL},
    {CURLE_COULDNT_RESOLVE_PROXY, TRANSFER_DNS, TRANSFER_DNS},
    {CURLE_COULDNT_RESOLVE_HOST, TRANSFER_DNS, TRANSFER_DNS},
    {CURLE_COULDNT_CONNECT, TRANSFER_REFUSED, TRANSFER_REFUSED},
    {CURLE_PROXY, TRANSFER_REFUSED, TRANSFER_REFUSED},
    {CURLE_INTERFACE_FAILED, TRANSFER_LOCAL, TRANSFER_LOCAL},
    {CURLE_OPERATION_TIMEDOUT, TRANSFER_CONNECT_TIMEOUT, TRANSFER_TOTAL_TIMEOUT}, /* the system's or our backstop */
    {CURLE_SSL_CONNECT_ERROR, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_PEER_FAILED_VERIFICATION, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_CERTPROBLEM, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_CIPHER, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_ISSUER_ERROR, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_INVALIDCERTSTATUS, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_USE_SSL_FAILED, TRANSFER_TLS, TRANSFER_TLS},
    {CURLE_SSL_CACERT_BADFILE, TRANSFER_LOCAL, TRANSFER_LOCAL}, /* our ca_file cannot be read */
    {CURLE_SEND_ERROR, TRANSFER_RESET, TRANSFER_RESET},
    {CURLE_RECV_ERROR, TRANSFER_RESET, TRANSFER_RESET},
    {CURLE_GOT_NOTHING, TRANSFER_RESET, TRANSFER_RESET},
    {CURLE_HTTP2_STREAM, TRANSFER_RESET, TRANSFER_RESET},
    {CURLE_SEND_FAIL_REWIND, TRANSFER_RESEND, TRANSFER_RESEND}, /* rewinding is for a second send */
    {CURLE_PARTIAL_FILE, TRANSFER_TRUNCATED, TRANSFER_TRUNCATED},
    {CURLE_WEIRD_SERVER_REPLY, TRANSFER_PROTOCOL, TRANSFER_PROTOCOL},
    {CURLE_BAD_CONTENT_ENCODING, TRANSFER_PROTOCOL, TRANSFER_PROTOCOL},
    {CURLE_HTTP2, TRANSFER_RESET, TRANSFER_RESET}, /* also when the server ends the connection (GOAWAY) */
    {CURLE_FILESIZE_EXCEEDED, TRANSFER_TOO_LARGE, TRANSFER_TOO_LARGE},
    {CURLE_OUT_OF_MEMORY, TRANSFER_LOCAL, TRANSFER_TOO_LARGE}, /* after: libcurl's word for a header line over 100 KB */
};

/* Cases that libcurl tells apart in its text only. A text of another version leaves the table's meaning. */
static const struct {
    CURLcode code;
    const char *part;
    enum transfer_end end;
} phrases[] = {
    {CURLE_RECV_ERROR, "chunked-encoding", TRANSFER_PROTOCOL},
    /* The handshake was cut off, not refused: worth trying again. */
    {CURLE_SSL_CONNECT_ERROR, "OpenSSL SSL_connect:", TRANSFER_RESET},
    {CURLE_SSL_CONNECT_ERROR, "unexpected eof", TRANSFER_RESET},
    {CURLE_SSL_CONNECT_ERROR, "Recv failure", TRANSFER_RESET},
    {CURLE_SSL_CONNECT_ERROR, "Send failure", TRANSFER_RESET},
};

enum transfer_end http_end_of(CURLcode code, bool was_sent, const char *error)
{
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].code == code && strstr(error, phrases[i].part) != NULL)
            return phrases[i].end;
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
        if (meanings[i].code == code)
            return was_sent ? meanings[i].after : meanings[i].before;
    return was_sent ? TRANSFER_PROTOCOL : TRANSFER_LOCAL;
}

const char *http_why_of(enum transfer_end end)
{
    switch (end) {
    case TRANSFER_CONNECT_TIMEOUT:
        return "no connection within the connect limit";
    case TRANSFER_FIRST_BYTE_TIMEOUT:
        return "no answer within the first byte limit";
    case TRANSFER_IDLE_TIMEOUT:
        return "the answer paused longer than the idle limit";
    case TRANSFER_TOTAL_TIMEOUT:
        return "not finished within the total limit";
    case TRANSFER_DEADLINE:
        return "the deadline passed";
    case TRANSFER_TOO_LARGE:
        return "the answer is larger than the limit";
    case TRANSFER_RESEND:
        return "the connection closed before an answer; not sent a second time";
    case TRANSFER_GRANT_STALE:
        return "the permit was too old when the connection was ready";
    default:
        return NULL;
    }
}

void http_set_why(struct transfer *t, const char *why)
{
    struct text cut = text_cut(text_of(why), sizeof(t->why) - 1);

    memcpy(t->why, cut.p, cut.len);
    t->why[cut.len] = '\0';
}
