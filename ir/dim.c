/* dim.c -- see dim.h. Canonical form: a Dim is CONST, an atom, MUL (k, sorted atoms) or ADD (k, sorted non-constant terms). */
#include "dim.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, MAX_TERMS = 64 };

struct DimTable {
    Arena *arena;
    DimExpr *bucket[BUCKETS];
    uint32_t made;
    DimSymbol *sym;
    int nsym, sym_room, fresh;
};

DimTable *dim_table_new(Arena *a)
{
    DimTable *t = ARENA_NEW(a, DimTable);
    t->arena = a;
    return t;
}

/* ---- hash consing ---- */

static Dim intern(DimTable *t, DimOp op, int64_t k, int n, const Dim *arg)
{
    uint32_t h = (uint32_t)op * 2654435761u ^ (uint32_t)k ^ (uint32_t)((uint64_t)k >> 32) * 40503u;
    for (int i = 0; i < n; i++)
        h = (h ^ arg[i]->order) * 16777619u;
    DimExpr **slot = &t->bucket[h % BUCKETS];
    for (DimExpr *e = *slot; e; e = e->chain)
        if (e->hash == h && e->op == op && e->k == k && e->nargs == n && (!n || !memcmp(e->arg, arg, sizeof(Dim) * (size_t)n)))
            return e;
    DimExpr *e = ARENA_NEW(t->arena, DimExpr);
    *e = (DimExpr){ .op = op, .nargs = n, .k = k, .hash = h, .order = ++t->made, .chain = *slot };
    e->any_sign = op == DIM_SYM && t->sym[k].any_sign;
    e->arg = n ? arena_copy(t->arena, arg, sizeof(Dim) * (size_t)n) : NULL;
    return *slot = e;
}

Dim dim_const(DimTable *t, int64_t k)
{
    return intern(t, DIM_CONST, k, 0, NULL);
}

static int symbol_add(DimTable *t, const char *name, Dim bound, bool from_data, bool any_sign)
{
    if (t->nsym == t->sym_room) {
        int room = t->sym_room ? 2 * t->sym_room : 16;
        DimSymbol *grown = ARENA_ARRAY(t->arena, DimSymbol, room);
        if (t->nsym)
            memcpy(grown, t->sym, sizeof *grown * (size_t)t->nsym);
        t->sym = grown, t->sym_room = room;
    }
    t->sym[t->nsym] = (DimSymbol){ arena_str(t->arena, name), bound, from_data, any_sign };
    return t->nsym++;
}

int dim_symbol_count(const DimTable *t) { return t->nsym; }
const DimSymbol *dim_symbol_at(const DimTable *t, int index) { return &t->sym[index]; }

int dim_symbol_find(const DimTable *t, const char *name)
{
    for (int i = 0; i < t->nsym; i++)
        if (!strcmp(t->sym[i].name, name))
            return i;
    return -1;
}

void dim_symbol_declare(DimTable *t, const char *name, bool from_data, bool any_sign, Dim bound)
{
    symbol_add(t, name, bound, from_data, any_sign);
}

