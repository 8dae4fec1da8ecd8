/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client over libcurl. One per worker; all on the loop's thread. */
#ifndef IMPL_HTTP_CURL_H
#define IMPL_HTTP_CURL_H

#include "seam/http.h"

struct loop;

struct http_curl_conf {
    int max_connections;    /* of one multi handle; more handles as needed. 0: 64 (DESIGN 8) */
    const char *user_agent; /* NULL: "tutti" */
};

/* Makes the client; NULL when libcurl cannot start (logged). conf may be NULL. The loop must outlive it: the sockets it
 * watches are closed in free(). free() calls no done(), and must not be called from inside one.
 * Descriptors: one per connection and two per multi handle. Proxies come from the environment as in curl. The process
 * must ignore SIGPIPE. */
struct http *http_curl_new(struct loop *l, const struct http_curl_conf *conf);

#endif
