/* SPDX-License-Identifier: Apache-2.0 */
/* Responses to the OpenAI-compatible dialect. One thread. */
#include "fuzz/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    fuzz_answer("openai", bytes, len);
    return 0;
}