/* Names in textual IR are [A-Za-z_][A-Za-z0-9_]*; anything else in a model's dim_param is mapped to '_'. */
static const char *tidy_name(DimTable *t, const char *name)
{
    char *s = arena_printf(t->arena, "%s%s", isalpha((unsigned char)name[0]) || name[0] == '_' ? "" : "d_", name);
    for (char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    return s;
}

Dim dim_symbol(DimTable *t, const char *name)
{
    const char *tidy = tidy_name(t, name);
    int i = dim_symbol_find(t, tidy);
    return intern(t, DIM_SYM, i >= 0 ? i : symbol_add(t, tidy, NULL, false, false), 0, NULL);
}

static Dim fresh(DimTable *t, const char *stem, Dim bound, bool any_sign)
{
    const char *name;
    do
        name = arena_printf(t->arena, "%s%d", stem, t->fresh++);
    while (dim_symbol_find(t, name) >= 0);
    return intern(t, DIM_SYM, symbol_add(t, name, bound, true, any_sign), 0, NULL);
}

Dim dim_fresh(DimTable *t, const char *stem, Dim bound)
{
    return fresh(t, stem, bound, false);
}

Dim dim_fresh_signed(DimTable *t, const char *stem)
{
    return fresh(t, stem, NULL, true);
}

/* Absurd sizes wrap instead of overflowing; infer_set refuses them. */
static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* ---- the polynomial: a list of terms, each k * product of atoms ---- */

typedef struct Term {
    int64_t k;
    int n;
    const Dim *atom;
} Term;

typedef struct Poly {
    int n;
    Term term[MAX_TERMS];
} Poly;

static Term term_of(const Dim *self)
{
    Dim d = *self;
    if (d->op == DIM_CONST)
        return (Term){ d->k, 0, NULL };
    if (d->op == DIM_MUL)
        return (Term){ d->k, d->nargs, d->arg };
    return (Term){ 1, 1, self };
}

static bool same_atoms(const Term *a, const Term *b)
{
    return a->n == b->n && (!a->n || !memcmp(a->atom, b->atom, sizeof(Dim) * (size_t)a->n));
}

static bool poly_add_term(Poly *p, Term x)
{
    for (int i = 0; i < p->n; i++)
        if (same_atoms(&p->term[i], &x)) {
            p->term[i].k = wrap_add(p->term[i].k, x.k);
            return true;
        }
    if (p->n == MAX_TERMS)
        return false;
    p->term[p->n++] = x;
    return true;
}

static void poly_of(DimTable *t, Dim d, Poly *p)
{
    p->n = 0;
    if (d->op == DIM_ADD) {
        if (d->k)
            p->term[p->n++] = (Term){ d->k, 0, NULL };
        for (int i = 0; i < d->nargs; i++)
            p->term[p->n++] = term_of(&d->arg[i]);
        return;
    }
    const Dim *self = arena_copy(t->arena, &d, sizeof d);
    p->term[p->n++] = term_of(self);
}

static Dim term_make(DimTable *t, Term x)
{
    if (!x.n)
        return dim_const(t, x.k);
    return x.k == 1 && x.n == 1 ? x.atom[0] : intern(t, DIM_MUL, x.k, x.n, x.atom);
}

/* The order of terms and factors. It looks at the expressions only, not at when they were made: so a text that is read back gives the same Dims,
 * printed the same way. */
static int dim_compare(Dim x, Dim y)
{
    if (x == y)
        return 0;
    if (x->op != y->op)
        return x->op < y->op ? -1 : 1;
    for (int i = 0; i < x->nargs && i < y->nargs; i++)
        if (x->arg[i] != y->arg[i])
            return dim_compare(x->arg[i], y->arg[i]);
    return x->nargs != y->nargs ? x->nargs - y->nargs : (x->k > y->k) - (x->k < y->k);
}

static int by_order(const void *a, const void *b)
{
    return dim_compare(*(const Dim *)a, *(const Dim *)b);
}

static Dim poly_make(DimTable *t, const Poly *p)
{
    Dim arg[MAX_TERMS];
    int n = 0;
    int64_t k = 0;
    for (int i = 0; i < p->n; i++) {
        if (!p->term[i].k)
            continue;
        if (!p->term[i].n)
            k = p->term[i].k;
        else
            arg[n++] = term_make(t, p->term[i]);
    }
    if (!n)
        return dim_const(t, k);
    if (n == 1 && !k)
        return arg[0];
    qsort(arg, (size_t)n, sizeof *arg, by_order);
    return intern(t, DIM_ADD, k, n, arg);
}

Dim dim_add(DimTable *t, Dim a, Dim b)
{
    Poly p, q;
    poly_of(t, a, &p);
    poly_of(t, b, &q);
    for (int i = 0; i < q.n; i++)
        if (!poly_add_term(&p, q.term[i]))
            return intern(t, DIM_ADD, 0, 2, (Dim[]){ a, b });
    return poly_make(t, &p);
}

Dim dim_sub(DimTable *t, Dim a, Dim b)
{
    return dim_add(t, a, dim_mulk(t, b, -1));
}

static Term term_mul(DimTable *t, Term a, Term b)
{
    int n = a.n + b.n;
    Dim *atom = n ? ARENA_ARRAY(t->arena, Dim, n) : NULL;
    for (int i = 0; i < a.n; i++)
        atom[i] = a.atom[i];
    for (int i = 0; i < b.n; i++)
        atom[a.n + i] = b.atom[i];
    if (n)
        qsort(atom, (size_t)n, sizeof *atom, by_order);
    return (Term){ wrap_mul(a.k, b.k), n, atom };
}

Dim dim_mul(DimTable *t, Dim a, Dim b)
{
    Poly p, q, r = { .n = 0 };
    poly_of(t, a, &p);
    poly_of(t, b, &q);
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < q.n; j++)
            if (!poly_add_term(&r, term_mul(t, p.term[i], q.term[j])))
                return intern(t, DIM_MUL, 1, 2, (Dim[]){ a, b });
    return poly_make(t, &r);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    if (b == -1)
        return wrap_mul(a, -1);
    int64_t q = a / b;
    return q - (a % b && (a < 0) != (b < 0));
}

