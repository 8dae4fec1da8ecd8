/* SPDX-License-Identifier: Apache-2.0 */
/* Batch lines of OpenAI, Anthropic and Gemini, unchanged, in the shapes of their documentation (reference/providers.md
 * 4.1 to 4.5): what of them becomes ours, what goes to their own dialect only, and what no request can carry. */
#include "unit/core/spec_dump.h"

static const struct spec_row chat_lines[] = {
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"gpt-"
     "4o\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"gpt-4o\"}]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"https://api.openai.com/v1/chat/completions\",\"bo"
     "dy\":{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"gpt-4o\"}]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{"
     "\"role\":\"user\",\"content\":\"x\"}]}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\"}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"developer\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"x\",\"name"
     "\":\"bob\"}]}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"system\",\"parts\":[{"
     "\"text\":\"s\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"dropped\":[\"message_name\"]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"y\",\"refu"
     "sal\":null,\"audio\":null,\"function_call\":null,\"annotations\":[]},{\"role\":\"user\",\"content\":"
     "\"z\"}]}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]},{\"role\":\"assistant\",\"parts\":[{\"text\":\"y\"}]},{\"role\":\"user\",\"parts\":[{"
     "\"text\":\"z\"}]}]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":5,\"temperature\":0.5,\"top_p\":"
     "1,\"stop\":null,\"seed\":3,\"presence_penalty\":0,\"frequency_penalty\":0,\"reasoning_effort\":\"low"
     "\",\"verbosity\":\"low\",\"logit_bias\":{},\"parallel_tool_calls\":true,\"stream\":true,\"stream_opt"
     "ions\":{\"include_usage\":true}}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"m\"}],\"params\":{\"max_output_tokens\":5,\"temperature\":0.5,\"top_p\":1,\"seed\":3,\"pre"
     "sence_penalty\":0,\"frequency_penalty\":0,\"reasoning_effort\":\"low\",\"verbosity\":\"low\",\"logit"
     "_bias\":{},\"parallel_tool_calls\":true}}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_completion_tokens\":9,\"response_format\""
     ":{\"type\":\"json_object\"},\"user\":\"u\",\"logprobs\":true,\"service_tier\":null}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"m\"}],\"params\":{\"max_output_tokens\":9,\"openai:response_format\":{\"type\":\"json_obje"
     "ct\"},\"openai:user\":\"u\",\"openai:logprobs\":true}}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":3,\"tools\":[{\"type\":\"function\",\"fun"
     "ction\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice"
     "\":\"auto\"}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\",\"samples\":3}],\"messages\":[{\"role\":\"user\","
     "\"parts\":[{\"text\":\"x\"}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"desc"
     "ription\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"auto\"}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{"
     "\"role\":\"user\",\"content\":\"x\"}],\"n\":2}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"chatgpt\",\"samples\":2},{\"model\":\"claude\",\"sampl"
     "es\":2}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\","
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]},\"models\":[\"a\",{\"model\":\"b\",\"samples\""
     ":2}],\"merge\":\"vote\",\"quorum\":1,\"batch_id\":\"b\",\"labels\":{\"k\":\"v\"},\"tenant\":\"t\"}",
     "{\"custom_id\":\"1\",\"tenant\":\"t\",\"models\":[{\"model\":\"a\"},{\"model\":\"b\",\"samples\":2}]"
     ",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
};

