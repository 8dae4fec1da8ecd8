/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an OpenAI batch line for chat completions. What we have no word for goes to OpenAI-compatible providers
 * as it is; `stream` has no effect, since answers are records. Pure but for the arena. source:
 * reference/providers.md 4.1, 4.3 */
#include "base/check.h"
#include "core/decode.h"

void decode_openai_body(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("model", decode_line_model),
        DECODE_KEY("messages", decode_messages),
        DECODE_PARAM("max_tokens", "max_output_tokens"),
        DECODE_PARAM("max_completion_tokens", "max_output_tokens"),
        DECODE_PARAM("temperature", "temperature"),
        DECODE_PARAM("top_p", "top_p"),
        DECODE_PARAM("stop", "stop"),
        DECODE_PARAM("seed", "seed"),
        DECODE_PARAM("reasoning_effort", "reasoning_effort"),
        DECODE_PARAM("verbosity", "verbosity"),
        DECODE_PARAM("presence_penalty", "presence_penalty"),
        DECODE_PARAM("frequency_penalty", "frequency_penalty"),
        DECODE_PARAM("logit_bias", "logit_bias"),
        DECODE_PARAM("parallel_tool_calls", "parallel_tool_calls"),
        DECODE_KEY("n", decode_line_samples),
        DECODE_KEY("tools", decode_tools),
        DECODE_KEY("tool_choice", decode_tool_choice),
        DECODE_KEY("stream", decode_skip),
        DECODE_KEY("stream_options", decode_skip),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = decode_foreign_param);

    (void)unused;
    decode_object(d, &table, NULL);
    if (d->messages.n == 0)
        decode_fail_at(d, "messages", "messages is missing");
}
