/* SPDX-License-Identifier: Apache-2.0 */
/* Tools, tool choices and tool calls in OpenAI's shape, read for the dialects that spell them otherwise; and calls
 * written in that shape. Pure but for the arena; any thread. */
#ifndef PROVIDER_TOOLS_H
#define PROVIDER_TOOLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "base/scan.h"

struct arena;
struct building;

/* A walk over a raw JSON array, item by item. */
struct tools_walk {
    struct scan s;
    struct arena *a;
};
/* False: not an array. */
bool tools_begin(struct tools_walk *w, struct text array, struct arena *a);

struct tool {
    struct text raw;  /* as it stands */
    struct text name; /* TEXT_NONE: not a function, but a tool in the words of some vendor */
    struct text description;
    struct text parameters; /* raw JSON Schema; TEXT_NONE */
    struct text strict;     /* raw; TEXT_NONE */
};
/* The next tool; false at the end or on a syntax error (w->s.error). */
bool tools_next(struct tools_walk *w, struct tool *out);

struct tool_call {
    struct text id;
    struct text name;
    struct text arguments; /* a string of JSON, as OpenAI has it; when reading also an object as it stands (plain) */
    struct text signature; /* Gemini's thought signature, kept in extra_content.google; TEXT_NONE */
};
bool tool_calls_next(struct tools_walk *w, struct tool_call *out);
/* The arguments as a raw JSON object ("{}" for none); fails the building when they are no object. */
struct text tool_arguments(struct building *b, const struct tool_call *c);

enum tool_choice_kind { CHOICE_NONE, CHOICE_AUTO, CHOICE_REQUIRED, CHOICE_FUNCTION, CHOICE_OTHER };
struct tool_choice {
    enum tool_choice_kind kind;
    struct text name; /* CHOICE_FUNCTION */
    struct text type; /* CHOICE_OTHER: the object's "type"; TEXT_NONE: none, or no object */
};
/* CHOICE_OTHER: not OpenAI's words, or none that all dialects have. */
struct tool_choice tool_choice_read(struct text json, struct arena *a);

/* Tool calls being written in OpenAI's shape. */
struct tool_writer {
    struct buf b;
    struct json_write w;
    int n;
};
void tool_writer_init(struct tool_writer *t);
/* arguments: the raw JSON value, plain; an id that is TEXT_NONE becomes "call_<n>". */
void tool_writer_add(struct tool_writer *t, const struct tool_call *c);
/* The array in the arena, TEXT_NONE when there was none; frees the rest. */
struct text tool_writer_end(struct tool_writer *t, struct arena *a);

#endif