static const struct spec_row responses_lines[] = {
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{\"model\":\"m\",\"input"
     "\":\"x\"}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"m\"}]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{\"model\":\"m\",\"instr"
     "uctions\":\"s\",\"input\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_output_tokens\":5,\"temperat"
     "ure\":1,\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},\"text\":{\"verbosity\":\"low\",\"fo"
     "rmat\":{\"type\":\"text\"}},\"store\":false,\"truncation\":\"auto\",\"stream\":false,\"metadata\":{"
     "\"a\":\"b\"}}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"m\"}],\"system\":\"s\",\"params\":{\"max_output_tokens\":5,\"temperature\":1,\"reasoning_e"
     "ffort\":\"low\",\"verbosity\":\"low\",\"openai:response_format\":{\"type\":\"text\"},\"openai:store"
     "\":false,\"openai:metadata\":{\"a\":\"b\"}},\"dropped\":[\"reasoning_summary\",\"truncation\"]}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{\"model\":\"m\",\"input"
     "\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"strict\":true,\"schema\":{"
     "\"type\":\"object\"}}}}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"custom_id\":\"1\",\"models\":[{\""
     "model\":\"m\"}],\"params\":{\"openai:response_format\":{\"type\":\"json_schema\",\"json_schema\":{\""
     "name\":\"n\",\"strict\":true,\"schema\":{\"type\":\"object\"}}}}}"},
    {"{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{\"model\":\"m\",\"input"
     "\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"x\"},{"
     "\"type\":\"input_image\",\"image_url\":\"https://a/b\",\"detail\":\"auto\"}]},{\"type\":\"function_c"
     "all\",\"id\":\"fc\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\",\"status\":\"c"
     "ompleted\"},{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"{}\"},{\"t"
     "ype\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"4\"},{\"type\":\"message\",\"id\":\"m"
     "\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":"
     "\"y\",\"annotations\":[]}]}],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","
     "\"parameters\":{\"type\":\"object\"},\"strict\":null}],\"tool_choice\":{\"type\":\"function\",\"name"
     "\":\"f\"}}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"},{\"image\":\"https://a/b\"}]},{\"role\":\"assistant\",\"parts\":[],\"tool_calls\":[{\"i"
     "d\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"i"
     "d\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{\"role\":\"t"
     "ool\",\"parts\":[{\"text\":\"4\"}],\"tool_call_id\":\"c1\"},{\"role\":\"assistant\",\"parts\":[{\"te"
     "xt\":\"y\"}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
     "\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name"
     "\":\"f\"}},\"dropped\":[\"image_detail\"]}"},
};

