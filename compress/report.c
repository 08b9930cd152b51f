/* report.c -- see report.h. */
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include <cjson/cJSON.h>

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
        const Tensor *t = n->op == OP_constant && value_use_count(node_out(n)) ? value_constant(node_out(n)) : NULL;
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
    const ingot_tensor *in = s ? samples_inputs(s, 0) : NULL;
    return (in || !s) && observer_cost(o, in, &out->cost) && (!s || score_observed(o, reference, s, labels, &out->score));
}

ReportLayer *report_add_layer(Report *r)
{
    if (r->nlayers == r->room) {
        ReportLayer *old = r->layer;
        r->room = 2 * r->room + 16;
        r->layer = ARENA_ARRAY(r->arena, ReportLayer, r->room);
        for (int i = 0; i < r->nlayers; i++)
            r->layer[i] = old[i];
    }
    return &r->layer[r->nlayers++];
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
static void add_number(cJSON *o, const char *name, double x)
{
    if (isfinite(x))
        cJSON_AddNumberToObject(o, name, x);
    else
        cJSON_AddNullToObject(o, name);
}

static void add_score(cJSON *o, const Score *s)
{
    if (s->labelled) {
        add_number(o, "top1", accuracy_top1(&s->accuracy));
        add_number(o, "top5", accuracy_top5(&s->accuracy));
        add_number(o, "loss", accuracy_loss(&s->accuracy));
    }
    if (s->compared) {
        add_number(o, "sqnr_db", distance_sqnr(&s->distance));
        add_number(o, "max_error", s->distance.most);
        add_number(o, "cosine", distance_cosine(&s->distance));
        add_number(o, "same_top1", (double)s->same_top1);
    }
    add_number(o, "samples", (double)s->samples);
}

static void add_side(cJSON *to, const char *name, const ReportSide *s)
{
    cJSON *o = cJSON_AddObjectToObject(to, name);
    add_number(o, "weight_bytes", (double)s->weight_bytes);
    add_number(o, "file_bytes", (double)s->cost.file_bytes);
    add_number(o, "parameters", (double)s->parameters);
    add_number(o, "macs", (double)s->macs);
    add_number(o, "arena_bytes", (double)s->cost.workspace_bytes);
    add_number(o, "median_ms", s->cost.median_ms);
    add_number(o, "p99_ms", s->cost.p99_ms);
    add_score(o, &s->score);
}

static void add_layer(cJSON *to, const ReportLayer *l)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(to, o);
    cJSON_AddStringToObject(o, "name", l->name);
    cJSON_AddStringToObject(o, "kind", l->kind);
    cJSON_AddStringToObject(o, "decision", l->decision);
    add_number(o, "macs", (double)l->macs);
    add_number(o, "parameters", (double)l->parameters);
    add_number(o, "bits", l->parameters ? 8 * (double)l->bytes_after / (double)l->parameters : NAN);
    add_number(o, "bytes_before", (double)l->bytes_before);
    add_number(o, "bytes_after", (double)l->bytes_after);
    add_number(o, "sqnr_db", l->sqnr);
    add_number(o, "sensitivity_db", l->sensitivity);
    add_number(o, "low", l->scale > 0 ? l->lo : NAN);
    add_number(o, "high", l->scale > 0 ? l->hi : NAN);
    add_number(o, "scale", l->scale > 0 ? l->scale : NAN);
    add_number(o, "zero", (double)l->zero);
}

static void add_steps(cJSON *to, const Report *r)
{
    cJSON *o = r->nsteps ? cJSON_AddObjectToObject(to, "steps") : NULL;
    for (int i = 0; i < r->nsteps; i++)
        add_side(o, r->step[i].name, &r->step[i].side);
}

bool report_write_json(const Report *r, const char *path)
{
    ingot_save save;
    ingot_error err;
    if (ingot_save_open(&save, path, &err))
        return tool_fail("%s", err.text), false;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "command", r->title);
    add_side(o, "before", &r->before);
    add_side(o, "after", &r->after);
    add_steps(o, r);
    cJSON *layers = cJSON_AddArrayToObject(o, "layers");
    for (int i = 0; i < r->nlayers; i++)
        add_layer(layers, &r->layer[i]);
    cJSON_AddStringToObject(o, "notes", r->notes ? r->notes : "");
    char *text = cJSON_Print(o);
    bool whole = text && fprintf(save.out, "%s\n", text) > 0;
    cJSON_free(text);
    cJSON_Delete(o);
    return (!ingot_save_close(&save, whole, &err) && whole) || (tool_fail("%s", whole ? err.text : "out of memory"), false);
}
