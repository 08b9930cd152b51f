/* import_scan.c -- Scan: a few steps are unrolled (the body is imported once per step), many or unknown ones become a `loop`.
 *
 * Body inputs are the states, then one slice of every scan input; its results the new states, then one slice of every scan output. In opset 8
 * every operand has a batch axis in front, and each of the (constant) batch runs by itself.
 */
#include "import_loop.h"

enum { MAX_UNROLLED = 8, MAX_BATCH = 4096 };

typedef struct Scan {
    int nstate, nin, nout;          /* scan inputs, scan outputs */
    Dim steps;
    const int64_t *in_axis, *out_axis;
    const int64_t *in_backward, *out_backward;
} Scan;

/* The attribute, or zeros where it is absent. */
static const int64_t *list_or_zeros(Importer *c, const char *name, int n)
{
    IntVec v = attr_ints(c, name);
    int64_t *out = ARENA_ARRAY(c->m->arena, int64_t, n + 1);
    for (int i = 0; i < n && i < v.n; i++)
        out[i] = v.v[i];
    return out;
}

static bool same_length(Importer *c, Dim a, Dim b)
{
    if (a == b)
        return true;
    if (dim_is_const(a) && dim_is_const(b))
        return import_fail(c, "the sequences have %lld and %lld elements", (long long)a->k, (long long)b->k);
    Attr_check check = { .left = dims_copy(c->m, 1, &a), .right = dims_copy(c->m, 1, &b), .message = "the sequences have different lengths" };
    return build_node(&c->b, OP_check, IN_NONE, &check, 0) != NULL;
}

/* Axes of the scan inputs wrapped; all must have the same length along them. */
static bool scan_length(Importer *c, Scan *s, Value *const *x)
{
    int64_t *axis = ARENA_ARRAY(c->m->arena, int64_t, s->nin + 1);
    for (int i = 0; i < s->nin; i++) {
        bool ok = x[i] != NULL;
        axis[i] = ok ? import_axis(c, s->in_axis[i], value_rank(x[i]), &ok) : 0;
        if (!ok)
            return false;
        Dim n = value_dim(x[i], (int)axis[i]);
        s->steps = i ? s->steps : n;
        if (!same_length(c, s->steps, n))
            return false;
        s->steps = dim_is_const(n) ? n : s->steps;
    }
    s->in_axis = axis;
    return true;
}

/* ---- as a loop ---- */

typedef struct Steps { const Scan *s; Value *const *x; } Steps;

static bool iterate_scan(const LoopJob *job, Region *r, Value *number, Value *const *state, Value **out)
{
    Importer *c = job->c;
    const Steps *in = job->ctx;
    const Scan *s = in->s;
    Dim i = import_loop_index(&c->b, number), last = dim_addk(c->m->dims, s->steps, -1);
    Value **given = ARENA_ARRAY(c->m->arena, Value *, s->nstate + s->nin + 1);
    for (int k = 0; k < s->nstate; k++)
        given[k] = state[k];
    for (int k = 0; i && k < s->nin; k++)
        given[s->nstate + k] = mk_index(&c->b, import_region_capture(c, r, in->x[k]), (int)s->in_axis[k], s->in_backward[k] ? dim_sub(c->m->dims, last, i) : i);
    out[0] = NULL;
    return i && import_region_apply(c, "body", s->nstate + s->nin, given, s->nstate + s->nout, out + 1);
}

/* Axis 0 turned round. */
static Value *mk_backwards(Builder *b, Value *x)
{
    Dim start[MAX_RANK];
    int64_t step[MAX_RANK];
    for (int i = 0; i < value_rank(x); i++) {
        start[i] = i ? dim_const(b->m->dims, 0) : dim_addk(b->m->dims, value_dim(x, 0), -1);
        step[i] = i ? 1 : -1;
    }
    int rank = value_rank(x);
    return mk_slice(b, IN(x), (Attr_slice){ .starts = dims_copy(b->m, rank, start), .sizes = dims_copy(b->m, rank, x->type.dim), .steps = ints_copy(b->m, rank, step) });
}

/* Axis 0 where the scan output wants it. */
static Value *mk_first_axis_to(Builder *b, Value *x, int64_t axis)
{
    int64_t perm[MAX_RANK];
    for (int i = 0; i < value_rank(x); i++)
        perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    return mk_transpose_perm(b, x, perm);
}

static bool scan_loop(Importer *c, const Scan *s, Value *const *start, Value *const *x, Value **out)
{
    Builder *b = &c->b;
    Steps steps = { s, x };
    LoopJob job = { .c = c, .go = mk_scalar(b, DT_bool, 1), .most = mk_dim_scalar(b, s->steps, DT_i64), .nstate = s->nstate, .nslice = s->nout,
                    .state = start, .iterate = iterate_scan, .ctx = &steps };
    if (!import_loop_build(&job, out))
        return false;
    for (int k = 0; k < s->nout; k++) {
        Value **y = &out[s->nstate + k];
        bool ok = true;
        int64_t axis = import_axis(c, s->out_axis[k], value_rank(*y), &ok);
        *y = ok && s->out_backward[k] ? mk_backwards(b, *y) : *y;
        *y = ok ? mk_first_axis_to(b, *y, axis) : NULL;
        if (!*y)
            return false;
    }
    return true;
}

/* ---- unrolled ---- */