static const struct spec_row anthropic_lines[] = {
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}]}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10}}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"system\":\"s\"}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10},\"system\":\"s\"}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"system\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephe"
     "meral\"}},{\"type\":\"text\",\"text\":\"b\"}]}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10},\"system\":\"a\\n\\nb\",\"dropped\":[\"cache_c"
     "ontrol\"]}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"temperature\":0.5,\"top_p\":0.5,\"top_k\":3,\"stop_sequences\":[\"a\"],\"strea"
     "m\":true,\"metadata\":{\"user_id\":\"u\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"
     "}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10,\"temperature\":0.5,\"top_p\":0.5,\"top_k\":3,"
     "\"stop\":[\"a\"],\"anthropic:metadata\":{\"user_id\":\"u\"},\"anthropic:thinking\":{\"type\":\"enabl"
     "ed\",\"budget_tokens\":1024}}}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\","
     "\"media_type\":\"image/png\",\"data\":\"AAAA\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\""
     "url\":\"https://a/b\"}}]}]}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"},{\"image\":\"data:image/png;base64,AAAA\"},{\"image\":\"https://a/b\"}]}],\"params\":{"
     "\"max_output_tokens\":10}}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"},{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\""
     "type\":\"text\",\"text\":\"let me see\"},{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input"
     "\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}],\"role\":\"assistan"
     "t\"},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\""
     "4\",\"is_error\":false},{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"content\":[{\"type\":\"te"
     "xt\",\"text\":\"5\"}]},{\"type\":\"text\",\"text\":\"go on\"}]}],\"tools\":[{\"name\":\"f\",\"descri"
     "ption\":\"d\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":{\"type\":\"tool\",\"name\":"
     "\"f\"}}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]},{\"role\":\"assistant\",\"parts\":[{\"text\":\"let me see\"}],\"tool_calls\":[{\"id\""
     ":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\""
     ":\"t2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{\"role\":\"tool"
     "\",\"parts\":[{\"text\":\"4\"}],\"tool_call_id\":\"t1\"},{\"role\":\"tool\",\"parts\":[{\"text\":\"5"
     "\"}],\"tool_call_id\":\"t2\"},{\"role\":\"user\",\"parts\":[{\"text\":\"go on\"}]}],\"params\":{\"ma"
     "x_output_tokens\":10},\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\""
     ":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":{\"type\":\"function\",\"function\":{"
     "\"name\":\"f\"}},\"dropped\":[\"thinking\",\"is_error\"]}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"ob"
     "ject\"}}],\"tool_choice\":{\"type\":\"any\"}}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10},\"tools\":[{\"type\":\"function\",\"function\""
     ":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"req"
     "uired\"}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"ob"
     "ject\"},\"type\":\"custom\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"tool_choice\":{\"type\":"
     "\"auto\"}}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10},\"tools\":[{\"type\":\"function\",\"function\""
     ":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"aut"
     "o\",\"dropped\":[\"cache_control\"]}"},
    {"{\"custom_id\":\"1\",\"params\":{\"model\":\"m\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}],\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses"
     "\":3}],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}}}",
     "{\"custom_id\":\"1\",\"models\":[{\"model\":\"m\"}],\"messages\":[{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"x\"}]}],\"params\":{\"max_output_tokens\":10,\"anthropic:tools\":[{\"type\":\"web_search_202"
     "50305\",\"name\":\"web_search\",\"max_uses\":3}],\"anthropic:tool_choice\":{\"type\":\"auto\",\"disa"
     "ble_parallel_tool_use\":true}}}"},
};

static const struct spec_row gemini_lines[] = {
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"model"
     "\":\"models/gemini-2.5-flash\"}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"models\":[{\""
     "model\":\"gemini-2.5-flash\"}]}"},
    {"{\"request\":{\"contents\":{\"parts\":[{\"text\":\"x\"}]}}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"system"
     "Instruction\":{\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}]}}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"system\":\"a"
     "\\n\\nb\"}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"system"
     "_instruction\":{\"role\":\"user\",\"parts\":{\"text\":\"a\"}}}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"system\":\"a"
     "\"}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"genera"
     "tionConfig\":{\"maxOutputTokens\":5,\"temperature\":0.5,\"topP\":1,\"seed\":3,\"stopSequences\":[\"a"
     "\"],\"presencePenalty\":0,\"candidateCount\":1,\"responseMimeType\":\"application/json\",\"thinkingC"
     "onfig\":{\"thinkingBudget\":0}},\"safetySettings\":[{\"category\":\"c\",\"threshold\":\"BLOCK_NONE\""
     "}],\"cached_content\":\"c\"}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"params\":{\"m"
     "ax_output_tokens\":5,\"temperature\":0.5,\"top_p\":1,\"seed\":3,\"stop\":[\"a\"],\"presence_penalty"
     "\":0,\"gemini:generationConfig\":{\"responseMimeType\":\"application/json\",\"thinkingConfig\":{\"th"
     "inkingBudget\":0}},\"gemini:safetySettings\":[{\"category\":\"c\",\"threshold\":\"BLOCK_NONE\"}],\"g"
     "emini:cachedContent\":\"c\"}}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"genera"
     "tion_config\":{\"max_output_tokens\":5,\"candidate_count\":2}}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"params\":{\"m"
     "ax_output_tokens\":5},\"models\":[{\"model\":\"chatgpt\",\"samples\":2},{\"model\":\"claude\",\"samp"
     "les\":2}]}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"},{\"inlineDa"
     "ta\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},{\"file_data\":{\"mime_type\":\"image/png\",\"f"
     "ile_uri\":\"https://a/b\"}}]}]}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"},{\"image\":\"data:"
     "image/png;base64,AAAA\"},{\"image\":\"https://a/b\"}]}]}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]},{\"parts"
     "\":[{\"text\":\"hm\",\"thought\":true},{\"text\":\"let me see\"},{\"functionCall\":{\"name\":\"f\","
     "\"args\":{\"a\":1}},\"thoughtSignature\":\"sig\"},{\"functionCall\":{\"name\":\"g\",\"id\":\"c2\"}}]"
     ",\"role\":\"model\"},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response"
     "\":{\"r\":4}}},{\"function_response\":{\"id\":\"c2\",\"name\":\"g\",\"response\":{}}},{\"text\":\"go"
     " on\"}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\""
     ":{\"type\":\"object\"}}]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}}}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]},{\"role\":\"assi"
     "stant\",\"parts\":[{\"text\":\"let me see\"}],\"tool_calls\":[{\"id\":\"f\",\"type\":\"function\",\""
     "function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"},\"extra_content\":{\"google\":{\"thought"
     "_signature\":\"sig\"}}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"argument"
     "s\":\"{}\"}}]},{\"role\":\"tool\",\"parts\":[{\"text\":\"{\\\"r\\\":4}\"}],\"tool_call_id\":\"f\"},{"
     "\"role\":\"tool\",\"parts\":[{\"text\":\"{}\"}],\"tool_call_id\":\"c2\"},{\"role\":\"user\",\"parts"
     "\":[{\"text\":\"go on\"}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"descrip"
     "tion\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"params\":{\"gemini:toolConfig\":{\"functionCa"
     "llingConfig\":{\"mode\":\"ANY\"}}}}"},
    {"{\"key\":\"1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"tools"
     "\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":\"OBJECT\"}}]},{\"googleSear"
     "ch\":{}}]}}",
     "{\"custom_id\":\"1\",\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"params\":{\"g"
     "emini:tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":\"OBJECT\"}}]},{"
     "\"googleSearch\":{}}]}}"},
};

