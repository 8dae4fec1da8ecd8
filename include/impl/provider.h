/* SPDX-License-Identifier: Apache-2.0 */
/* The wire dialects of this build, found by the `api` word of the configuration. */
#ifndef IMPL_PROVIDER_H
#define IMPL_PROVIDER_H

#include "seam/provider.h"

/* The dialect of this name ("openai"), or NULL. Any thread; the result lives for ever. */
const struct provider_ops *provider_find(const char *api);
/* Names of all dialects, NULL at the end, for help and "did you mean". */
const char *const *provider_names(void);

#endif
