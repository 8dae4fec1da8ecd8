/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to the simulator's JSON form: libfyaml reads and emits, sim_conf_set_json() checks. Main thread. */
#include "app/sim_file.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

int sim_file_load(const char *path, struct sim_conf *out, char *why, size_t size)
{
    struct fy_document *doc;
    const char *text = "cannot be read";
    char *json;
    int r = -EINVAL;

    doc = fy_document_build_from_file(NULL, path);
    if (doc == NULL) {
        snprintf(why, size, "%s: cannot be read or is not YAML", path);
        return -ENOENT;
    }
    json = fy_emit_document_to_string(doc, FYECF_MODE_JSON_ONELINE);
    if (json != NULL)
        r = sim_conf_set_json(out, json, strlen(json), &text);
    if (r < 0)
        snprintf(why, size, "%s: %s", path, text);
    free(json); /* libfyaml's */
    fy_document_destroy(doc);
    return r;
}
