/* eval_loop.c -- `loop`: its body as often as it says.
 *
 * Each iteration computes in an arena of its own; the states live in that of the iteration that made them, and are dropped with it. Slices are
 * appended to one growing buffer per result.
 */
#include <stdlib.h>
#include <string.h>

#include "eval_ops.h"
#include "loop.h"

typedef struct Slices {             /* of one result, one behind the other */
    Tensor like;                    /* the first slice: dtype and dims */
    char *data;
    size_t bytes, room;
} Slices;

typedef struct LoopRun {
    EvalEnv *env;
    const Node *n;
    int64_t states, done;           /* done: iterations */
    const Tensor **given;           /* to the body */
    const Tensor **returned;
    Slices *slices;                 /* per result that is no state */
    Arena *now;                     /* holds the states */
} LoopRun;

static void set_size(LoopRun *r, int64_t at, int64_t size)
{
    Dim symbol = loop_size(r->n, at);
    if (symbol)
        r->env->syms[symbol->k] = size;
}

static void set_sizes_of(LoopRun *r, int result, int first_axis, const Tensor *t)
{
    for (int k = 0; r->n->out[result].type.kind == TY_TENSOR && k < t->rank; k++)
        set_size(r, loop_at(result, first_axis + k), t->dim[k]);
}

static bool append(LoopRun *r, int i, const Tensor *t)
{
    Slices *s = &r->slices[i];
    size_t bytes = tensor_bytes(t);
    if (!r->done) {
        s->like = *t;
        s->like.dim = arena_copy(r->env->arena, t->dim, sizeof *t->dim * (size_t)t->rank);
        set_sizes_of(r, (int)r->states + i, 1, t);
    } else if (t->rank && memcmp(t->dim, s->like.dim, sizeof *t->dim * (size_t)t->rank) != 0) {
        return eval_fail(r->env, r->n, "iteration %lld returns a slice of another shape than the first", (long long)r->done);
    }
    if (s->bytes + bytes > s->room) {
        s->room = 2 * (s->bytes + bytes);
        s->data = realloc(s->data, s->room);
        if (!s->data)
            abort();
    }
    if (bytes)
        memcpy(s->data + s->bytes, t->data, bytes);
    s->bytes += bytes;
    return true;
}

/* What an iteration returned may be what it was given, in memory that is about to go. */
static const Tensor *keep(Arena *a, const Tensor *t)
{
    Tensor *copy = tensor_new(a, t->dtype, t->rank, t->dim);
    if (t->count)
        memcpy(eval_data(copy), t->data, tensor_bytes(t));
    return copy;
}

static bool was_given(const LoopRun *r, const Tensor *t)
{
    for (int64_t i = 0; i <= r->states; i++)
        if (r->given[i]->data == t->data)
            return true;
    return false;
}

static bool iterate(LoopRun *r)
{
    Arena *next = arena_new();
    Tensor *number = tensor_new(next, DT_i64, 0, NULL);
    *(int64_t *)eval_data(number) = r->done;
    r->given[0] = number;
    EvalEnv env = { .arena = next, .m = r->env->m, .syms = r->env->syms };
    bool ok = eval_graph(&env, NODE_ATTR(r->n, loop)->body, r->n->nin - 1, r->given, r->returned);
    for (int i = (int)r->states; ok && i < r->n->nout; i++)
        ok = append(r, i - (int)r->states, r->returned[1 + i]);
    for (int i = 0; ok && i < r->states; i++)
        r->returned[1 + i] = was_given(r, r->returned[1 + i]) ? keep(next, r->returned[1 + i]) : r->returned[1 + i];
    for (int i = 0; ok && i < r->states; i++) {
        r->given[1 + i] = r->returned[1 + i];
        set_sizes_of(r, i, 0, r->given[1 + i]);
    }
    arena_free(ok ? r->now : next);
    r->now = ok ? next : r->now;
    return ok;
}

static bool results(LoopRun *r, const Tensor **out)
{
    for (int i = 0; i < r->states; i++)
        out[i] = keep(r->env->arena, r->given[1 + i]);
    for (int i = (int)r->states; i < r->n->nout; i++) {
        const Slices *s = &r->slices[i - r->states];
        Tensor *t = eval_result(r->env, r->n, i);
        if (!t)
            return false;
        if (tensor_bytes(t) != s->bytes)
            return eval_fail(r->env, r->n, "there were %lld iterations, which is not what the sizes say", (long long)r->done);
        if (s->bytes)
            memcpy(eval_data(t), s->data, s->bytes);
        out[i] = t;
    }
    return true;
}

bool eval_loop(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    LoopRun r = { .env = e, .n = n, .states = a->states, .now = arena_new() };
    r.given = ARENA_ARRAY(e->arena, const Tensor *, n->nin);
    r.returned = ARENA_ARRAY(e->arena, const Tensor *, n->nout + 1);
    r.slices = ARENA_ARRAY(e->arena, Slices, n->nout - (int)a->states + 1);
    for (int i = 2; i < n->nin; i++)
        r.given[i - 1] = in[i];
    for (int i = 0; i < a->sizes.n; i++)
        e->syms[a->sizes.v[i]->k] = 0;
    for (int i = 0; i < a->states; i++)
        set_sizes_of(&r, i, 0, r.given[1 + i]);
    int64_t most = tensor_get_i64(in[1], 0);
    bool ok = true, go = tensor_get_i64(in[0], 0);
    for (; ok && go && r.done < most; r.done++)
        if ((ok = iterate(&r)))
            go = tensor_get_i64(r.returned[0], 0);
    set_size(&r, LOOP_COUNT, r.done);
    ok = ok && results(&r, out);
    for (int i = 0; i < n->nout - (int)a->states; i++)
        free(r.slices[i].data);
    arena_free(r.now);
    return ok;
}
