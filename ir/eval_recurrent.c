/* eval_recurrent.c -- evaluation of `recurrent`: one sequence after the other, step by step. Products are summed in double; the cell is computed by
 * its formulas (recurrent.h) in the compute type, and so are the states between steps.
 */
#include "eval_ops.h"
#include "eval_wide.h"
#include "recurrent.h"

#include <string.h>

enum { WX, R, LENGTHS, H0, C0, EXTRA };

typedef struct Run {
    const Attr_recurrent *a;
    const Tensor *const *in;
    Tensor *result[3];
    const Wide *rec;                                        /* R, all of it */
    int64_t steps, directions, batch, hidden;
    int gates, nstage;
    CellStage stage[CELL_STAGES];
    DType type;                                             /* compute type */
    FormulaRun *formula[CELL_VALUES];                       /* NULL: not of this cell */
    Tensor arg[CELL_ARGS], value[CELL_VALUES];             /* [hidden] each */
    Wide *sum, *row;                                        /* [gates * hidden], [hidden] */
} Run;

static Tensor line_new(Arena *a, DType t, int64_t n)
{
    void *data = arena_alloc(a, (size_t)(n + 1) * 8);
    memset(data, 0, (size_t)(n + 1) * 8);
    return (Tensor){ .dtype = t, .rank = 1, .dim = arena_copy(a, &n, sizeof n), .count = n, .data = data };
}

static void run_open(Run *r, Arena *a)
{
    CellValue value[CELL_VALUES];
    r->nstage = cell_stages(r->a, r->stage);
    for (int s = 0; s < r->nstage; s++)
        for (int i = cell_values(r->a, s, value) - 1; i >= 0; i--) {
            Formula f = cell_formula(a, r->a, r->in[EXTRA] && cell_find(r->a->cell)->has_c, r->type, value[i]);
            r->formula[value[i]] = formula_run_new(a, &f);
        }
    for (int i = 0; i < CELL_ARGS; i++)
        r->arg[i] = line_new(a, r->type, r->hidden);
    for (int i = 0; i < CELL_VALUES; i++)
        r->value[i] = line_new(a, r->type, r->hidden);
    r->sum = ARENA_ARRAY(a, Wide, r->gates * r->hidden + 1);
    r->row = ARENA_ARRAY(a, Wide, r->hidden + 1);
    r->rec = wide_of(a, r->in[R]);
}

/* hidden elements of t from `first` on, or zeros where t is absent. */
static void load_line(Run *r, Tensor *to, const Tensor *t, int64_t first)
{
    if (t)
        wide_load(r->row, t, first, 1, r->hidden);
    else
        memset(r->row, 0, sizeof *r->row * (size_t)r->hidden);
    wide_store(to, 0, 1, r->row, r->hidden);
}

static void copy_line(Run *r, const Tensor *to, int64_t first, const Tensor *from)
{
    wide_load(r->row, from, 0, 1, r->hidden);
    wide_store(to, first, 1, r->row, r->hidden);
}

/* sum = state * R for the gates of a stage. */
static void multiply(Run *r, const CellStage *s, int64_t d, const Tensor *state)
{
    int64_t wide = r->gates * r->hidden, from = s->first * r->hidden, to = from + s->gates * r->hidden;
    wide_load(r->row, state, 0, 1, r->hidden);
    memset(r->sum, 0, sizeof *r->sum * (size_t)wide);
    for (int64_t k = 0; k < r->hidden; k++) {
        const Wide *rec = r->rec + (d * r->hidden + k) * wide;
        for (int64_t j = from; j < to; j++)
            r->sum[j].f += r->row[k].f * rec[j].f;
    }
}

/* The arguments of the stage's gates: products, and what wx or the bias adds. */
static void load_gates(Run *r, const CellStage *s, int64_t d, int64_t wx)
{
    int64_t h = r->hidden;
    int apart = cell_separate_gate(r->a);
    for (int g = s->first; g < s->first + s->gates; g++) {
        Wide *sum = r->sum + g * h;
        wide_load(r->row, r->in[WX], wx + g * h, 1, h);
        if (g == apart) {
            wide_store(&r->arg[CELL_PRE + g], 0, 1, r->row, h);
            memset(r->row, 0, sizeof *r->row * (size_t)h);
            if (r->in[EXTRA])
                wide_load(r->row, r->in[EXTRA], d * h, 1, h);
        }
        for (int64_t j = 0; j < h; j++)
            sum[j].f += r->row[j].f;
        wide_store(&r->arg[g == apart ? CELL_REC : CELL_PRE + g], 0, 1, sum, h);
    }
}