/* All steps; state: in and out. part[k * steps + t]: slice t of scan output k with its axis of size 1. */
static bool scan_run(Importer *c, const Scan *s, Value **state, Value *const *x, Value **part)
{
    Builder *b = &c->b;
    int64_t steps = s->steps->k;
    Value **given = ARENA_ARRAY(c->m->arena, Value *, s->nstate + s->nin + 1), **result = ARENA_ARRAY(c->m->arena, Value *, s->nstate + s->nout + 1);
    for (int64_t t = 0; t < steps; t++) {
        for (int i = 0; i < s->nstate; i++)
            given[i] = state[i];
        for (int i = 0; i < s->nin; i++)
            given[s->nstate + i] = mk_index(b, x[i], (int)s->in_axis[i], dim_const(c->m->dims, s->in_backward[i] ? steps - 1 - t : t));
        if (!import_region_apply(c, "body", s->nstate + s->nin, given, s->nstate + s->nout, result))
            return false;
        for (int i = 0; i < s->nstate; i++)
            state[i] = result[i];
        for (int k = 0; k < s->nout; k++) {
            bool ok = result[s->nstate + k] != NULL;
            int64_t axis = ok ? import_axis(c, s->out_axis[k], value_rank(result[s->nstate + k]) + 1, &ok) : 0;
            if (!ok)
                return false;
            part[k * steps + (s->out_backward[k] ? steps - 1 - t : t)] = mk_insert_axes(b, result[s->nstate + k], (int)axis, 1);
        }
    }
    return true;
}

/* Runs one sequence: `out` receives the last states, then the scan outputs. */
static bool scan_sequence(Importer *c, const Scan *s, Value *const *start, Value *const *x, Value **out)
{
    if (!dim_is_const(s->steps) || s->steps->k < 1 || s->steps->k > MAX_UNROLLED)
        return scan_loop(c, s, start, x, out);
    int64_t steps = s->steps->k;
    Value **part = ARENA_ARRAY(c->m->arena, Value *, s->nout * steps + 1);
    for (int i = 0; i < s->nstate; i++)
        out[i] = start[i];
    if (!scan_run(c, s, out, x, part))
        return false;
    for (int k = 0; k < s->nout; k++) {
        int64_t axis = s->out_axis[k] < 0 ? s->out_axis[k] + value_rank(part[k * steps]) : s->out_axis[k];
        out[s->nstate + k] = mk_concat(&c->b, (Inputs){ (int)steps, part + k * steps }, (Attr_concat){ .axis = axis });
    }
    return true;
}

/* Counts of states, inputs and outputs; `first`: the input where the states begin. */
static bool scan_counts(Importer *c, Scan *s, int first)
{
    s->nin = (int)attr_i(c, "num_scan_inputs", 0);
    s->nstate = in_count(c) - first - s->nin;
    s->nout = region_results(c, "body") - s->nstate;
    return (s->nin >= 1 && s->nstate >= 0 && s->nout >= 0) || import_fail(c, "num_scan_inputs is %d, which does not fit the inputs and the body", s->nin);
}

bool import_scan(Importer *c)
{
    Scan s = { .nstate = 0 };
    if (!scan_counts(c, &s, 0))
        return false;
    s.in_axis = list_or_zeros(c, "scan_input_axes", s.nin);
    s.out_axis = list_or_zeros(c, "scan_output_axes", s.nout);
    s.in_backward = list_or_zeros(c, "scan_input_directions", s.nin);
    s.out_backward = list_or_zeros(c, "scan_output_directions", s.nout);
    Value **out = ARENA_ARRAY(c->m->arena, Value *, s.nstate + s.nout + 1);
    return scan_length(c, &s, c->input + s.nstate) && scan_sequence(c, &s, c->input, c->input + s.nstate, out) && set_outs(c, s.nstate + s.nout, out);
}

/* Opset 8: input 0 is sequence_lens. */
bool import_scan_batched(Importer *c)
{
    Builder *b = &c->b;
    Scan s = { .nstate = 0 };
    if (!scan_counts(c, &s, 1))
        return false;
    if (in(c, 0))
        return import_unsupported(c, "sequence_lens");
    int n = s.nstate + s.nin, nres = s.nstate + s.nout;
    for (int i = 0; i < n; i++)
        if (!in(c, 1 + i) || !value_rank(in(c, 1 + i)))
            return import_fail(c, "input %d has no batch axis", 1 + i);
    Dim batch = value_dim(in(c, 1), 0);
    if (!dim_is_const(batch) || batch->k < 1 || batch->k > MAX_BATCH)
        return import_unsupported(c, "a batch whose size is not constant");
    s.in_axis = s.out_axis = s.out_backward = list_or_zeros(c, "", n + nres);
    s.in_backward = list_or_zeros(c, "directions", s.nin);
    Value **given = ARENA_ARRAY(c->m->arena, Value *, n), **row = ARENA_ARRAY(c->m->arena, Value *, nres + 1);
    Value **out = ARENA_ARRAY(c->m->arena, Value *, nres * batch->k + 1);
    for (int64_t k = 0; k < batch->k; k++) {
        for (int i = 0; i < n; i++)
            given[i] = mk_index(b, in(c, 1 + i), 0, dim_const(c->m->dims, k));
        if (!scan_length(c, &s, given + s.nstate) || !scan_sequence(c, &s, given, given + s.nstate, row))
            return false;
        for (int i = 0; i < nres; i++)
            out[i * batch->k + k] = mk_insert_axes(b, row[i], 0, 1);
    }
    for (int i = 0; i < nres; i++)
        row[i] = mk_concat(b, (Inputs){ (int)batch->k, out + i * batch->k }, (Attr_concat){ .axis = 0 });
    return set_outs(c, nres, row);
}
