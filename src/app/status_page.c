/* SPDX-License-Identifier: Apache-2.0 */
/* The status page: one HTML document rendered from a view, with its style inside, no script, nothing fetched from
 * anywhere. Every text that is not ours is escaped. Main thread. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/build_id.h"
#include "app/config.h"
#include "app/status.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/digest.h"

enum { REFRESH_SECONDS = 5 };

static const char style[] =
    ":root{color-scheme:light dark;--line:#d5d8dd;--dim:#667;--ok:#176f2c;--warn:#8a5a00;--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--line:#3b3f46;--dim:#9aa;--ok:#6fcf8a;--warn:#e8b44c;--bad:#ff8a80}}"
    "body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:76rem;padding:0 1rem}"
    "h1{font-size:1.25rem;margin:0 0 .25rem}h2{font-size:1rem;margin:1.6rem 0 .4rem}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem .25rem 0;text-align:left;"
    "border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;color:var(--dim)}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.ready,.ok{color:var(--ok)}"
    ".degraded{color:var(--warn)}.not_ready,.bad{color:var(--bad)}.dim,footer{color:var(--dim)}"
    "meter{width:4.5rem}code{font-size:.95em}footer{margin-top:2rem}div.wide{overflow-x:auto}";

static void text(struct buf *out, const char *s)
{
    for (const char *p = s != NULL ? s : ""; *p != '\0'; p++) {
        switch (*p) {
        case '<':
            buf_add_str(out, "&lt;");
            break;
        case '>':
            buf_add_str(out, "&gt;");
            break;
        case '&':
            buf_add_str(out, "&amp;");
            break;
        case '"':
            buf_add_str(out, "&quot;");
            break;
        case '\'':
            buf_add_str(out, "&#39;");
            break;
        default:
            buf_add_char(out, *p);
        }
    }
}

/* A cell of text; NULL or "": a dash. */
static void cell(struct buf *out, const char *s)
{
    buf_add_str(out, "<td>");
    text(out, s != NULL && *s != '\0' ? s : "-");
    buf_add_str(out, "</td>");
}

/* Negative: not known. */
static void number(struct buf *out, int decimals, double value, const char *unit)
{
    if (value < 0)
        buf_add_str(out, "<td class=\"n\">-</td>");
    else
        buf_printf(out, "<td class=\"n\">%.*f%s</td>", decimals, value, unit);
}

/* 1,204 */
static void count(struct buf *out, int64_t value)
{
    char digits[24], s[40];
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)value), n = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            s[n++] = ',';
        s[n++] = digits[i];
    }
    s[n] = '\0';
    buf_printf(out, "<td class=\"n\">%s</td>", value >= 0 ? s : "-");
}

