/* SPDX-License-Identifier: Apache-2.0 */
/* What was built: the project's version and the commit, "-dirty" when the work tree differed. Generated at each build
 * by cmake/BuildId.cmake; constant, any thread. */
#ifndef APP_BUILD_ID_H
#define APP_BUILD_ID_H

extern const char *const build_version;
extern const char *const build_commit;

#endif
