/* report.c -- see report.h. */
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "json.h"
#include "save.h"
#include "tool.h"
#include "work.h"

/* ---- sizes ---- */

static int64_t value_at_ones(Module *m, Arena *a, Dim d)
{
    int n = dim_symbol_count(m->dims);
    int64_t *ones = ARENA_ARRAY(a, int64_t, n + 1);
    for (int i = 0; i < n; i++)
        ones[i] = 1;
    return dim_eval(d, ones);
}

int64_t report_node_macs(Module *m, const Node *n)
{
    if (n->op != OP_conv && n->op != OP_conv_transpose && n->op != OP_matmul)
        return 0;
    Arena *a = arena_new();
    int64_t flops = value_at_ones(m, a, node_work(m, n).flops);
    arena_free(a);
    return flops / 2;
}

static void count_sizes(Module *m, ReportSide *out)
{
    FOR_EACH_NODE(n, m->graph) {
        const Tensor *t = n->op == OP_constant ? value_constant(node_out(n)) : NULL;
        if (t && t->dtype != DT_str) {
            out->parameters += t->count;
            out->weight_bytes += (t->splat ? 1 : t->count) * dtype_table[t->dtype].bits / 8;
        }
        out->macs += report_node_macs(m, n);
    }
}

void report_add_step(Report *r, const char *name, const ReportSide *s)
{
    if (r->nsteps == REPORT_STEPS)
        return;
    r->step[r->nsteps].name = name;
    r->step[r->nsteps++].side = *s;
}

bool report_side(Module *m, Observer *o, Observer *reference, Samples *s, const ingot_tensor *labels, ReportSide *out)
{
    *out = (ReportSide){ 0 };
    count_sizes(m, out);
    const ingot_tensor *in = samples_inputs(s, 0);
    return in && observer_cost(o, in, &out->cost) && score_observed(o, reference, s, labels, &out->score);
}

void report_note(Report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(r->arena, fmt, ap);
    va_end(ap);
    r->notes = arena_printf(r->arena, "%s%s\n", r->notes ? r->notes : "", text);
}

/* ---- as a table ---- */

static void print_number(FILE *out, const char *what, double before, double after, int digits)
{
    fprintf(out, "%-24s %14.*f %14.*f", what, digits, before, digits, after);
    if (before > 0)
        fprintf(out, "  %6.1f %%", 100 * after / before);
    putc('\n', out);
}

static void print_scores(FILE *out, const Score *before, const Score *after)
{
    if (after->labelled) {
        fprintf(out, "%-24s %14.2f %14.2f  %+6.2f\n", "top-1 %", accuracy_top1(&before->accuracy), accuracy_top1(&after->accuracy),
                accuracy_top1(&after->accuracy) - accuracy_top1(&before->accuracy));
        fprintf(out, "%-24s %14.4f %14.4f  %+6.4f\n", "loss", accuracy_loss(&before->accuracy), accuracy_loss(&after->accuracy),
                accuracy_loss(&after->accuracy) - accuracy_loss(&before->accuracy));
    }
    if (after->compared)
        fprintf(out, "error: %.1f dB below the signal, at most %.4g, cosine %.6f; same largest score in %lld of %lld samples\n",
                distance_sqnr(&after->distance), after->distance.most, distance_cosine(&after->distance), (long long)after->same_top1,
                (long long)after->samples);
}

/* The end of a name says more than its beginning. */
static const char *tail(const char *name, size_t room)
{
    size_t n = strlen(name);
    return n > room ? name + n - room : name;
}

static void print_decibels(FILE *out, double x)
{
    if (x != x)
        fprintf(out, " %8s", "");
    else
        fprintf(out, " %8.1f", x);
}

static void print_layers(const Report *r, FILE *out)
{
    enum { NAME = 36 };
    if (!r->nlayers)
        return;
    fprintf(out, "\n%-*s %-7s %12s %10s %10s %8s %8s  %s\n", NAME, "layer", "", "MACs", "bytes", "after", "SQNR dB", "alone dB", "");
    for (int i = 0; i < r->nlayers; i++) {
        const ReportLayer *l = &r->layer[i];
        fprintf(out, "%-*s %-7s %12lld %10lld %10lld", NAME, tail(l->name, NAME), l->kind, (long long)l->macs, (long long)l->bytes_before,
                (long long)l->bytes_after);
        print_decibels(out, l->sqnr);
        print_decibels(out, l->sensitivity);
        fprintf(out, "  %s\n", l->decision);
    }
}

