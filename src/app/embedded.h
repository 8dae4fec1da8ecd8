/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the repository inside the program: schemas, the sample configuration. Which ones is said in
 * cmake/Modules.cmake. Constant; any thread. */
#ifndef APP_EMBEDDED_H
#define APP_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
    const char *name;  /* path in the repository; NULL ends the table */
    const char *bytes; /* a NUL follows them */
    size_t len;
};

extern const struct embedded_file embedded_files[];

#endif
