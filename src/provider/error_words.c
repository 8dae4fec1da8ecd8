/* SPDX-License-Identifier: Apache-2.0 */
/* The words and phrases of errors that several providers share, as tables. Judges nothing beyond them. No state; any
 * thread.  source  reference/providers.md 4.11; wire-oddities.md 33-40 */
#include <string.h>

#include "base/check.h"
#include "provider/error.h"

enum { WORD_BYTES = 64 };

/* Words that mean the same wherever they are said: gateways speak OpenAI's dialect with their upstream's words. */
static const struct error_word shared_words[] = {
    {"rate_limit_exceeded", FAULT_RATE_LIMITED},
    {"rate_limit_error", FAULT_RATE_LIMITED},
    {"ramp_limit_exceeded", FAULT_RATE_LIMITED}, /* Anthropic: too steep a rise */
    {"rate_limited", FAULT_RATE_LIMITED},
    {"too_many_requests", FAULT_RATE_LIMITED},
    {"credit_limit", FAULT_RATE_LIMITED},      /* Together: may mean requests per minute */
    {"capacity_exceeded", FAULT_RATE_LIMITED}, /* Groq flex, 498 */
    {"1300", FAULT_RATE_LIMITED},              /* Mistral */
    {"slow_down", FAULT_OVERLOADED},
    {"server_is_overloaded", FAULT_OVERLOADED},
    {"overloaded_error", FAULT_OVERLOADED}, /* Anthropic */
    {"overloaded", FAULT_OVERLOADED},
    {"engine_overloaded_error", FAULT_OVERLOADED},
    {"service_tier_capacity_exceeded", FAULT_OVERLOADED},
    {"unavailable", FAULT_OVERLOADED}, /* Google */
    {"3505", FAULT_OVERLOADED},        /* Mistral */
    {"1305", FAULT_OVERLOADED},        /* z.ai */
    {"insufficient_quota", FAULT_QUOTA_EXHAUSTED},
    {"credit_balance_exhausted", FAULT_QUOTA_EXHAUSTED},
    {"billing_hard_limit_reached", FAULT_QUOTA_EXHAUSTED},
    {"billing_not_active", FAULT_QUOTA_EXHAUSTED},
    {"insufficient_balance", FAULT_QUOTA_EXHAUSTED},
    {"exceeded_current_quota_error", FAULT_QUOTA_EXHAUSTED},
    {"payment_required", FAULT_QUOTA_EXHAUSTED},
    {"billing_error", FAULT_QUOTA_EXHAUSTED}, /* Anthropic */
    {"invalid_api_key", FAULT_AUTH},
    {"incorrect_api_key", FAULT_AUTH},
    {"wrong_api_key", FAULT_AUTH}, /* Cerebras */
    {"authentication_error", FAULT_AUTH},
    {"invalid_authentication_error", FAULT_AUTH},
    {"permission_error", FAULT_AUTH},
    {"permission_denied", FAULT_AUTH}, /* Google */
    {"api_key_invalid", FAULT_AUTH},   /* Google */
    {"account_deactivated", FAULT_AUTH},
    {"unauthorized", FAULT_AUTH},
    {"unauthenticated", FAULT_AUTH},
    {"model_not_found", FAULT_MODEL_NOT_FOUND},
    {"model_decommissioned", FAULT_MODEL_NOT_FOUND},
    {"unknown_model", FAULT_MODEL_NOT_FOUND},
    {"invalid_model", FAULT_MODEL_NOT_FOUND},
    {"deploymentnotfound", FAULT_MODEL_NOT_FOUND},
    {"context_length_exceeded", FAULT_CONTEXT_LENGTH},
    {"too_many_prompt_tokens", FAULT_CONTEXT_LENGTH},
    {"too_many_tokens", FAULT_CONTEXT_LENGTH},
    {"3051", FAULT_CONTEXT_LENGTH}, /* Mistral */
    {"content_filter", FAULT_CONTENT_FILTERED},
    {"content_policy_violation", FAULT_CONTENT_FILTERED},
    {"responsibleaipolicyviolation", FAULT_CONTENT_FILTERED},
    {"data_inspection_failed", FAULT_CONTENT_FILTERED},
    {"moderation_blocked", FAULT_CONTENT_FILTERED},
    {"tool_use_failed", FAULT_BAD_RESPONSE}, /* Groq: the model's own call was malformed */
};

