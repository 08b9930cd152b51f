/* profile.c -- from times of launches to rows of a profile, see profile.h. */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launches.h"
#include "strbuf.h"
#include "work.h"

static const double latency_share = 0.3;        /* below this share of either limit a kernel is bound by neither */

typedef struct Times {
    Arena *arena;
    const LaunchTimes *times;
} Times;

/* "f32[1,56,56,64], f32[64,64,3,3] -> f32[1,56,56,64]"; numbers alone are left out. */
static const char *shapes_of(const Times *p, const Node *n)
{
    StrBuf b = strbuf_new(p->arena);
    double uniform;
    for (int i = 0; i < n->nin; i++)
        if (node_in(n, i) && !value_scalar_f64(node_in(n, i), &uniform))
            strbuf_printf(&b, "%s%s", b.len ? ", " : "", type_print(p->times->m, p->arena, &node_in(n, i)->type));
    for (int i = 0; i < n->nout; i++)
        strbuf_printf(&b, "%s%s", i ? ", " : b.len ? " -> " : "-> ", type_print(p->times->m, p->arena, &n->out[i].type));
    return b.text;
}

/* The ONNX node of the anchor, else of the last operator. */
static const char *name_of(const Node *n)
{
    const char *name = n->loc.node ? n->loc.node : "";
    if (n->op == OP_fused)
        FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
            if (inner->loc.node && *inner->loc.node && inner->op != OP_input && !(op_table[inner->op].flags & (OPF_EW | OPF_MOVE | OPF_VIEW)))
                name = inner->op == OP_return || inner->op == OP_constant ? name : inner->loc.node;
    return name;
}

static ProfileRow row_of(const Times *p, int launch)
{
    const LaunchTimes *t = p->times;
    const Launch *l = &t->launches.launch[launch];
    NodeWork w = node_work(t->m, l->node);
    double calls = (double)t->calls[launch];
    return (ProfileRow){
        .kernel = l->kernel, .ops = node_ops(p->arena, l->node), .shapes = shapes_of(p, l->node), .names = name_of(l->node), .calls = (int)calls,
        .ms = t->ms[launch], .flops = calls * (double)dim_eval(w.flops, t->syms), .weight_bytes = calls * (double)dim_eval(w.weight_bytes, t->syms),
        .data_bytes = calls * (double)dim_eval(w.data_bytes, t->syms),
    };
}

/* all_weights: bytes that a run of the whole model reads, which decides where weights come from. */
static void find_bound(ProfileRow *r, const Machine *m, double all_weights)
{
    double compute = r->flops / (m->gflops * 1e6);
    double memory = r->weight_bytes / (machine_bandwidth(m, all_weights) * 1e6) + r->data_bytes / (machine_bandwidth(m, r->data_bytes) * 1e6);
    r->roof_ms = compute > memory ? compute : memory;
    r->bound = r->roof_ms < latency_share * r->ms ? BOUND_LATENCY : compute > memory ? BOUND_COMPUTE : BOUND_MEMORY;
}

static void merge(Arena *a, ProfileRow *into, const ProfileRow *r)
{
    into->calls += r->calls;
    into->ms += r->ms;
    into->flops += r->flops;
    into->weight_bytes += r->weight_bytes;
    into->data_bytes += r->data_bytes;
    into->roof_ms += r->roof_ms;
    if (*r->names)
        into->names = *into->names ? arena_printf(a, "%s, %s", into->names, r->names) : r->names;
}

static bool same_kernel(const ProfileRow *a, const ProfileRow *b)
{
    return !strcmp(a->kernel, b->kernel) && !strcmp(a->shapes, b->shapes) && !strcmp(a->ops, b->ops);
}

static int compare_rows(const void *a, const void *b)
{
    double x = ((const ProfileRow *)a)->ms, y = ((const ProfileRow *)b)->ms;
    return (x < y) - (x > y);
}

static void add_row(Arena *a, ProfileResult *r, const ProfileRow *row, bool apart)
{
    r->flops += row->flops;
    r->roof_ms += row->roof_ms;
    int k = apart ? r->nrows : 0;
    while (k < r->nrows && !same_kernel(&r->row[k], row))
        k++;
    if (k < r->nrows)
        merge(a, &r->row[k], row);
    else
        r->row[r->nrows++] = *row;
}

static void make_rows(const Times *p, ProfileResult *r, bool apart)
{
    double all_weights = 0;
    int n = p->times->launches.n;
    ProfileRow *each = ARENA_ARRAY(p->arena, ProfileRow, n + 1);
    r->row = ARENA_ARRAY(p->arena, ProfileRow, n + 1);
    for (int i = 0; i < n; i++) {
        each[i] = row_of(p, i);
        all_weights += each[i].weight_bytes;
    }
    for (int i = 0; i < n; i++) {
        find_bound(&each[i], &r->machine, all_weights);
        add_row(p->arena, r, &each[i], apart);
    }
    qsort(r->row, (size_t)r->nrows, sizeof *r->row, compare_rows);
}

bool profile_measure(Arena *a, const char *path, const ProfileOptions *o, ProfileResult *result)
{
    enum { TIMED_MS = 1000 };
    LaunchTimes t;
    int threads = o->threads ? (int)o->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    LaunchOptions l = { .build = &o->build, .feed = &o->feed, .threads = threads, .runs = o->runs, .timed_ms = TIMED_MS };
    if (!launches_time(a, path, &l, &t))
        return false;
    *result = (ProfileResult){ .model = path, .launches = t.launches.n, .runs = t.runs, .total_ms = t.total_ms, .outside_ms = t.outside_ms };
    machine_measure(&result->machine, threads, t.target.vector_bytes);
    make_rows(&(Times){ a, &t }, result, o->nodes);
    return true;
}
