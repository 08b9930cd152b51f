/* prune_oracle.c -- what the removal of units means, checked on whole networks: prune_oracle [--sparsity F] MODEL.onnx...
 *
 * Half of the units of every group go, by their norms. The pruned network, compiled, must give what the original gives, compiled, when the removed
 * channels are multiplied by zero where they enter a sum: within 1e-4 of the largest element. Inputs are random. Also printed: how much stays.
 * The same with every other residual block gone, against the original with what these branches add multiplied by zero.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "frontend.h"
#include "importance.h"
#include "observe.h"
#include "pass.h"
#include "select.h"

enum { MAX_PORTS = 64 };

static double random_number(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 33) / 4294967296.0 * 4 - 1;
}

static ingot_tensor random_input(Arena *a, const Type *t, uint64_t *seed)
{
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dim[i] = dim_is_const(t->dim[i]) ? t->dim[i]->k : 1;
    Tensor *x = tensor_new(a, t->dtype, t->rank, dim);
    for (int64_t i = 0; i < x->count; i++)
        tensor_set_f64(x, i, dtype_is_float(t->dtype) ? random_number(seed) : i % 2);
    ingot_tensor r = { .data = (void *)(uintptr_t)x->data, .dtype = dtype_table[t->dtype].onnx, .rank = t->rank };
    memcpy(r.dim, dim, sizeof *dim * (size_t)t->rank);
    return r;
}

static double difference(const Tensor *x, const Tensor *y)
{
    double largest = 1e-3, apart = 0;
    if (x->count != y->count)
        return INFINITY;
    for (int64_t i = 0; i < x->count; i++) {
        double p = tensor_get_f64(x, i), q = tensor_get_f64(y, i);
        if (isnan(p) != isnan(q))
            return INFINITY;
        largest = fmax(largest, fabs(p));
        apart = fmax(apart, isnan(p) ? 0 : fabs(p - q));
    }
    return apart / largest;
}

static Observer *open_graph(const Module *m, Graph *g)
{
    Module own = *m;
    own.graph = g;
    return g ? observer_open(&own, NULL, 0) : NULL;
}

static bool compare(Arena *a, Module *m, Graph *less, Graph *zero, double *worst)
{
    Value *input[MAX_PORTS];
    ingot_tensor in[MAX_PORTS];
    uint64_t seed = 1;
    int nin = graph_inputs(m->graph, input, MAX_PORTS), nout = graph_return(m->graph)->nin;
    for (int i = 0; i < nin; i++)
        in[i] = random_input(a, &input[i]->type, &seed);
    Observer *cut = open_graph(m, less), *masked = open_graph(m, zero);
    const Tensor *const *x = cut ? observer_run(cut, in) : NULL, *const *y = masked ? observer_run(masked, in) : NULL;
    *worst = 0;
    for (int i = 0; x && y && i < nout; i++)
        *worst = fmax(*worst, difference(x[i], y[i]));
    observer_close(cut);
    observer_close(masked);
    return x && y;
}

static bool check_blocks(Arena *a, Module *m, const char *path)
{
    Blocks *b = blocks_find(a, m, m->graph, 0, NULL);
    bool *removed = ARENA_ARRAY(a, bool, b->n + 1);
    double worst = INFINITY;
    for (int i = 0; i < b->n; i += 2)
        removed[i] = true;
    if (!b->n)
        return true;
    bool ok = compare(a, m, blocks_remove(b, removed, NULL), blocks_mask(b, removed), &worst) && worst <= 1e-4;
    printf("%s %s: every other of %d residual blocks gone; difference %.2g\n", ok ? "ok" : "FAIL", path, b->n, worst);
    return ok;
}

static bool check(const char *path, double sparsity)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = onnx_import(a, &d, path, &(ImportOptions){ 0 });
    PassOptions o = PASS_OPTIONS_DEFAULT;
    o.pipeline = "fold,dce,rules,dce";
    bool ok = m && passes_run(m, &o);
    Groups *s = ok ? groups_find(a, m, m->graph, 0, NULL) : NULL;
    SelectOptions select = { .fraction = sparsity, .round = 1 };
    const Keeps *k = s ? groups_keeps(s, select_units(s, importance_of_weights(s, IMP_l1), &select)) : NULL;
    double worst = INFINITY;
    ok = k && compare(a, m, prune_graph(m, m->graph, k, NULL), prune_mask(m, m->graph, k), &worst);
    if (ok) {
        Cost before = cost_of(s, NULL), after = cost_of(s, k);
        int heads = 0;
        for (int i = 0; i < s->ngroups; i++)
            heads += s->group[i].heads;
        ok = worst <= 1e-4;
        printf("%s %s: %d groups (%d of heads), %d units, %d refused; %.1f %% of the multiply-adds and %.1f %% of the weights stay; difference %.2g\n", ok ? "ok" : "FAIL",
               path, s->ngroups, heads, s->nunits, s->nrefused, 100 * after.macs / before.macs, 100 * after.bytes / before.bytes, worst);
        if (getenv("VERBOSE")) {
            for (int i = 0; i < s->nrefused; i++)
                printf("  %s stays: %s\n", s->refused[i].name, s->refused[i].reason);
            for (int i = 0; i < s->ngroups; i++)
                printf("  group %s: %d units of %d channels%s\n", s->group[i].name, s->group[i].n, s->group[i].width, s->group[i].heads ? " (heads)" : "");
        }
    }
    ok = ok && check_blocks(a, m, path);
    fflush(stdout);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = true;
    double sparsity = 0.5;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--sparsity") && i + 1 < argc)
            sparsity = atof(argv[++i]);
        else
            ok &= check(argv[i], sparsity);
    return !ok;
}
