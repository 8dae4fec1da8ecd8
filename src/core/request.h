/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the provider request of a call: parameters overlaid, dialect applied, key signed, tokens estimated. Loop
 * thread. */
#ifndef CORE_REQUEST_H
#define CORE_REQUEST_H

struct call;

/* Fills c->wire and c->estimate_tokens once per call; every attempt sends the same bytes with the same idempotency key.
 * errors  -EINVAL: the call is over with invalid_request */
int call_build_request(struct call *c);

#endif