enum on {
    ON_400 = 1, /* 400, 413, 422 and what came inside of a 200 */
    ON_403 = 2,
    ON_404 = 4,
    ON_429 = 8,
    ON_5XX = 16,
    ON_OTHER = 32,
    ON_ANY = 63,
};

/* Parts of messages, in lower case, for those who send no word of their own. In order: the first that fits wins. */
static const struct error_phrase phrases_known[] = {
    {"maximum context length", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"context length is only", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"max context length", ON_400 | ON_5XX, FAULT_CONTEXT_LENGTH, "context_length"},
    {"context window", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"prompt is too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"prompt too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"input is too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"input tokens exceeded", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"exceed context limit", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"exceeds the maximum number of tokens", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"maximum prompt length", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},                    /* xAI */
    {"exceeded model token limit", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},               /* Moonshot */
    {"prompt exceeds max length", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},                /* z.ai */
    {"exceeds the available context size", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},       /* llama.cpp */
    {"greater than the context length", ON_400 | ON_5XX, FAULT_CONTEXT_LENGTH, "context_length"}, /* LM Studio */
    {"`inputs` tokens + `max_new_tokens`", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},       /* TGI, Together */
    {"too many tokens", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"incorrect api key", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"invalid api key", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"api key not valid", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"organization has been disabled", ON_400, FAULT_AUTH, "organization_disabled"},      /* Anthropic */
    {"specified api usage limits", ON_ANY, FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"}, /* Anthropic, a 400 */
    {"required for long context requests", ON_429, FAULT_OVER_POOL, "long_context"},      /* Anthropic */
    {"free-models-per-day", ON_429, FAULT_QUOTA_EXHAUSTED, "quota_per_day"},              /* OpenRouter */
    {"credit balance", ON_400 | ON_403 | ON_429, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"insufficient balance", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"insufficient credits", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"used all available credits", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"spend cap", ON_ANY, FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"},
    {"spending cap", ON_ANY, FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"},
    {"content management policy", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"content filtering policy", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"content violates", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"requires moderation", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"content exists risk", ON_400, FAULT_CONTENT_FILTERED, "content_filter"}, /* DeepSeek */
    {"flagged as potentially violating", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"safety system", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"not a chat model", ON_404, FAULT_INVALID_REQUEST, "not_a_chat_model"},
    {"no endpoints found", ON_404, FAULT_INVALID_REQUEST, "no_endpoints"},
    {"model identifier is invalid", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"unknown model", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"model not found", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"model not exist", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"}, /* DeepSeek */
    {"is not a valid model id", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"overloaded", ON_400 | ON_429 | ON_5XX, FAULT_OVERLOADED, "overloaded"},
    {"at capacity", ON_429 | ON_5XX, FAULT_OVERLOADED, "overloaded"},
    {"getting throttled", ON_5XX, FAULT_OVERLOADED, "overloaded"},
};

static unsigned on_of(int status)
{
    switch (status) {
    case 403:
        return ON_403;
    case 404:
        return ON_404;
    case 429:
        return ON_429;
    case 400:
    case 413:
    case 422:
        return ON_400;
    default:
        return status >= 500 ? ON_5XX : status < 300 ? ON_400 : ON_OTHER;
    }
}

static const struct error_word *find(const struct error_word *rows, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].word, word) == 0)
            return &rows[i];
    return NULL;
}

const struct error_word *error_word_find(const struct error_words *words, struct text word)
{
    const struct error_word *row;
    char lower[WORD_BYTES];

    if (word.p == NULL || word.len >= sizeof(lower))
        return NULL;
    for (size_t i = 0; i < word.len; i++)
        lower[i] = word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] | 0x20) : word.p[i];
    lower[word.len] = '\0';
    row = find(words->rows, words->n, lower);
    return row != NULL ? row : find(shared_words, ARRAY_LEN(shared_words), lower);
}

const struct error_phrase *error_phrase_find(int status, const char *phrases)
{
    for (size_t i = 0; i < ARRAY_LEN(phrases_known); i++)
        if ((phrases_known[i].on & on_of(status)) != 0 && strstr(phrases, phrases_known[i].phrase) != NULL)
            return &phrases_known[i];
    return NULL;
}
