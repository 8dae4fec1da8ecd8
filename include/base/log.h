/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: a fixed event name, then key=value. Formats pretty, logfmt, json; one write(2) per line to stderr.
 * No secrets, no prompt or answer text. Any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_MAX };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_PRETTY, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Sets level and format (AUTO: pretty on a terminal, else logfmt). */
void log_configure(enum log_level level, enum log_format format);
bool log_is_on(enum log_level level);
/* Writes `event key=value ...`: fmt must be a sequence of key=%... pairs separated by single spaces; a value that needs
 * quotes is given as key="%s" and is escaped by the logger (quotes, backslashes, control characters, broken UTF-8), so
 * that no value breaks out of its field. A value outside quotes has such characters and blanks replaced by '_'.
 * Understands the standard conversions except %n, %ls and positions. fmt may be NULL: no pairs. Pairs beyond 3.5 KiB
 * are cut, which the line says with cut=true.
 *     log_event(LOG_WARN, "call_failed", "job=\"%s\" part=%d off=%lld", id, part, off); */
void log_event(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Escapes quotes, backslashes and control characters of `s` into out[size] as log_event() does inside key="...", cut to
 * what fits; returns out. Only for lines that are put together elsewhere: log_event() leaves such escapes as they are.
 */
const char *log_quote(char *out, size_t size, const char *s);
/* True at most once per `period_us` for this state (a static int64_t at the call site): keeps repeating lines rare. */
bool log_is_due(int64_t *state, int64_t now_us, int64_t period_us);

#endif
