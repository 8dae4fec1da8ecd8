/* SPDX-License-Identifier: Apache-2.0 */
/* Can this endpoint be reached? A connection with everything a call's would have, and no request. Blocks. */
#include <curl/curl.h>
#include <stdio.h>

#include "base/check.h"
#include "impl/http_probe.h"

enum { CONNECT_MS = 5000 };

static const char *fix_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "check the host's name and this machine's DNS";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return "the certificate is not trusted here: set providers.*.ca_file, or install ca-certificates";
    case CURLE_OPERATION_TIMEDOUT:
        return "a firewall or proxy may drop the connection: check HTTPS_PROXY";
    default:
        return "check base_url, and that the server runs";
    }
}

void http_probe(const char *url, const char *ca_file, finding_fn found, void *arg)
{
    char error[CURL_ERROR_SIZE] = "", what[CURL_ERROR_SIZE + 64];
    CURL *easy = curl_easy_init();
    CURLcode code;
    double connect = 0;

    CHECK(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    if (ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    code = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME, &connect);
    curl_easy_cleanup(easy);
    if (code == CURLE_OK) {
        (void)snprintf(what, sizeof(what), "connected in %.0f ms", connect * 1000);
        found(arg, FINDING_OK, what, NULL);
    } else {
        (void)snprintf(what, sizeof(what), "%s", error[0] != '\0' ? error : curl_easy_strerror(code));
        found(arg, FINDING_FAILURE, what, fix_of(code));
    }
}
