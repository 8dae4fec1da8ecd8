/* SPDX-License-Identifier: Apache-2.0 */
/* A dialect of the simulator: how one vendor's requests are read and its answers, errors and limit headers are written.
 * Three constant tables; latency, faults, limits, directives and the ledger know none of them. One thread: the loop's.
 */
#ifndef SIM_DIALECT_H
#define SIM_DIALECT_H

#include "base/buf.h"
#include "base/json_write.h"
#include "base/scan.h"
#include "base/text.h"
#include "sim/sim_internal.h"

enum { TOOLS_MAX = 32, ASK_MODEL_BYTES = 256 };

/* --- what a request asks for --- */

enum operation {
    OP_NONE,
    OP_GENERATE,
    OP_STREAM, /* by its route */
    OP_COUNT,  /* of the tokens */
};

struct tool {
    struct text name;
    struct text schema; /* of its arguments, JSON as it stood; TEXT_NONE: none given */
};

/* Texts are slices of the body. */
struct ask {
    struct text model;  /* TEXT_NONE: none given */
    struct buf *prompt; /* system first, then the messages: all texts, plain, joined by new lines; the caller's */
    int64_t max_tokens; /* -1: none given */
    struct text schema; /* the answer shall be JSON: its schema as it stood, "{}" for any object; TEXT_NONE: prose */
    struct text choice; /* the name of the tool that must be called */
    struct text wrong;  /* what a refusal is about: a field, a role */
    size_t n_tools;
    struct tool tools[TOOLS_MAX];
    int n_images;
    bool is_tool_forced; /* some tool must be called */
    bool is_stream;
    bool includes_usage; /* OpenAI: a last chunk with the usage */
    bool has_messages;
};

/* Empties *a but for its prompt. */
void ask_init(struct ask *a, struct buf *prompt);
/* Appends a string value to the prompt; any other value is passed over. */
void ask_add_text(struct scan *s, struct ask *a);
/* A string, or a list of parts: the strings under "text", images counted (keys in `images`, NULL-terminated). */
void ask_add_content(struct scan *s, struct ask *a, const char *const *images);
/* Enters an object '{' or a list '['; any other value is passed over, and false. */
bool ask_enter(struct scan *s, char bracket);
/* An object with a name and a schema under one of the keys. */
struct tool ask_read_tool(struct scan *s, const char *const *schema_keys);
/* The same as one more tool of the request. */
void ask_add_tool(struct scan *s, struct ask *a, const char *const *schema_keys);
/* True when the string value that comes next is one of the words; else a->wrong is it. Takes it. */
bool ask_is_one_of(struct scan *s, struct ask *a, const char *const *words);
/* True when the key is the camelCase name, or the same in snake_case. source  protobuf JSON mapping */
bool ask_is_field(struct text key, const char *name);
/* The word behind `JOB:` in the prompt, "" without one. */
void ask_job_tag(const struct buf *prompt, char out[LABEL_BYTES]);

/* --- what is wrong --- */

enum problem_kind {
    PROBLEM_NONE,
    PROBLEM_NOT_JSON,
    PROBLEM_NO_MODEL,
    PROBLEM_NO_MESSAGES,
    PROBLEM_NO_MAX_TOKENS,
    PROBLEM_NO_VERSION, /* the anthropic-version header */
    PROBLEM_FIELD,      /* a field that is not known */
    PROBLEM_ROLE,       /* a role that is not known */
    PROBLEM_NO_KEY,
    PROBLEM_BAD_KEY,
    PROBLEM_FORBIDDEN,
    PROBLEM_MODEL, /* no such model */
    PROBLEM_ROUTE, /* no such URL */
    PROBLEM_TOO_LARGE,
    PROBLEM_CONTEXT, /* longer than the model's window */
    PROBLEM_FILTER,  /* by the content filter */
    PROBLEM_RATE,
    PROBLEM_NEVER, /* one request larger than the limit */
    PROBLEM_CONCURRENCY,
    PROBLEM_QUOTA,       /* no money, or the day's share is used up */
    PROBLEM_SERVER,      /* 500 */
    PROBLEM_UNAVAILABLE, /* 503 */
    PROBLEM_OVERLOADED,
    PROBLEM_INSIDE_200, /* an error object under status 200 */
    PROBLEM_STATUS,     /* any other status */
    PROBLEM_MAX
};