/* Exact quotient of a term by a term, if there is one. */
static bool term_div(DimTable *t, Term a, Term b, Term *out)
{
    if (!b.k || a.n < b.n || wrap_mul(floor_div(a.k, b.k), b.k) != a.k)
        return false;
    Dim *atom = a.n ? arena_copy(t->arena, a.atom, sizeof(Dim) * (size_t)a.n) : NULL;
    int n = a.n;
    for (int j = 0; j < b.n; j++) {
        int i = 0;
        while (i < n && atom[i] != b.atom[j])
            i++;
        if (i == n)
            return false;
        memmove(atom + i, atom + i + 1, sizeof(Dim) * (size_t)(n - i - 1));
        n--;
    }
    *out = (Term){ floor_div(a.k, b.k), n, atom };
    return true;
}

Dim dim_div(DimTable *t, Dim a, Dim b)
{
    if (dim_is(b, 1) || dim_is(a, 0))
        return a;
    if (a == b)
        return dim_const(t, 1);
    if (dim_is_const(a) && dim_is_const(b) && b->k)
        return dim_const(t, floor_div(a->k, b->k));
    Poly p, q;
    poly_of(t, a, &p);
    poly_of(t, b, &q);
    if (q.n == 1) {                             /* terms that divide exactly leave the floor */
        Poly whole = { .n = 0 }, rest = { .n = 0 };
        for (int i = 0; i < p.n; i++) {
            Term x;
            if (term_div(t, p.term[i], q.term[0], &x))
                whole.term[whole.n++] = x;
            else
                rest.term[rest.n++] = p.term[i];
        }
        if (!rest.n)
            return poly_make(t, &whole);
        if (whole.n)
            return dim_add(t, poly_make(t, &whole), dim_div(t, poly_make(t, &rest), b));
    }
    if (a->op == DIM_DIV && dim_is_const(b) && dim_is_const(a->arg[1]) && b->k > 0 && a->arg[1]->k > 0)
        return dim_div(t, a->arg[0], dim_const(t, wrap_mul(b->k, a->arg[1]->k)));
    if (p.n > 1 && q.n > 1 && p.n == q.n) {     /* (2a+2b)/(a+b) */
        Term x, y;
        bool same = term_div(t, p.term[0], q.term[0], &x) && !x.n;
        for (int i = 1; same && i < p.n; i++)
            same = term_div(t, p.term[i], q.term[i], &y) && !y.n && y.k == x.k;
        if (same)
            return dim_const(t, x.k);
    }
    return intern(t, DIM_DIV, 0, 2, (Dim[]){ a, b });
}

Dim dim_ceil_div(DimTable *t, Dim a, Dim b)
{
    return dim_div(t, dim_addk(t, dim_add(t, a, b), -1), b);
}

Dim dim_mod(DimTable *t, Dim a, Dim b)
{
    if (dim_is(b, 1) || a == b)
        return dim_const(t, 0);
    if (dim_is_const(a) && dim_is_const(b) && b->k)
        return dim_const(t, wrap_add(a->k, wrap_mul(-1, wrap_mul(b->k, floor_div(a->k, b->k)))));
    if (dim_is_const(b) && dim_divides(t, a, b->k))
        return dim_const(t, 0);
    return intern(t, DIM_MOD, 0, 2, (Dim[]){ a, b });
}

bool dim_nonneg(Dim d)
{
    switch (d->op) {
    case DIM_CONST: return d->k >= 0;
    case DIM_SYM: return !d->any_sign;
    case DIM_ADD: case DIM_MUL:
        if (d->k < 0)
            return false;
        break;
    case DIM_WRAP: return false;
    case DIM_MAX: return dim_nonneg(d->arg[0]) || dim_nonneg(d->arg[1]);
    default: break;
    }
    for (int i = 0; i < d->nargs; i++)
        if (!dim_nonneg(d->arg[i]))
            return false;
    return true;
}

