/* SPDX-License-Identifier: Apache-2.0 */
/* Shows a result record to people: the models' answers beside or below each other, the merged one last. */
#ifndef CLI_ASK_PRINT_H
#define CLI_ASK_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct ask_look {
    int width; /* of the terminal; 0: none, plain text for a pipe */
    bool has_color;
};

/* Answers to `out`; how it went (failures too, where answers go into a pipe) to `err`. result: a result record. */
void ask_print(const json_t *result, const struct ask_look *look, FILE *out, FILE *err);

#endif