struct problem_row {
    int status;
    const char *type;
    const char *code;
    const char *param;
    const char *message; /* {model} {detail} {limit} {used} {requested} {unit} {wait} {tokens} are filled in */
};

struct problem {
    enum problem_kind kind;
    int status;                 /* as sent */
    const char *model;          /* "" when there is none */
    struct text detail;         /* key, field, URL, or the message of PROBLEM_STATUS */
    const struct overrun *over; /* NULL: no limit was reached */
    const char *unit;           /* of the limit, the dialect's words */
    int64_t wait_us;            /* -1: not said */
    int64_t tokens;             /* of the prompt */
    int64_t limit;              /* of the limit or the window */
    int64_t request_id;
};

/* The row's message with its words filled in. */
void problem_say(struct buf *out, const char *message, const struct problem *p);
/* What an ordered status means where the dialect has that status for it; else PROBLEM_STATUS. */
enum problem_kind problem_of_status(const struct problem_row *rows, int status);
/* What a fault says; PROBLEM_NONE: it is no refusal. */
enum problem_kind problem_of_fault(enum sim_fault f);

/* --- the tables --- */

struct route {
    const char *suffix; /* of the path; NULL: the end of the list */
    enum operation operation;
};

struct dialect {
    const char *name;
    const struct route *routes;
    const struct problem_row *problems; /* [PROBLEM_MAX] */
    const char *id_header;              /* that holds the request's id; NULL: none */
    const char *time_header;            /* "name: " of the header that says how many ms it took */
    unsigned keys;                      /* where its API key may stand: bits of enum key_source */
    int image_tokens;
    int refusal_tokens;
    /* Reads a body; PROBLEM_NONE or what is wrong with it. out->model may be set by the path. */
    enum problem_kind (*read)(const char *bytes, size_t len, struct ask *out);
    void (*write_answer)(struct buf *body, const struct exchange *x);
    void (*write_stream)(struct buf *body, const struct exchange *x);
    void (*write_error)(struct buf *body, const struct problem *p);
    /* Header lines of the limits; NULL: neither those nor retry-after. */
    void (*write_limits)(struct buf *head, struct meter *m, const struct sim_model *model, struct moment now);
    /* The list of models, or one of them. */
    void (*write_models)(struct buf *body, const struct sim_conf *conf, const struct sim_model *only);
    void (*write_count)(struct buf *body, int64_t tokens);
};

/* The readers; each stands in its dialect's table. */
enum problem_kind openai_read(const char *bytes, size_t len, struct ask *a);
enum problem_kind anthropic_read(const char *bytes, size_t len, struct ask *a);
enum problem_kind gemini_read(const char *bytes, size_t len, struct ask *a);

extern const struct dialect dialect_openai;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini;

/* Whose request it is and what for. model: from the path, decoded; "" without one. OP_NONE: none of the routes, and the
 * dialect is the one that the path and the headers look like. */
struct target {
    const struct dialect *dialect;
    enum operation operation;
    char model[ASK_MODEL_BYTES];
};

void target_read(const struct http_request *r, struct target *out);

/* --- answer.c: the text of an answer --- */

/* Ordered or made; empty when there is none. Borrowed from the exchange or the scratch. */
struct text answer_words(struct buf *scratch, const struct exchange *x);
/* The same as a tool's arguments: a JSON object. */
struct text answer_arguments(const struct exchange *x);
/* Takes the next piece of about `bytes` off *rest; false at the end. */
bool answer_next(struct text *rest, size_t bytes, struct text *out);
/* An id that is the same for the same request and attempt: prefix and hex digits. */
void answer_id(char out[64], const char *prefix, const struct exchange *x);
/* A JSON value that fits the schema as far as types, enums, properties and items go. */
void sample_json(struct buf *out, struct text schema);

#endif