bool dim_divides(DimTable *t, Dim d, int64_t k)
{
    Poly p;
    poly_of(t, d, &p);
    for (int i = 0; i < p.n; i++)
        if (!k || (k != -1 && p.term[i].k % k))         /* % -1 traps on the most negative */
            return false;
    return true;
}

/* A term k * floor(e / c) with a constant c > 0, or -1. The one made last comes first: it may be made of the others. */
static int floor_term(const Poly *p)
{
    int best = -1;
    for (int i = 0; i < p->n; i++) {
        const Term *x = &p->term[i];
        bool is_floor = x->n == 1 && x->atom[0]->op == DIM_DIV && dim_is_const(x->atom[0]->arg[1]) && x->atom[0]->arg[1]->k > 0;
        if (is_floor && (best < 0 || x->atom[0]->order > p->term[best].atom[0]->order))
            best = i;
    }
    return best;
}

/* As dim_nonneg, and knowing that e - (c-1) <= c * floor(e/c) <= e: what "same" padding of symbolic sizes needs. */
static bool provably_nonneg(DimTable *t, Dim d, int depth)
{
    Poly p;
    if (dim_nonneg(d))
        return true;
    poly_of(t, d, &p);
    int i = d->op == DIM_ADD && depth < 4 ? floor_term(&p) : -1;
    if (i < 0)
        return false;
    Dim e = p.term[i].atom[0]->arg[0];
    int64_t c = p.term[i].atom[0]->arg[1]->k, k = p.term[i].k;
    p.term[i].k = 0;
    Dim bound = dim_mulk(t, k > 0 ? dim_addk(t, e, 1 - c) : e, k);      /* c * k * floor(e/c) is at least this */
    return provably_nonneg(t, dim_add(t, dim_mulk(t, poly_make(t, &p), c), bound), depth + 1);
}

Dim dim_max(DimTable *t, Dim a, Dim b)
{
    Dim diff = dim_sub(t, a, b);
    if (provably_nonneg(t, diff, 0))
        return a;
    if (provably_nonneg(t, dim_mulk(t, diff, -1), 0))
        return b;
    return intern(t, DIM_MAX, 0, 2, dim_compare(a, b) < 0 ? (Dim[]){ a, b } : (Dim[]){ b, a });
}

Dim dim_min(DimTable *t, Dim a, Dim b)
{
    Dim diff = dim_sub(t, a, b);
    if (provably_nonneg(t, diff, 0))
        return b;
    if (provably_nonneg(t, dim_mulk(t, diff, -1), 0))
        return a;
    return intern(t, DIM_MIN, 0, 2, dim_compare(a, b) < 0 ? (Dim[]){ a, b } : (Dim[]){ b, a });
}

Dim dim_wrap(DimTable *t, Dim i, Dim size)
{
    if (dim_is_const(i))
        return i->k < 0 ? dim_add(t, i, size) : i;
    return dim_nonneg(i) ? i : intern(t, DIM_WRAP, 0, 2, (Dim[]){ i, size });
}

Dim dim_bcast(DimTable *t, Dim a, Dim b)
{
    if (a == b || dim_is(b, 1))
        return a;
    if (dim_is(a, 1))
        return b;
    if (dim_is_const(a))
        return a;
    if (dim_is_const(b))
        return b;
    return intern(t, DIM_BCAST, 0, 2, (Dim[]){ a, b });
}

static Dim rebuild(DimTable *t, Dim d, const Dim *arg)
{
    Dim r;
    switch (d->op) {
    case DIM_ADD:
        r = dim_const(t, d->k);
        for (int i = 0; i < d->nargs; i++)
            r = dim_add(t, r, arg[i]);
        return r;
    case DIM_MUL:
        r = dim_const(t, d->k);
        for (int i = 0; i < d->nargs; i++)
            r = dim_mul(t, r, arg[i]);
        return r;
    case DIM_DIV: return dim_div(t, arg[0], arg[1]);
    case DIM_MOD: return dim_mod(t, arg[0], arg[1]);
    case DIM_MAX: return dim_max(t, arg[0], arg[1]);
    case DIM_MIN: return dim_min(t, arg[0], arg[1]);
    case DIM_WRAP: return dim_wrap(t, arg[0], arg[1]);
    case DIM_BCAST: return dim_bcast(t, arg[0], arg[1]);
    default: return d;
    }
}