static void test_chat(void **state)
{
    (void)state;
    spec_check(chat_lines, ARRAY_LEN(chat_lines));
}

static void test_responses(void **state)
{
    (void)state;
    spec_check(responses_lines, ARRAY_LEN(responses_lines));
}

static void test_anthropic(void **state)
{
    (void)state;
    spec_check(anthropic_lines, ARRAY_LEN(anthropic_lines));
}

static void test_gemini(void **state)
{
    (void)state;
    spec_check(gemini_lines, ARRAY_LEN(gemini_lines));
}

/* Functions without ids, called twice before either is answered. */
static void test_gemini_calls_of_one_name(void **state)
{
    struct spec_rig r;
    json_t *is;

    (void)state;
    spec_start(&r);
    assert_int_equal(
        spec_decode(&r,
                    "{\"request\":{\"contents\":[{\"parts\":[{\"text\":\"x\"}]},"
                    "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\"}},{\"functionCall\":{\"name\":"
                    "\"f\"}}]},"
                    "{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{}}},"
                    "{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}]}]}}"),
        0);
    is = spec_messages(&r);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(json_array_get(is, 1), "tool_calls"), 1), "id")),
                        "f-2");
    assert_string_equal(json_string_value(json_object_get(json_array_get(is, 2), "tool_call_id")), "f");
    assert_string_equal(json_string_value(json_object_get(json_array_get(is, 3), "tool_call_id")), "f-2");
    json_decref(is);
    spec_stop(&r);
}

static void test_ids(void **state)
{
    static const struct {
        const char *job, *id;
    } rows[] = {
        {"{\"custom_id\":\"c\",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}", "tutti.jobs/3/42"},
        {"{\"custom_id\":\"c\",\"batch_id\":\"b\",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}",
         "b/c"},
        {"{\"key\":\"k\",\"batch_id\":\"b\",\"request\":{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}]}}", "b/k"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_rig r;

        spec_start(&r);
        assert_int_equal(spec_decode(&r, rows[i].job), 0);
        assert_string_equal(r.j.spec.job_id, rows[i].id);
        spec_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_anthropic),
        cmocka_unit_test(test_gemini),
        cmocka_unit_test(test_gemini_calls_of_one_name),
        cmocka_unit_test(test_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
