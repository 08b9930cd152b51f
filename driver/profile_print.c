/* profile_print.c -- the result of a profile as a table or as one line of JSON. */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "profile.h"

static const char *const bound_name[] = { "compute", "memory", "latency" };

static double rate(double amount, double ms)
{
    return ms > 0 ? amount / ms * 1e-6 : 0;
}

static double bytes_of(const ProfileRow *r)
{
    return r->weight_bytes + r->data_bytes;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

/* At most two names in full. */
static void print_names(const ProfileRow *r)
{
    const char *comma = strstr(r->names, ", "), *second = comma ? strstr(comma + 2, ", ") : NULL;
    if (second)
        printf("  [%.*s, ...]", (int)(second - r->names), r->names);
    else if (*r->names)
        printf("  [%s]", r->names);
}

static void print_row(const ProfileResult *p, const ProfileRow *r)
{
    printf("%9.4f %5.1f%% %5d %8.1f %7.1f  %-7s %4.0f%%  %-12s %s  %s", r->ms, percent(r->ms, p->total_ms), r->calls, rate(r->flops, r->ms),
           rate(bytes_of(r), r->ms), bound_name[r->bound], percent(r->roof_ms, r->ms), r->kernel, r->ops, r->shapes);
    print_names(r);
    putchar('\n');
}

void profile_print(const ProfileResult *p, const ProfileOptions *o)
{
    const Machine *m = &p->machine;
    int shown = o->top && o->top < p->nrows ? (int)o->top : p->nrows;
    printf("%s: %.4f ms (median of %lld runs, %d thread%s) in %d launches, %.4f ms outside of them\n", p->model, p->total_ms, (long long)p->runs,
           m->threads, m->threads == 1 ? "" : "s", p->launches, p->outside_ms);
    printf("%.3f GFLOP: %.1f GFLOP/s, %.0f%% of the peak; the roofline is %.4f ms, %.0f%% of the time\n", p->flops * 1e-9, rate(p->flops, p->total_ms),
           percent(rate(p->flops, p->total_ms), m->gflops), p->roof_ms, percent(p->roof_ms, p->total_ms));
    printf("machine: %.1f GFLOP/s with %d-bit vectors; reads %.1f GB/s up to %lld KB, %.1f up to %lld KB, %.1f beyond\n\n", m->gflops, 8 * m->vector_bytes,
           m->level_gbs[0], (long long)m->level_bytes[0] / 1024, m->level_gbs[1], (long long)m->level_bytes[1] / 1024, m->level_gbs[2]);
    printf("%9s %6s %5s %8s %7s  %-7s %5s  %-12s %s\n", "ms", "share", "calls", "GFLOP/s", "GB/s", "bound", "roof", "kernel", "what");
    double rest = 0;
    for (int i = 0; i < p->nrows; i++)
        if (i < shown)
            print_row(p, &p->row[i]);
        else
            rest += p->row[i].ms;
    if (shown < p->nrows)
        printf("%9.4f %5.1f%%        in %d more rows (--top 0 shows all)\n", rest, percent(rest, p->total_ms), p->nrows - shown);
}

/* ---- JSON ---- */

static cJSON *json_machine(const Machine *m)
{
    cJSON *j = cJSON_CreateObject(), *levels = cJSON_AddArrayToObject(j, "levels");
    cJSON_AddNumberToObject(j, "gflops", m->gflops);
    cJSON_AddNumberToObject(j, "vector_bits", 8 * m->vector_bytes);
    for (int i = 0; i < MACHINE_LEVELS; i++) {
        cJSON *level = cJSON_CreateObject();
        cJSON_AddNumberToObject(level, "bytes", (double)m->level_bytes[i]);
        cJSON_AddNumberToObject(level, "gbs", m->level_gbs[i]);
        cJSON_AddItemToArray(levels, level);
    }
    return j;
}

static cJSON *json_row(const ProfileResult *p, const ProfileRow *r)
{
    cJSON *j = cJSON_CreateObject();
    const struct { const char *key, *value; } text[] = {
        { "kernel", r->kernel }, { "ops", r->ops }, { "shapes", r->shapes }, { "nodes", r->names }, { "bound", bound_name[r->bound] },
    };
    const struct { const char *key; double value; } number[] = {
        { "ms", r->ms }, { "share", percent(r->ms, p->total_ms) / 100 }, { "calls", r->calls }, { "flops", r->flops },
        { "weight_bytes", r->weight_bytes }, { "data_bytes", r->data_bytes }, { "gflops", rate(r->flops, r->ms) },
        { "gbs", rate(bytes_of(r), r->ms) }, { "roof_ms", r->roof_ms },
    };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        cJSON_AddStringToObject(j, text[i].key, text[i].value);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        cJSON_AddNumberToObject(j, number[i].key, number[i].value);
    return j;
}

void profile_print_json(const ProfileResult *p)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "model", p->model);
    const struct { const char *key; double value; } number[] = {
        { "threads", p->machine.threads }, { "runs", (double)p->runs }, { "launches", p->launches }, { "total_ms", p->total_ms },
        { "outside_ms", p->outside_ms }, { "flops", p->flops }, { "gflops", rate(p->flops, p->total_ms) }, { "roof_ms", p->roof_ms },
    };
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        cJSON_AddNumberToObject(j, number[i].key, number[i].value);
    cJSON_AddItemToObject(j, "machine", json_machine(&p->machine));
    cJSON *rows = cJSON_AddArrayToObject(j, "kernels");
    for (int i = 0; i < p->nrows; i++)
        cJSON_AddItemToArray(rows, json_row(p, &p->row[i]));
    char *text = cJSON_PrintUnformatted(j);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(j);
}