Dim dim_subst(DimTable *t, Dim d, int sym, Dim by)
{
    if (d->op == DIM_SYM)
        return d->k == sym ? by : d;
    if (!d->nargs)
        return d;
    Dim *arg = ARENA_ARRAY(t->arena, Dim, d->nargs);
    bool changed = false;
    for (int i = 0; i < d->nargs; i++) {
        arg[i] = dim_subst(t, d->arg[i], sym, by);
        changed |= arg[i] != d->arg[i];
    }
    return changed ? rebuild(t, d, arg) : d;
}

/* A bound that only replaces symbols is right only where the expression grows with them, which sizes of tensors do except in a
 * negative term or a divisor; those make the answer "unbounded". */
Dim dim_upper(DimTable *t, Dim d)
{
    if (!dim_from_data(t, d))
        return d;
    if (d->op == DIM_SYM) {
        Dim b = t->sym[d->k].bound;
        return b ? dim_upper(t, b) : NULL;
    }
    Dim *arg = ARENA_ARRAY(t->arena, Dim, d->nargs);
    for (int i = 0; i < d->nargs; i++) {
        bool must_be_fixed = (d->op == DIM_MUL && d->k < 0) || ((d->op == DIM_DIV || d->op == DIM_MOD) && i == 1) || d->op == DIM_WRAP;
        if (d->op == DIM_MIN && !(arg[i] = dim_upper(t, d->arg[i]))) {
            arg[i] = dim_upper(t, d->arg[1 - i]);       /* min(unbounded, b) <= b */
            return arg[i];
        }
        if (d->op == DIM_MOD && i == 0) {
            arg[0] = d->arg[1];
            return dim_from_data(t, arg[0]) ? NULL : arg[0];
        }
        if (must_be_fixed && dim_from_data(t, d->arg[i])) {
            if (d->op == DIM_MUL && dim_nonneg(dim_mulk(t, d, -1)))
                return dim_const(t, 0);                 /* -k * (something >= 0) is at most 0 */
            return NULL;
        }
        arg[i] = dim_upper(t, d->arg[i]);
        if (!arg[i])
            return NULL;
    }
    if (d->op == DIM_BCAST)
        return dim_max(t, arg[0], arg[1]);              /* whichever is 1 when the model runs */
    return rebuild(t, d, arg);
}

typedef struct DataSeen {
    const DimTable *t;
    bool seen;
} DataSeen;

static void see_data(void *ctx, int sym)
{
    DataSeen *s = ctx;
    s->seen |= s->t->sym[sym].from_data;
}

bool dim_from_data(const DimTable *t, Dim d)
{
    DataSeen s = { t, false };
    dim_symbols_used(d, see_data, &s);
    return s.seen;
}

void dim_symbols_used(Dim d, void (*see)(void *ctx, int sym), void *ctx)
{
    if (d->op == DIM_SYM)
        see(ctx, (int)d->k);
    for (int i = 0; i < d->nargs; i++)
        dim_symbols_used(d->arg[i], see, ctx);
}

int64_t dim_eval(Dim d, const int64_t *syms)
{
    uint64_t r = (uint64_t)d->k;
    int64_t a, b;
    switch (d->op) {
    case DIM_CONST: return d->k;
    case DIM_SYM: return syms[d->k];
    case DIM_ADD:
        for (int i = 0; i < d->nargs; i++)
            r += (uint64_t)dim_eval(d->arg[i], syms);
        return (int64_t)r;
    case DIM_MUL:
        for (int i = 0; i < d->nargs; i++)
            r *= (uint64_t)dim_eval(d->arg[i], syms);
        return (int64_t)r;
    default: break;
    }
    a = dim_eval(d->arg[0], syms);
    b = dim_eval(d->arg[1], syms);
    switch (d->op) {
    case DIM_DIV: return b ? floor_div(a, b) : 0;
    case DIM_MOD: return b ? wrap_add(a, wrap_mul(-1, wrap_mul(b, floor_div(a, b)))) : 0;
    case DIM_MAX: return a > b ? a : b;
    case DIM_MIN: return a < b ? a : b;
    case DIM_WRAP: return a < 0 ? wrap_add(a, b) : a;
    default: return a == 1 ? b : a;
    }
}