static void compute(Run *r, CellValue what)
{
    int size = dtype_bytes(r->type);
    for (int64_t first = 0; first < r->hidden; first += FORMULA_BLOCK) {
        int n = r->hidden - first < FORMULA_BLOCK ? (int)(r->hidden - first) : FORMULA_BLOCK;
        const void *args[CELL_ARGS];
        for (int i = 0; i < CELL_ARGS; i++)
            args[i] = (const char *)r->arg[i].data + first * size;
        formula_run(r->formula[what], n, args, (char *)eval_data(&r->value[what]) + first * size);
    }
}

/* h' and c' of one step, from the states in arg. */
static void step(Run *r, int64_t d, int64_t wx)
{
    CellValue value[CELL_VALUES];
    for (int s = 0; s < r->nstage; s++) {
        multiply(r, &r->stage[s], d, r->stage[s].reset ? &r->value[CELL_RESET] : &r->arg[CELL_H]);
        load_gates(r, &r->stage[s], d, wx);
        int n = cell_values(r->a, s, value);
        for (int i = 0; i < n; i++) {
            compute(r, value[i]);
            if (value[i] == CELL_NEXT_C || value[i] == CELL_UPDATE)
                copy_line(r, &r->arg[value[i] == CELL_UPDATE ? CELL_Z : CELL_NEW_C], 0, &r->value[value[i]]);
        }
    }
}

static void sequence(Run *r, int64_t d, int64_t b)
{
    int64_t h = r->hidden, state = (d * r->batch + b) * h, wide = r->directions * r->gates * h;
    bool backward = r->a->reverse || d == 1;
    load_line(r, &r->arg[CELL_H], r->in[H0], state);
    load_line(r, &r->arg[CELL_C], r->in[C0], state);
    for (int i = 0; i < 3 && r->in[EXTRA] && r->result[2]; i++)
        load_line(r, &r->arg[CELL_PEEP + i], r->in[EXTRA], (3 * d + i) * h);
    for (int64_t i = 0; i < r->steps; i++) {
        int64_t t = backward ? r->steps - 1 - i : i;
        bool live = !r->in[LENGTHS] || t < ((const int64_t *)r->in[LENGTHS]->data)[r->in[LENGTHS]->splat ? 0 : b];
        if (!live)
            continue;                                       /* the state stays, the result is zero */
        step(r, d, (t * r->batch + b) * wide + d * r->gates * h);
        copy_line(r, &r->arg[CELL_H], 0, &r->value[CELL_NEXT_H]);
        copy_line(r, &r->arg[CELL_C], 0, &r->value[CELL_NEXT_C]);
        copy_line(r, r->result[0], ((t * r->directions + d) * r->batch + b) * h, &r->arg[CELL_H]);
    }
    copy_line(r, r->result[1], state, &r->arg[CELL_H]);
    if (r->result[2])
        copy_line(r, r->result[2], state, &r->arg[CELL_C]);
}

bool eval_recurrent(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Tensor *operand[EXTRA + 1] = { NULL };
    memcpy(operand, in, sizeof *in * (size_t)n->nin);
    Run r = { .a = NODE_ATTR(n, recurrent), .in = operand, .steps = in[WX]->dim[0], .batch = in[WX]->dim[1], .directions = in[R]->dim[0],
              .hidden = in[R]->dim[1], .type = formula_compute_type(in[WX]->dtype) };
    r.gates = cell_find(r.a->cell)->gates;
    for (int i = 0; i < n->nout; i++)
        if (!(out[i] = r.result[i] = eval_result(e, n, i)))
            return false;
    for (int i = LENGTHS; i <= C0; i++)
        if (operand[i] && operand[i]->dim[i != LENGTHS] != r.batch)
            return eval_fail(e, n, "operand %d has a batch of %lld, the sequences %lld", i, (long long)operand[i]->dim[i != LENGTHS], (long long)r.batch);
    run_open(&r, e->scratch);
    for (int64_t d = 0; d < r.directions; d++)
        for (int64_t b = 0; b < r.batch; b++)
            sequence(&r, d, b);
    return true;
}
