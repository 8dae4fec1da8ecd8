/* SPDX-License-Identifier: Apache-2.0 */
/* CHECK() is for our own mistakes only: it stays on in production and aborts. Never use it on input. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

/* Logs the failed condition and aborts; does not return. Any thread. */
__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file, int line);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