/* ---- text: sums and products infix, the rest as calls: `2*N+1`, `div(N+1,2)`, `max(N,M)` ---- */

static const char *const call_name[] = { [DIM_DIV] = "div", [DIM_MOD] = "mod", [DIM_MAX] = "max", [DIM_MIN] = "min",
                                         [DIM_WRAP] = "wrap", [DIM_BCAST] = "bcast" };

const char *dim_print(DimTable *t, Arena *a, Dim d)
{
    const char *s;
    switch (d->op) {
    case DIM_CONST: return arena_printf(a, "%lld", (long long)d->k);
    case DIM_SYM: return t->sym[d->k].name;
    case DIM_MUL:
        s = d->k == 1 ? "" : arena_printf(a, "%lld*", (long long)d->k);
        for (int i = 0; i < d->nargs; i++)
            s = arena_printf(a, d->arg[i]->op == DIM_ADD ? "%s(%s)%s" : "%s%s%s", s, dim_print(t, a, d->arg[i]), i + 1 < d->nargs ? "*" : "");
        return s;
    case DIM_ADD:
        s = "";
        for (int i = 0; i < d->nargs; i++)
            s = arena_printf(a, "%s%s%s", s, i && !(d->arg[i]->op == DIM_MUL && d->arg[i]->k < 0) ? "+" : "", dim_print(t, a, d->arg[i]));
        return d->k ? arena_printf(a, "%s%s%lld", s, d->k > 0 ? "+" : "", (long long)d->k) : s;
    default:
        return arena_printf(a, "%s(%s,%s)", call_name[d->op], dim_print(t, a, d->arg[0]), dim_print(t, a, d->arg[1]));
    }
}

static Dim parse_sum(DimTable *t, const char **s, int depth);

static Dim apply_call(DimTable *t, const char *name, Dim a, Dim b)
{
    if (!strcmp(name, "div")) return dim_div(t, a, b);
    if (!strcmp(name, "mod")) return dim_mod(t, a, b);
    if (!strcmp(name, "max")) return dim_max(t, a, b);
    if (!strcmp(name, "min")) return dim_min(t, a, b);
    if (!strcmp(name, "wrap")) return dim_wrap(t, a, b);
    if (!strcmp(name, "bcast")) return dim_bcast(t, a, b);
    return NULL;
}

static Dim parse_factor(DimTable *t, const char **s, int depth)
{
    if (depth > 64)
        return NULL;
    if (isdigit((unsigned char)**s) || **s == '-') {
        char *end;
        if (**s == '-' && !isdigit((unsigned char)(*s)[1])) {
            ++*s;
            Dim d = parse_factor(t, s, depth + 1);
            return d ? dim_mulk(t, d, -1) : NULL;
        }
        long long k = strtoll(*s, &end, 10);
        *s = end;
        return dim_const(t, k);
    }
    if (**s == '(') {
        ++*s;
        Dim d = parse_sum(t, s, depth + 1);
        if (!d || **s != ')')
            return NULL;
        ++*s;
        return d;
    }
    const char *from = *s;
    while (isalnum((unsigned char)**s) || **s == '_')
        ++*s;
    if (*s == from)
        return NULL;
    const char *name = arena_strn(t->arena, from, (size_t)(*s - from));
    if (**s != '(')
        return dim_symbol(t, name);
    ++*s;
    Dim a = parse_sum(t, s, depth + 1);
    if (!a || **s != ',')
        return NULL;
    ++*s;
    Dim b = parse_sum(t, s, depth + 1);
    if (!b || **s != ')')
        return NULL;
    ++*s;
    return apply_call(t, name, a, b);
}

static Dim parse_product(DimTable *t, const char **s, int depth)
{
    Dim d = parse_factor(t, s, depth);
    while (d && **s == '*') {
        ++*s;
        Dim f = parse_factor(t, s, depth);
        d = f ? dim_mul(t, d, f) : NULL;
    }
    return d;
}

static Dim parse_sum(DimTable *t, const char **s, int depth)
{
    Dim d = parse_product(t, s, depth);
    while (d && (**s == '+' || **s == '-')) {
        bool minus = *(*s)++ == '-';
        Dim x = parse_product(t, s, depth);
        d = !x ? NULL : minus ? dim_sub(t, d, x) : dim_add(t, d, x);
    }
    return d;
}

Dim dim_parse(DimTable *t, const char **text)
{
    return parse_sum(t, text, 0);
}
