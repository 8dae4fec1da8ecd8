/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP relay on the loopback: gives a server that chooses its port itself a second, fixed one. Bytes go through as
 * they are. */
#ifndef APP_RELAY_H
#define APP_RELAY_H

struct loop;
struct relay;

/* Listens on 127.0.0.1:port (0: a free one) and connects every caller to 127.0.0.1:target_port.
 * errors  NULL, *out_errno says why (EADDRINUSE)
 * thread  the loop's, as all functions here */
struct relay *relay_new(struct loop *loop, int port, int target_port, int *out_errno);
int relay_port(const struct relay *r);
/* Closes all connections. NULL is fine. */
void relay_free(struct relay *r);

#endif