/* "850 ms", "3.2 s", "4 m 10 s" */
static void duration(struct buf *out, int64_t ms)
{
    buf_add_str(out, "<td class=\"n\">");
    if (ms < 0)
        buf_add_str(out, "-");
    else if (ms < 1000)
        buf_printf(out, "%lld ms", (long long)ms);
    else if (ms < 60000)
        buf_printf(out, "%.1f s", (double)ms / 1000);
    else if (ms < 3600000)
        buf_printf(out, "%lld m %lld s", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
    else
        buf_printf(out, "%lld h %lld m", (long long)(ms / 3600000), (long long)(ms / 60000 % 60));
    buf_add_str(out, "</td>");
}

/* The share of a limit that is left, as a bar with its figure. */
static void bar(struct buf *out, double free)
{
    if (free < 0) {
        cell(out, NULL);
        return;
    }
    buf_printf(out, "<td><meter min=\"0\" max=\"1\" low=\"0.1\" value=\"%.2f\"></meter> %.0f %%</td>", free,
               free * 100);
}

/* th: column heads, "#name" for numbers; ends with NULL. */
static void table(struct buf *out, const char *title, const char *const *heads)
{
    buf_printf(out, "<h2>%s</h2><div class=\"wide\"><table><thead><tr>", title);
    for (; *heads != NULL; heads++) {
        bool is_number = **heads == '#';

        buf_printf(out, "<th%s>%s</th>", is_number ? " class=\"n\"" : "", *heads + is_number);
    }
    buf_add_str(out, "</tr></thead><tbody>\n");
}

static void table_end(struct buf *out)
{
    buf_add_str(out, "</tbody></table></div>\n");
}

static void add_checks(struct buf *out, const struct status_view *v)
{
    static const char *const heads[] = {"Check", "State", "", NULL};
    static const char *const words[] = {"ok", "degraded", "failed"}, *const classes[] = {"ok", "degraded", "bad"};

    if (v->level == CHECK_OK)
        return;
    table(out, "What is wrong", heads);
    for (int i = 0; i < v->n_checks; i++) {
        const struct status_check *c = &v->checks[i];

        if (c->level == CHECK_OK)
            continue;
        buf_add_str(out, "<tr>");
        cell(out, c->name);
        buf_printf(out, "<td class=\"%s\">%s</td>", classes[c->level], words[c->level]);
        cell(out, c->text);
        buf_add_str(out, "</tr>\n");
    }
    table_end(out);
}

static void add_models(struct buf *out, const struct status_view *v)
{
    static const char *const heads[] = {"Model",      "State",    "#calls/s", "#p50 ms",  "#p95 ms",
                                        "#errors",    "#429/min", "RPM left", "TPM left", "#waiting",
                                        "#in flight", "#$/h",     "Breaker",  NULL};
    static const char *const breakers[] = {"closed", "open", "half open"};

    table(out, "Models", heads);
    for (int i = 0; i < v->n_models; i++) {
        const struct status_model *m = &v->models[i];

        buf_add_str(out, "<tr><td>");
        text(out, m->id);
        buf_add_str(out, " <span class=\"dim\">");
        text(out, m->provider);
        buf_printf(out, "</span></td><td><span class=\"%s\">%s</span><br><span class=\"dim\">",
                   m->is_available ? "ok" : "bad", m->is_available ? "available" : "unavailable");
        text(out, m->reason);
        buf_add_str(out, "</span></td>");
        number(out, 1, m->calls_per_s, "");
        number(out, 0, m->p50_ms, "");
        number(out, 0, m->p95_ms, "");
        number(out, 1, m->error_ratio >= 0 ? m->error_ratio * 100 : -1, " %");
        count(out, m->window_limited);
        bar(out, m->rpm_free);
        bar(out, m->tpm_free);
        count(out, m->waiting);
        count(out, m->in_flight);
        number(out, 2, m->usd_per_hour, "");
        cell(out, breakers[m->breaker]);
        buf_add_str(out, "</tr>\n");
    }
    table_end(out);
}

static void add_partitions(struct buf *out, const struct status_view *v)
{
    static const char *const heads[] = {"Topic", "#partition", "#lag", "#in hand", "#oldest", "Worker", "", NULL};
    int n = 0;

    table(out, "Partitions", heads);
    for (int i = 0; i < v->n_workers; i++) {
        const struct report *r = v->reports[i];

        for (int k = 0; r != NULL && k < r->n_parts; k++, n++) {
            const struct report_part *p = &r->parts[k];

            buf_add_str(out, "<tr>");
            cell(out, p->topic);
            count(out, p->partition);
            count(out, p->lag);
            count(out, p->n_jobs);
            duration(out, p->oldest_ts_ms > 0 ? r->wall_ms - p->oldest_ts_ms : -1);
            cell(out, r->worker_id);
            buf_printf(out, "<td>%s</td></tr>\n",
                       p->is_stalled ? "held back by its oldest job" : (p->is_revoking ? "leaving" : ""));
        }
    }
    if (n == 0)
        buf_add_str(out, "<tr><td colspan=\"7\" class=\"dim\">none is assigned to this process</td></tr>\n");
    table_end(out);
}

/* "fast: sending to the provider; smart: waits for rpm, attempt 2" */
static void add_calls(struct buf *out, const struct report_job *j)
{
    buf_add_str(out, "<td>");
    for (int i = 0; i < j->n_calls; i++) {
        const struct report_call *c = &j->calls[i];

        buf_add_str(out, i > 0 ? "; " : "");
        text(out, c->model);
        buf_add_str(out, ": ");
        if (c->waiting == NULL)
            text(out, c->error != NULL ? c->error : c->state);
        else if (strcmp(c->waiting, "provider") == 0)
            buf_add_str(out, "the provider works");
        else
            buf_printf(out, "waits for %s", c->waiting);
        if (c->attempt > 1)
            buf_printf(out, ", attempt %d", c->attempt);
    }
    buf_add_str(out, j->n_calls == 0 ? "-</td>" : "</td>");
}

static void add_slowest(struct buf *out, const struct status_view *v)
{
    static const char *const heads[] = {"Job", "#in hand for", "Step", "Waits for", "Calls", NULL};

    table(out, "Slowest jobs in flight", heads);
    for (int i = 0; i < v->n_slowest; i++) {
        const struct report_job *j = v->slowest[i].job;

        buf_add_str(out, "<tr><td><code>");
        text(out, j->job_id);
        buf_add_str(out, "</code></td>");
        duration(out, j->age_ms);
        cell(out, j->step);
        cell(out, j->waiting);
        add_calls(out, j);
        buf_add_str(out, "</tr>\n");
    }
    if (v->n_slowest == 0)
        buf_add_str(out, "<tr><td colspan=\"5\" class=\"dim\">no job is in flight</td></tr>\n");
    table_end(out);
}

static void add_errors(struct buf *out, const struct status_view *v)
{
    static const char *const heads[] = {"Error", "#last minute", "#since the start", "Models", "What to do", NULL};

    table(out, "Failed calls by error code", heads);
    for (int i = 0; i < v->n_errors && i < 20; i++) {
        buf_add_str(out, "<tr><td><code>");
        text(out, v->errors[i].code);
        buf_add_str(out, "</code></td>");
        count(out, v->errors[i].window_count);
        count(out, v->errors[i].count);
        cell(out, v->errors[i].models);
        buf_printf(out, "<td class=\"dim\">docs/errors.md#%s</td></tr>\n", v->errors[i].code);
    }
    if (v->n_errors == 0)
        buf_add_str(out, "<tr><td colspan=\"5\" class=\"dim\">no call has failed</td></tr>\n");
    table_end(out);
}

static void add_footer(struct buf *out, const struct status_view *v)
{
    time_t now = (time_t)(v->wall_ms / 1000);
    int64_t up_s = (v->wall_ms - v->started_ms) / 1000;
    struct tm utc;
    char at[40] = "";

    if (gmtime_r(&now, &utc) != NULL)
        (void)strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S UTC", &utc);
    buf_printf(out, "<footer>tutti %s, build %s, group <code>", build_version, build_commit);
    text(out, v->wiring->config->kafka.group);
    buf_add_str(out, "</code>, slot <code>");
    text(out, *v->slot != '\0' ? v->slot : "-");
    buf_add_str(out, "</code>, configuration <code>");
    text(out, v->wiring->config->path);
    buf_printf(out,
               "</code>, up %lld h %lld m %lld s. Made %s; comes anew every %d s. As JSON: "
               "<a href=\"api/v1/status\">status</a>, <a href=\"api/v1/limits\">limits</a>, "
               "<a href=\"api/v1/inflight\">in flight</a>; <a href=\"metrics\">metrics</a>, "
               "<a href=\"readyz?verbose\">readiness</a>.</footer>\n",
               (long long)(up_s / 3600), (long long)(up_s / 60 % 60), (long long)(up_s % 60), at, REFRESH_SECONDS);
}

const char *status_page_policy(void)
{
    static char policy[200]; /* main thread only */
    uint8_t digest[DIGEST_BYTES];
    char base64[64];

    if (*policy != '\0')
        return policy;
    digest_sha256(style, sizeof(style) - 1, digest);
    (void)digest_base64url(digest, sizeof(digest), base64);
    for (char *p = base64; *p != '\0'; p++) /* CSP takes the plain alphabet, with padding */
        *p = *p == '-' ? '+' : (*p == '_' ? '/' : *p);
    (void)snprintf(policy, sizeof(policy),
                   "Content-Security-Policy: default-src 'none'; style-src 'sha256-%s='; base-uri 'none'; "
                   "form-action 'none'; frame-ancestors 'none'\r\n",
                   base64);
    return policy;
}

void status_page(const struct status_view *v, struct buf *out)
{
    static const char *const classes[] = {"ready", "degraded", "not_ready"};

    buf_printf(out,
               "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tutti</title>"
               "<meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"%d\">"
               "<style>%s</style></head><body>\n<h1>tutti</h1><p class=\"%s\"><strong>",
               REFRESH_SECONDS, style, classes[v->level]);
    text(out, v->verdict);
    buf_add_str(out, "</strong></p>\n");
    add_checks(out, v);
    add_models(out, v);
    add_partitions(out, v);
    add_slowest(out, v);
    add_errors(out, v);
    add_footer(out, v);
    buf_add_str(out, "</body></html>\n");
}
