/* SPDX-License-Identifier: Apache-2.0 */
/* Can an endpoint be reached? For `tutti doctor`. */
#ifndef IMPL_HTTP_PROBE_H
#define IMPL_HTTP_PROBE_H

#include "base/finding.h"

/* Opens a connection to the URL's host (TCP, TLS with verification) and closes it again: no request is sent, nothing is
 * paid. Blocks, at most 5 s; one thread, never a worker's. */
void http_probe(const char *url, const char *ca_file, finding_fn found, void *arg);

#endif
