/* svg.c -- see svg.h. One line per layer:
 *
 *     name | ----[=====|======]--   seen (thin), grid (thick), each on a scale of its own, around 0 | bar: SQNR of the result | bar: of the model's results
 *
 * or one per step, with bars as long as what is left of the first step's:
 *
 *     name | multiply-adds | bytes of the .so | milliseconds | top-1, or SQNR
 */
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "save.h"
#include "tool.h"

enum { LINE = 18, TOP = 40, NAME_WIDTH = 330, RANGE_X = 340, RANGE_WIDTH = 300, BAR_X = 660, BAR_WIDTH = 200, GAP = 20, FULL_DB = 60 };

static void put_text(FILE *f, double x, double y, const char *s)
{
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\">", x, y);
    for (; *s; s++)
        switch (*s) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        default: putc(*s, f);
        }
    fputs("</text>\n", f);
}

static void put_rect(FILE *f, double x, double y, double w, double h, const char *fill)
{
    fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, fmax(w, 0.5), h, fill);
}

static void put_range(FILE *f, double y, const ReportLayer *l, const Range *seen)
{
    double lo = fmin(fmin(seen->least, l->lo), 0), hi = fmax(fmax(seen->most, l->hi), 0), unit = hi > lo ? RANGE_WIDTH / (hi - lo) : 0;
    char text[64];
    put_rect(f, RANGE_X + (seen->least - lo) * unit, y - 5, (seen->most - seen->least) * unit, 2, "#888");
    put_rect(f, RANGE_X + (l->lo - lo) * unit, y - 9, (l->hi - l->lo) * unit, 10, "#4a90d9");
    put_rect(f, RANGE_X - lo * unit, y - 11, 1, 14, "#000");
    snprintf(text, sizeof text, "%.3g to %.3g", l->lo, l->hi);
    put_text(f, RANGE_X + 4, y, text);
}

/* Without a grid for the operand: bytes of the weights, before and after. */
static void put_bytes(FILE *f, double y, const ReportLayer *l, int64_t most)
{
    char text[64];
    put_rect(f, RANGE_X, y - 5, RANGE_WIDTH * (double)l->bytes_before / (double)most, 2, "#888");
    put_rect(f, RANGE_X, y - 9, RANGE_WIDTH * (double)l->bytes_after / (double)most, 10, "#4a90d9");
    snprintf(text, sizeof text, "%lld to %lld", (long long)l->bytes_before, (long long)l->bytes_after);
    put_text(f, RANGE_X + 4, y, text);
}

static int64_t most_bytes(const Report *r)
{
    int64_t most = 1;
    for (int i = 0; i < r->nlayers; i++)
        most = r->layer[i].bytes_before > most ? r->layer[i].bytes_before : most;
    return most;
}

static void put_bar(FILE *f, double x, double y, double db, const char *fill)
{
    char text[32];
    if (db != db)
        return;
    put_rect(f, x, y - 9, BAR_WIDTH * fmin(fmax(db, 0), FULL_DB) / FULL_DB, 10, fill);
    snprintf(text, sizeof text, isfinite(db) ? "%.1f dB" : "exact", db);
    put_text(f, x + 4, y, text);
}