void report_print(const Report *r, FILE *out)
{
    const ReportSide *b = &r->before, *a = &r->after;
    fprintf(out, "%-24s %14s %14s\n", r->title, "before", "after");
    print_number(out, "bytes of weights", (double)b->weight_bytes, (double)a->weight_bytes, 0);
    print_number(out, "bytes of the .so", (double)b->cost.file_bytes, (double)a->cost.file_bytes, 0);
    print_number(out, "parameters", (double)b->parameters, (double)a->parameters, 0);
    print_number(out, "multiply-adds", (double)b->macs, (double)a->macs, 0);
    print_number(out, "arena", (double)b->cost.workspace_bytes, (double)a->cost.workspace_bytes, 0);
    print_number(out, "median ms", b->cost.median_ms, a->cost.median_ms, 3);
    print_number(out, "p99 ms", b->cost.p99_ms, a->cost.p99_ms, 3);
    print_scores(out, &b->score, &a->score);
    print_layers(r, out);
    if (r->notes && *r->notes)
        fprintf(out, "\n%s", r->notes);
}

/* ---- as JSON ---- */

/* JSON has no infinity and no NaN. */
static void put_number(FILE *f, const char *name, double x, const char *after)
{
    if (isfinite(x))
        fprintf(f, "\"%s\": %.9g%s", name, x, after);
    else
        fprintf(f, "\"%s\": null%s", name, after);
}

static void put_side(FILE *f, const char *name, const ReportSide *s, const char *after)
{
    fprintf(f, "  \"%s\": {\"weight_bytes\": %lld, \"file_bytes\": %llu, \"parameters\": %lld, \"macs\": %lld, \"arena_bytes\": %llu, ", name,
            (long long)s->weight_bytes, (unsigned long long)s->cost.file_bytes, (long long)s->parameters, (long long)s->macs,
            (unsigned long long)s->cost.workspace_bytes);
    put_number(f, "median_ms", s->cost.median_ms, ", ");
    put_number(f, "p99_ms", s->cost.p99_ms, "");
    if (s->score.labelled) {
        fputs(", ", f);
        put_number(f, "top1", accuracy_top1(&s->score.accuracy), ", ");
        put_number(f, "top5", accuracy_top5(&s->score.accuracy), ", ");
        put_number(f, "loss", accuracy_loss(&s->score.accuracy), "");
    }
    if (s->score.compared) {
        fputs(", ", f);
        put_number(f, "sqnr_db", distance_sqnr(&s->score.distance), ", ");
        put_number(f, "max_error", s->score.distance.most, ", ");
        put_number(f, "cosine", distance_cosine(&s->score.distance), "");
        fprintf(f, ", \"same_top1\": %lld", (long long)s->score.same_top1);
    }
    fprintf(f, ", \"samples\": %lld}%s", (long long)s->score.samples, after);
}

static void put_string(FILE *f, const char *name, const char *s)
{
    fprintf(f, "\"%s\": ", name);
    ingot_json_put_string(f, s, strlen(s));
}

static void put_layer(FILE *f, const ReportLayer *l, bool last)
{
    fputs("    {", f);
    put_string(f, "name", l->name);
    fputs(", ", f);
    put_string(f, "kind", l->kind);
    fputs(", ", f);
    put_string(f, "decision", l->decision);
    fprintf(f, ", \"macs\": %lld, \"parameters\": %lld, \"bytes_before\": %lld, \"bytes_after\": %lld, ", (long long)l->macs, (long long)l->parameters,
            (long long)l->bytes_before, (long long)l->bytes_after);
    put_number(f, "sqnr_db", l->sqnr, ", ");
    put_number(f, "sensitivity_db", l->sensitivity, ", ");
    put_number(f, "low", l->scale > 0 ? l->lo : NAN, ", ");
    put_number(f, "high", l->scale > 0 ? l->hi : NAN, ", ");
    put_number(f, "scale", l->scale > 0 ? l->scale : NAN, ", ");
    fprintf(f, "\"zero\": %lld}%s\n", (long long)l->zero, last ? "" : ",");
}

static void put_steps(FILE *f, const Report *r)
{
    if (r->nsteps)
        fputs("  \"steps\": {\n", f);
    for (int i = 0; i < r->nsteps; i++)
        put_side(f, r->step[i].name, &r->step[i].side, i == r->nsteps - 1 ? "\n  },\n" : ",\n");
}

bool report_write_json(const Report *r, const char *path)
{
    ingot_save save;
    ingot_error err;
    if (ingot_save_open(&save, path, &err))
        return tool_fail("%s", err.text), false;
    FILE *f = save.out;
    fputs("{\n  ", f);
    put_string(f, "command", r->title);
    fputs(",\n", f);
    put_side(f, "before", &r->before, ",\n");
    put_side(f, "after", &r->after, ",\n");
    put_steps(f, r);
    fputs("  \"layers\": [\n", f);
    for (int i = 0; i < r->nlayers; i++)
        put_layer(f, &r->layer[i], i == r->nlayers - 1);
    fputs("  ],\n  ", f);
    put_string(f, "notes", r->notes ? r->notes : "");
    fputs("\n}\n", f);
    return !ingot_save_close(&save, true, &err) || (tool_fail("%s", err.text), false);
}