bool svg_ranges(const Report *r, const Range *range, const QdqPlan *p, const char *path)
{
    ingot_save save;
    ingot_error err;
    if (ingot_save_open(&save, path, &err))
        return tool_fail("%s", err.text), false;
    FILE *f = save.out;
    int width = BAR_X + 2 * BAR_WIDTH + 2 * GAP, height = TOP + LINE * (r->nlayers + 1);
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"monospace\" font-size=\"10\">\n", width, height);
    put_rect(f, 0, 0, width, height, "#fff");
    put_text(f, 8, 20, "layer");
    put_text(f, RANGE_X, 20, range ? "operand: seen (grey), covered by the grid (blue)" : "bytes of weights: before (grey), after (blue)");
    put_text(f, BAR_X, 20, "SQNR of the layer's result");
    put_text(f, BAR_X + BAR_WIDTH + GAP, 20, "SQNR of the model's results, layer alone");
    for (int i = 0; i < r->nlayers; i++) {
        const ReportLayer *l = &r->layer[i];
        double y = TOP + LINE * i + 10;
        size_t n = strlen(l->name), room = NAME_WIDTH / 6;
        put_text(f, 8, y, n > room ? l->name + n - room : l->name);
        if (range)
            put_range(f, y, l, &range[p->layer[i].point]);
        else
            put_bytes(f, y, l, most_bytes(r));
        put_bar(f, BAR_X, y, l->sqnr, "#7cb36b");
        put_bar(f, BAR_X + BAR_WIDTH + GAP, y, l->sensitivity, "#d9a441");
    }
    fputs("</svg>\n", f);
    return !ingot_save_close(&save, true, &err) || (tool_fail("%s", err.text), false);
}

/* ---- steps ---- */

enum { STEP_LINE = 26, STEP_BAR = 170, STEP_X = 110, STEP_GAP = 20, STEP_BARS = 4 };

static double step_x(int bar)
{
    return STEP_X + bar * (STEP_BAR + STEP_GAP);
}

static void put_part(FILE *f, int bar, double y, double x, double whole, const char *text)
{
    static const char *const fill[STEP_BARS] = { "#4a90d9", "#7cb36b", "#d9a441", "#b07cc6" };
    put_rect(f, step_x(bar), y - 14, whole > 0 ? STEP_BAR * fmin(x / whole, 1) : 0, 18, fill[bar]);
    put_text(f, step_x(bar) + 4, y, text);
}

static void put_step(FILE *f, double y, const char *name, const ReportSide *s, const ReportSide *first)
{
    enum { ROOM = 48 };
    char text[ROOM];
    put_text(f, 8, y, name);
    snprintf(text, ROOM, "%lld", (long long)s->macs);
    put_part(f, 0, y, (double)s->macs, (double)first->macs, text);
    snprintf(text, ROOM, "%llu", (unsigned long long)s->cost.file_bytes);
    put_part(f, 1, y, (double)s->cost.file_bytes, (double)first->cost.file_bytes, text);
    snprintf(text, ROOM, "%.4g ms", s->cost.median_ms);
    put_part(f, 2, y, s->cost.median_ms, first->cost.median_ms, text);
    if (s->score.labelled) {
        snprintf(text, ROOM, "%.2f %%", accuracy_top1(&s->score.accuracy));
        put_part(f, 3, y, accuracy_top1(&s->score.accuracy), 100, text);
    } else if (s->score.compared) {
        snprintf(text, ROOM, "%.1f dB", distance_sqnr(&s->score.distance));
        put_part(f, 3, y, fmax(distance_sqnr(&s->score.distance), 0), FULL_DB, text);
    }
}

bool svg_steps(const Report *r, const char *path)
{
    static const char *const head[STEP_BARS] = { "multiply-adds", "bytes of the .so", "median of a run", "top-1, or SQNR" };
    ingot_save save;
    ingot_error err;
    if (ingot_save_open(&save, path, &err))
        return tool_fail("%s", err.text), false;
    FILE *f = save.out;
    int width = (int)step_x(STEP_BARS), height = TOP + STEP_LINE * r->nsteps + 8;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"monospace\" font-size=\"11\">\n", width, height);
    put_rect(f, 0, 0, width, height, "#fff");
    for (int i = 0; i < STEP_BARS; i++)
        put_text(f, step_x(i), 20, head[i]);
    for (int i = 0; i < r->nsteps; i++)
        put_step(f, TOP + STEP_LINE * i + 14, r->step[i].name, &r->step[i].side, &r->step[0].side);
    fputs("</svg>\n", f);
    return !ingot_save_close(&save, true, &err) || (tool_fail("%s", err.text), false);
}
