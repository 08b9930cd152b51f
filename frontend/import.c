/* import.c -- an ONNX model file to a Module: graph inputs, initialisers, nodes, local functions, subgraphs, outputs.
 *
 * onnx_import reads top to bottom as the phases of an import. Everything a file may say is checked here or in an importer function; what is
 * wrong or missing is reported, and the import goes on with the nodes that do not depend on it, so that one run shows all problems.
 *
 * import_state.h draws the picture of calls and scopes; read it first.
 */
#include <ctype.h>
#include <string.h>

#include "import_state.h"

enum {
    MAX_OPSET = 28,
    MAX_IR_VERSION = 13,
    MAX_NODES = 1 << 18,            /* functions inlined */
    MAX_ERRORS = 100,               /* more of them help nobody */
    MAX_COUNT_BITS = 48             /* elements of an input */
};

/* ---- operators, operator sets and functions ---- */

static const OnnxOp onnx_ops[] = {
#define ONNX(domain, name, min_opset, max_opset, import_fn) { domain, #name, min_opset, max_opset, import_fn },
#include "onnx_ops.def"
};

const char *domain_tidy(const char *domain)
{
    return strcmp(domain, "ai.onnx") ? domain : "";
}

const OnnxOp *onnx_op_find(const char *domain, const char *name, int64_t opset)
{
    for (size_t i = 0; i < sizeof onnx_ops / sizeof *onnx_ops; i++) {
        const OnnxOp *op = &onnx_ops[i];
        bool fits = opset < 0 || (opset >= op->min_opset && (!op->max_opset || opset <= op->max_opset));
        if (fits && !strcmp(op->name, name) && !strcmp(op->domain, domain))
            return op;
    }
    return NULL;
}

static int64_t opset_among(size_t n, Onnx__OperatorSetIdProto **set, const char *domain)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(domain_tidy(set[i]->domain), domain))
            return set[i]->version;
    return -1;
}

int64_t opset_of(const ImportState *s, const Call *call, const char *domain)
{
    int64_t v = opset_among(call->nopset, call->opset, domain);
    if (v < 0)
        v = opset_among(s->model->n_opset_import, s->model->opset_import, domain);
    return v < 0 && s->model->ir_version < 3 ? 1 : v;       /* before IR version 3 there was but one operator set */
}

static const char *function_key(ImportState *s, const char *domain, const char *name, const char *overload)
{
    return arena_printf(s->arena, "%s:%s:%s", domain_tidy(domain), name, overload);
}

const Onnx__FunctionProto *function_find(ImportState *s, const Onnx__NodeProto *p)
{
    return s->model->n_functions ? names_get(&s->functions, function_key(s, p->domain, p->op_type, p->overload)) : NULL;
}

const char *node_label(const ImportState *s, const Onnx__NodeProto *p, size_t index)
{
    return p->name[0] ? p->name : arena_printf(s->arena, "%s #%zu", p->op_type, index);
}

bool is_graph_attr(const Onnx__AttributeProto *a)
{
    return a->g && !a->ref_attr_name[0];
}

static bool state_fail(ImportState *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool state_fail(ImportState *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(s->arena, fmt, ap);
    va_end(ap);
    return diag_error(s->diag, (Loc){ .file = s->m->file }, "%s", what);
}

/* ---- names ---- */

typedef enum Found { FOUND, UNKNOWN, BROKEN, GUESSED } Found;

static Builder builder_at_end(ImportState *s, Graph *g, const char *node)
{
    return (Builder){ s->m, g, NULL, { .file = s->m->file, .node = node } };
}

/* Give `name` a meaning in the scope; a second meaning is an error. */
static Name *scope_add(ImportState *s, Scope *sc, const char *name)
{
    if (names_get(&sc->names, name)) {
        state_fail(s, "tensor '%s' is defined a second time", name);
        return NULL;
    }
    Name *n = ARENA_NEW(s->arena, Name);
    names_put(s->arena, &sc->names, name, n);
    return n;
}

/* The constant of an initialiser, made where it is first used. */
static void make_constant(ImportState *s, Scope *sc, const char *key, Name *n)
{
    Builder b = builder_at_end(s, sc->g, NULL);
    const Tensor *t = n->tensor ? tensor_read(&s->reader, n->tensor, b.loc) : tensor_read_sparse(&s->reader, n->sparse, b.loc);
    n->val = mk_tensor(&b, t);
    if (n->val)
        n->val->name = arena_printf(s->arena, "%s%s", sc->call->path, key);
    n->broken = !n->val;
}

static Node *first_non_input(const Graph *g)
{
    Node *n = g->first;
    while (n && n->op == OP_input)
        n = n->next;
    return n;
}

/* A new input of graph g that stands for a value of the graph around it. */
static Value *capture_input(ImportState *s, Graph *g, int index, const Value *outer)
{
    Node *n = node_new(g, first_non_input(g), OP_input, 0, NULL, &(Attr_input){ .index = index }, -1, (Loc){ .file = s->m->file });
    Value *v = node_out(n);
    v->type = outer->type;
    v->known = outer->known;
    v->name = outer->name;
    return v;
}

static Value *input_at(const Graph *g, int index)
{
    for (Node *n = g->first; n && n->op == OP_input; n = n->next)
        if (NODE_ATTR(n, input)->index == index)
            return node_out(n);
    return NULL;
}

static int captures_index(ImportState *s, Captures *c, Value *outer)
{
    for (int i = 0; i < c->n; i++)
        if (c->outer[i] == outer)
            return i;
    if (c->n == c->room) {
        Value **grown = ARENA_ARRAY(s->arena, Value *, 2 * c->room + 8);
        if (c->n)
            memcpy(grown, c->outer, (size_t)c->n * sizeof *grown);
        c->outer = grown, c->room = 2 * c->room + 8;
    }
    c->outer[c->n] = outer;
    return c->n++;
}

/* An outer value inside the scope's graph. What is constant, or a known size, is made again, so that importers still see what it is. */
static Value *capture(ImportState *s, Scope *sc, Value *outer)
{
    Builder b = builder_at_end(s, sc->g, NULL);
    const Tensor *t = value_fold(s->m, outer);
    if (t)
        return mk_tensor(&b, t);
    if (outer->def->nin == 0 && outer->def->op != OP_input)
        return &node_clone(sc->g, NULL, outer->def, NULL)->out[outer->index];
    int index = sc->nown + captures_index(s, sc->captures, outer);
    Value *v = input_at(sc->g, index);
    return v ? v : capture_input(s, sc->g, index, outer);
}

/* *out: the value in the scope's graph; NULL for an optional input the caller of a function left out. Of what is BROKEN: a stand-in
 * of the declared type, or NULL; of what is GUESSED: a stand-in. */
static Found scope_find(ImportState *s, Scope *sc, const char *key, Value **out)
{
    Name *n = names_get(&sc->names, key);
    *out = NULL;
    if (!n) {
        Found f = sc->outer ? scope_find(s, sc->outer, key, out) : UNKNOWN;
        if (!*out || sc->g == sc->outer->g)
            return f;
        n = scope_add(s, sc, key);
        n->val = capture(s, sc, *out);
        n->broken = f != FOUND;
        n->guessed = f == GUESSED;
    }
    if (!n->val && !n->broken && !n->absent)
        make_constant(s, sc, key, n);
    *out = n->val;
    return n->guessed ? GUESSED : n->broken ? BROKEN : FOUND;
}

static bool is_overridable(const ImportState *s, const char *name)
{
    for (int i = 0; i < s->opt->noverridable; i++)
        if (!strcmp(s->opt->overridable[i], name))
            return true;
    return false;
}

static bool add_initialisers(ImportState *s, Scope *sc, const Onnx__GraphProto *g)
{
    bool ok = true;
    for (size_t i = 0; i < g->n_initializer; i++) {
        if (!sc->outer && is_overridable(s, g->initializer[i]->name))
            continue;
        Name *n = scope_add(s, sc, g->initializer[i]->name);
        if (n)
            n->tensor = g->initializer[i];
        ok &= n != NULL;
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const Onnx__SparseTensorProto *p = g->sparse_initializer[i];
        Name *n = p->values ? scope_add(s, sc, p->values->name) : NULL;
        if (!p->values)
            state_fail(s, "sparse initialiser %zu has no values", i);
        if (n)
            n->sparse = p;
        ok &= n != NULL;
    }
    return ok;
}

/* ---- types ---- */

static Dim fix_symbol(ImportState *s, const char *spelled, Dim symbol)
{
    const char *name = dim_symbol_at(s->m->dims, (int)symbol->k)->name;
    for (int i = 0; i < s->opt->nfixed; i++)
        if (!strcmp(s->opt->fixed_name[i], spelled) || !strcmp(s->opt->fixed_name[i], name)) {
            s->fixed_used[i] = true;
            return dim_const(s->m->dims, s->opt->fixed_value[i]);
        }
    return symbol;
}

/* The IR spells symbols as C identifiers; two names of the model must not become one. */
static Dim symbol_named(ImportState *s, const char *spelled)
{
    Dim known = names_get(&s->symbols, spelled);
    if (known)
        return known;
    Dim d = dim_symbol(s->m->dims, spelled);
    for (int k = 2; names_get(&s->symbol_owner, dim_symbol_at(s->m->dims, (int)d->k)->name); k++)
        d = dim_symbol(s->m->dims, arena_printf(s->arena, "%s_%d", spelled, k));
    names_put(s->arena, &s->symbol_owner, dim_symbol_at(s->m->dims, (int)d->k)->name, s);
    d = fix_symbol(s, spelled, d);
    names_put(s->arena, &s->symbols, spelled, (void *)(uintptr_t)d);
    return d;
}

/* Names that writers give to every unknown size alike. */
static bool is_anonymous(const char *param)
{
    return !param[0] || !strcmp(param, "?") || !strcmp(param, "None") || !strcmp(param, "-1");
}

/* A size of 0 is how some writers say "unknown". Only a list of no integers (axes, sizes) is taken by its word. */
static Dim dim_of(ImportState *s, const Onnx__TensorShapeProto__Dimension *p, const char *owner, size_t axis, bool list)
{
    bool named = p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && !is_anonymous(p->dim_param);
    bool valued = p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    if (valued && p->dim_value >= (list ? 0 : 1))
        return dim_const(s->m->dims, p->dim_value);
    return symbol_named(s, named ? p->dim_param : arena_printf(s->arena, "%s_%zu", owner, axis));
}

static bool tensor_type_of(ImportState *s, const Onnx__TypeProto__Tensor *p, const char *owner, Type *out)
{
    DType t = dtype_from_onnx(p->elem_type);
    Dim dim[MAX_RANK];
    int64_t count = 1;
    if (!t)
        return state_fail(s, "input '%s' has element type %d, which is not known", owner, p->elem_type);
    if (!p->shape)
        return state_fail(s, "input '%s' has no shape; inputs of unknown rank are not supported", owner);
    if (p->shape->n_dim > MAX_RANK)
        return state_fail(s, "input '%s' has %zu dimensions; at most %d are supported", owner, p->shape->n_dim, MAX_RANK);
    for (size_t i = 0; i < p->shape->n_dim; i++) {
        dim[i] = dim_of(s, p->shape->dim[i], owner, i, t == DT_i64 && p->shape->n_dim == 1);
        if (dim_is_const(dim[i]) && (__builtin_mul_overflow(count, dim[i]->k, &count) || count >> MAX_COUNT_BITS))
            return state_fail(s, "input '%s' has impossibly large dimensions", owner);
    }
    *out = type_tensor(s->m, t, (int)p->shape->n_dim, dim);
    return true;
}

static bool type_of(ImportState *s, const Onnx__TypeProto *p, const char *owner, Type *out);

/* Sizes of an item that are not numbers may be others for the next item; so may its rank, where the file does not say it. */
static bool item_type_of(ImportState *s, const Onnx__TypeProto *p, const char *owner, Type *out)
{
    const Onnx__TypeProto__Tensor *t = p && p->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? p->tensor_type : NULL;
    if (!t || t->shape)
        return type_of(s, p, owner, out);
    *out = (Type){ .kind = TY_TENSOR, .dtype = dtype_from_onnx(t->elem_type), .rank = -1 };
    return out->dtype || state_fail(s, "input '%s' has items of element type %d, which is not known", owner, t->elem_type);
}

/* Values of a map are single elements, whatever shape the file gives them. */
static bool map_type_of(ImportState *s, const Onnx__TypeProto__Map *p, const char *owner, Type *out)
{
    const Onnx__TypeProto *v = p->value_type;
    DType key = dtype_from_onnx(p->key_type), value = v && v->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? dtype_from_onnx(v->tensor_type->elem_type) : DT_none;
    if (!value || (key != DT_str && key != DT_i64))
        return state_fail(s, "input '%s' is a map of keys that are neither i64 nor text, or of values that are not single elements; that is not supported", owner);
    Type item = type_tensor(s->m, value, 0, NULL);
    *out = type_of_container(s->m, TY_MAP, &item);
    out->dtype = key;
    return true;
}

static bool type_of(ImportState *s, const Onnx__TypeProto *p, const char *owner, Type *out)
{
    Type item;
    if (!p || p->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET)
        return state_fail(s, "input '%s' has no type", owner);
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        return tensor_type_of(s, p->tensor_type, owner, out);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        if (!item_type_of(s, p->sequence_type->elem_type, owner, &item))
            return false;
        *out = type_of_container(s->m, TY_SEQUENCE, &item);
        return true;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        if (!item_type_of(s, p->optional_type->elem_type, owner, &item))
            return false;
        *out = type_of_container(s->m, TY_OPTIONAL, &item);
        return true;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        return map_type_of(s, p->map_type, owner, out);
    default:
        return state_fail(s, "input '%s' is a sparse tensor, which is not supported", owner);
    }
}

bool attr_type(const Importer *c, const char *name, Type *out)
{
    const Onnx__AttributeProto *a = proto_attr(c, name);
    return a && a->tp && item_type_of(c->state, a->tp, c->b.loc.node, out);
}

/* ---- inputs ---- */

static bool add_input(ImportState *s, Scope *sc, const char *name, const Type *type, int index)
{
    Name *n = scope_add(s, sc, name);
    if (!n)
        return false;
    Loc loc = { .file = s->m->file };
    n->val = node_out(node_new(sc->g, NULL, OP_input, 0, NULL, &(Attr_input){ .index = index }, -1, loc));
    n->val->type = *type;
    n->val->name = name;
    return true;
}

static bool add_broken(ImportState *s, Scope *sc, const char *name)
{
    Name *n = scope_add(s, sc, name);
    if (n)
        n->broken = true;
    return false;
}

/* An initialiser that is listed as an input is a constant, unless the user wants to set it. */
static bool is_initialiser(const ImportState *s, const NameTable *initialisers, const char *name)
{
    return names_get(initialisers, name) && !is_overridable(s, name);
}

static bool check_overridable(ImportState *s, const NameTable *inputs, const NameTable *initialisers)
{
    for (int i = 0; i < s->opt->noverridable; i++) {
        const char *name = s->opt->overridable[i];
        if (!names_get(inputs, name) || !names_get(initialisers, name))
            return state_fail(s, "'%s' cannot be overridden: it is not both an input and an initialiser of the model", name);
    }
    return true;
}

static bool check_fixed(ImportState *s)
{
    for (int i = 0; i < s->opt->nfixed; i++)
        if (!s->fixed_used[i]) {
            const char *has = "";
            for (int k = 0; k < dim_symbol_count(s->m->dims); k++)
                has = arena_printf(s->arena, "%s%s%s", has, k ? ", " : "", dim_symbol_at(s->m->dims, k)->name);
            return state_fail(s, "no input has a dimension named '%s' (there are: %s)", s->opt->fixed_name[i], has[0] ? has : "none");
        }
    return true;
}

static bool import_inputs(ImportState *s, Scope *sc)
{
    const Onnx__GraphProto *g = s->model->graph;
    NameTable initialisers = { 0 }, inputs = { 0 };
    bool ok = true;
    int index = 0;
    for (size_t i = 0; i < g->n_initializer; i++)
        names_put(s->arena, &initialisers, g->initializer[i]->name, s);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (g->sparse_initializer[i]->values)
            names_put(s->arena, &initialisers, g->sparse_initializer[i]->values->name, s);
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = g->input[i]->name;
        Type type;
        names_put(s->arena, &inputs, name, s);
        if (is_initialiser(s, &initialisers, name))
            continue;
        if (type_of(s, g->input[i]->type, name, &type))
            ok &= add_input(s, sc, name, &type, index++);
        else
            ok = add_broken(s, sc, name);
    }
    return check_overridable(s, &inputs, &initialisers) && check_fixed(s) && ok;
}

/* ---- nodes ---- */

static bool import_body(ImportState *s, Scope *sc, size_t n, Onnx__NodeProto **node);

/* What attribute references in the body mean: what the node gives, else the function's default. */
static void bind_attributes(Importer *c, Call *call)
{
    Arena *a = c->state->arena;
    const Onnx__NodeProto *p = c->proto;
    for (size_t i = 0; i < call->fn->n_attribute_proto; i++)
        names_put(a, &call->attr, call->fn->attribute_proto[i]->name, call->fn->attribute_proto[i]);
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *given = proto_attr(c, p->attribute[i]->name);
        if (given)
            names_put(a, &call->attr, p->attribute[i]->name, (void *)(uintptr_t)given);
    }
}

static bool bind_parameters(Importer *c, const Onnx__FunctionProto *fn, Scope *body)
{
    for (size_t i = 0; i < fn->n_input; i++) {
        Name *n = scope_add(c->state, body, fn->input[i]);
        if (!n)
            return false;
        n->val = in(c, (int)i);
        n->absent = !n->val;
    }
    return true;
}

static bool take_results(Importer *c, const Onnx__FunctionProto *fn, Scope *body)
{
    for (int i = 0; i < out_count(c); i++) {
        Value *v;
        Found f = scope_find(c->state, body, fn->output[i], &v);
        if (f == UNKNOWN)
            return import_fail(c, "the local function does not define its output '%s'", fn->output[i]);
        if (out_wanted(c, i) && !set_out(c, i, v))
            return false;
    }
    return true;
}

/* The body of a local function in place of the node that calls it. */
static bool import_call(Importer *c, const Onnx__FunctionProto *fn)
{
    ImportState *s = c->state;
    Scope *caller = s->scope;
    Call call = { .fn = fn, .nopset = fn->n_opset_import, .opset = fn->opset_import, .depth = caller->call->depth + 1 };
    Scope body = { .g = c->b.g, .call = &call };
    if (call.depth > MAX_CALL_DEPTH) {
        c->b.loc.node = strrchr(c->b.loc.node, '/') + 1;    /* not the whole chain of calls */
        return import_fail(c, "local functions call each other more than %d deep", MAX_CALL_DEPTH);
    }
    if ((size_t)in_count(c) > fn->n_input || (size_t)out_count(c) > fn->n_output)
        return import_fail(c, "the node has more inputs or outputs than the local function of that name");
    call.path = arena_printf(s->arena, "%s/", c->b.loc.node);
    bind_attributes(c, &call);
    bool ok = bind_parameters(c, fn, &body) && import_body(s, &body, fn->n_node, fn->node);
    s->scope = caller;
    return ok && take_results(c, fn, &body);
}

/* Values of the node's inputs. False if one is missing; silently where that has been reported already. *worst: of what kind the worst of them is. */
static bool resolve_inputs(Importer *c, const Onnx__NodeProto *p, Found *worst)
{
    Value **input = ARENA_ARRAY(c->m->arena, Value *, p->n_input + 1);
    c->input = input;
    for (size_t i = 0; i < p->n_input; i++) {
        Found f = p->input[i][0] ? scope_find(c->state, c->state->scope, p->input[i], &input[i]) : FOUND;
        if (f == UNKNOWN)
            return import_fail(c, "input '%s' is produced by no node, and is no input or initialiser of the graph", p->input[i]);
        if (f == BROKEN && !input[i])
            return false;
        *worst = f > *worst ? f : *worst;
    }
    return true;
}

static bool all_outputs_set(Importer *c, const Onnx__NodeProto *p)
{
    for (size_t i = 0; i < p->n_output; i++)
        if (p->output[i][0] && !c->result[i])
            return import_unsupported(c, "output %zu", i);
    return true;
}

static bool run_importer(Importer *c, const Onnx__NodeProto *p)
{
    const Onnx__FunctionProto *fn = function_find(c->state, p);
    const OnnxOp *op = fn ? NULL : onnx_op_find(c->domain, c->op, c->opset);
    int errors = c->m->diag->errors;
    if (!fn && !op)
        return false;               /* gaps_report said so */
    bool ok = fn ? import_call(c, fn) : op->import(c);
    if (c->m->diag->errors != errors)
        return false;
    return ok ? all_outputs_set(c, p) : import_fail(c, "an input that the operator needs is missing");
}

/* In the order in which they were found. */
static void say_doubts(Diag *d, Doubt *last)
{
    Doubt *first = NULL;
    while (last) {
        Doubt *before = last->next;
        last->next = first;
        first = last;
        last = before;
    }
    for (; first; first = first->next)
        diag_error(d, first->loc, "%s", first->what);
}

/* Of a node with an operand of a guessed type nothing is said but what is not supported: the rest may be the guess's fault. */
static bool run_doubtful(Importer *c, const Onnx__NodeProto *p)
{
    ImportState *s = c->state;
    Diag *d = s->diag, said = *d;
    bool stop = s->stop, outermost = !s->doubting;
    d->out = NULL;
    s->doubting = true;
    run_importer(c, p);
    *d = said;
    s->stop = stop;
    if (!outermost)
        return false;
    s->doubting = false;
    say_doubts(d, s->doubts);
    s->doubts = NULL;
    return false;
}

static const Onnx__ValueInfoProto *info_among(size_t n, Onnx__ValueInfoProto **info, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(info[i]->name, name))
            return info[i];
    return NULL;
}

typedef struct Declared { ImportState *s; const Onnx__ValueInfoProto *info; Type type; } Declared;

static bool read_declared(void *ctx)
{
    Declared *d = ctx;
    return d->info && type_of(d->s, d->info->type, d->info->name, &d->type);
}

static bool declared_type(Importer *c, const char *name, Type *out)
{
    const Onnx__GraphProto *g = c->state->scope->proto;
    Declared d = { .s = c->state, .info = g ? info_among(g->n_value_info, g->value_info, name) : NULL };
    if (g && !d.info)
        d.info = info_among(g->n_output, g->output, name);
    bool ok = import_quietly(c, read_declared, &d);
    *out = d.type;
    return ok;
}

bool out_declared(Importer *c, int i, Type *out)
{
    const Onnx__NodeProto *p = c->proto;
    return out_wanted(c, i) && declared_type(c, p->output[i], out);
}

/* In place of a result that could not be imported: what the model declares it to be, else something like the first operand, so that one run also
 * finds what else is not supported. */
static Name stand_in(Importer *c, const char *name, Value *made)
{
    Type declared;
    if (made)
        return (Name){ .val = made, .broken = true, .guessed = true };
    bool guessed = !declared_type(c, name, &declared);
    if (guessed && (!c->input || !in(c, 0)))
        return (Name){ .broken = true };
    Value *v = node_out(node_new(c->b.g, NULL, OP_input, 0, NULL, &(Attr_input){ .index = -1 }, -1, c->b.loc));
    v->type = guessed ? in(c, 0)->type : declared;
    return (Name){ .val = v, .broken = true, .guessed = guessed };
}

static bool import_node(ImportState *s, Scope *sc, const Onnx__NodeProto *p, size_t index)
{
    Importer c = { .m = s->m, .proto = p, .op = p->op_type, .domain = domain_tidy(p->domain), .state = s };
    Found operands = s->doubting ? GUESSED : FOUND;
    c.b = builder_at_end(s, sc->g, arena_printf(s->arena, "%s%s", sc->call->path, node_label(s, p, index)));
    c.opset = opset_of(s, sc->call, c.domain);
    c.result = ARENA_ARRAY(s->arena, Value *, p->n_output + 1);
    s->scope = sc;
    if (s->nodes_left-- <= 0) {
        s->stop = true;
        return import_fail(&c, "the model has more than %d nodes when its functions are inlined", MAX_NODES);
    }
    bool ok = resolve_inputs(&c, p, &operands) && (operands == GUESSED ? run_doubtful(&c, p) : run_importer(&c, p)) && operands == FOUND;
    s->scope = sc;
    for (size_t i = 0; i < p->n_output; i++)
        if (p->output[i][0]) {
            Name *n = scope_add(s, sc, p->output[i]);
            if (!n)
                return false;
            *n = ok ? (Name){ .val = c.result[i] } : stand_in(&c, p->output[i], c.result[i]);
        }
    return ok;
}

static bool import_body(ImportState *s, Scope *sc, size_t n, Onnx__NodeProto **node)
{
    const size_t *order = nodes_order(s, sc, n, node);
    bool ok = order != NULL;
    for (size_t i = 0; order && i < n && !s->stop; i++) {
        ok &= import_node(s, sc, node[order[i]], order[i]);
        s->stop |= s->diag->errors > MAX_ERRORS;
    }
    return ok && !s->stop;
}

static bool collect_outputs(ImportState *s, Scope *sc, const Onnx__GraphProto *g, Value **out, const char **name)
{
    bool ok = true;
    for (size_t i = 0; i < g->n_output; i++) {
        name[i] = g->output[i]->name;
        Found f = scope_find(s, sc, name[i], &out[i]);
        if (f == UNKNOWN || (f == FOUND && !out[i]))
            state_fail(s, "the graph output '%s' is produced by no node", name[i]);
        ok &= f == FOUND && out[i];
    }
    return ok;
}

static bool import_return(ImportState *s, Scope *sc, const Onnx__GraphProto *g)
{
    Value **out = ARENA_ARRAY(s->arena, Value *, g->n_output + 1);
    const char **name = ARENA_ARRAY(s->arena, const char *, g->n_output + 1);
    if (!collect_outputs(s, sc, g, out, name))
        return false;
    Attr_return attrs = { .names = { (int)g->n_output, name } };
    return node_new(sc->g, NULL, OP_return, (int)g->n_output, out, &attrs, -1, (Loc){ .file = s->m->file }) != NULL;
}

/* ---- regions ---- */

static const Onnx__GraphProto *graph_attr(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = proto_attr(c, name);
    return a ? a->g : NULL;
}

int region_results(const Importer *c, const char *name)
{
    const Onnx__GraphProto *g = graph_attr(c, name);
    return g ? (int)g->n_output : 0;
}

Graph *import_region(Importer *c, const char *name, const Type *own, int nown, Captures *captures)
{
    ImportState *s = c->state;
    const Onnx__GraphProto *p = graph_attr(c, name);
    Scope *outer = s->scope;
    if (!p || p->n_input != (size_t)nown) {
        import_fail(c, p ? "the subgraph '%s' does not have %d inputs" : "there is no subgraph '%s'", name, nown);
        return NULL;
    }
    Scope inner = { .outer = outer, .g = graph_new(s->m, c->b.g), .call = outer->call, .captures = captures, .nown = nown, .proto = p };
    bool ok = true;
    for (int i = 0; i < nown; i++)
        ok &= add_input(s, &inner, p->input[i]->name, &own[i], i);
    ok = ok && add_initialisers(s, &inner, p) && import_body(s, &inner, p->n_node, p->node) && import_return(s, &inner, p);
    s->scope = outer;
    return ok ? inner.g : NULL;
}

void import_region_finish(Importer *c, Graph *region, const Type *own, int nown, const Captures *captures)
{
    Node *body = first_non_input(region);
    for (int i = 0; i < nown + captures->n; i++) {
        Value *v = input_at(region, i);
        Value like = { .type = i < nown ? own[i] : captures->outer[i - nown]->type };
        if (!v)
            v = capture_input(c->state, region, i, i < nown ? &like : captures->outer[i - nown]);
        node_move(v->def, body);
    }
}

struct Region {
    Scope scope;
    Scope *outer;
    Graph *around;
};

Region *import_region_open(Importer *c, const Type *own, int nown, Captures *captures)
{
    ImportState *s = c->state;
    Region *r = ARENA_NEW(s->arena, Region);
    *r = (Region){ .outer = s->scope, .around = c->b.g };
    r->scope = (Scope){ .outer = s->scope, .g = graph_new(s->m, c->b.g), .call = s->scope->call, .captures = captures, .nown = nown };
    for (int i = 0; i < nown; i++) {
        Value like = { .type = own[i] };
        capture_input(s, r->scope.g, i, &like);
    }
    s->scope = &r->scope;
    c->b.g = r->scope.g;
    return r;
}

Value *import_region_input(Region *r, int i)
{
    return input_at(r->scope.g, i);
}

Value *import_region_capture(Importer *c, Region *r, Value *outer)
{
    return capture(c->state, &r->scope, outer);
}

Graph *import_region_close(Importer *c, Region *r, int n, Value *const *result)
{
    c->state->scope = r->outer;
    c->b.g = r->around;
    for (int i = 0; i < n; i++)
        if (!result[i])
            return NULL;
    return node_new(r->scope.g, NULL, OP_return, n, result, &(Attr_return){ .names = { 0, NULL } }, -1, c->b.loc) ? r->scope.g : NULL;
}

bool import_quietly(Importer *c, bool (*try)(void *ctx), void *ctx)
{
    ImportState *s = c->state;
    Diag *d = s->diag, said = *d;
    bool stop = s->stop;
    Doubt *doubts = s->doubts;
    d->out = NULL;
    bool ok = try(ctx);
    *d = said;
    s->stop = stop;
    s->doubts = doubts;
    return ok;
}

bool import_region_apply(Importer *c, const char *name, int nin, Value *const *given, int n, Value **out)
{
    ImportState *s = c->state;
    const Onnx__GraphProto *p = graph_attr(c, name);
    Scope *outer = s->scope;
    if (!p || p->n_input != (size_t)nin || p->n_output != (size_t)n)
        return import_fail(c, p ? "the subgraph '%s' does not take %d inputs and give %d results" : "there is no subgraph '%s'", name, nin, n);
    Scope inner = { .outer = outer, .g = c->b.g, .call = outer->call, .captures = outer->captures, .nown = outer->nown, .proto = p };
    const char **names = ARENA_ARRAY(s->arena, const char *, n + 1);
    bool ok = true;
    for (int i = 0; ok && i < nin; i++) {
        Name *own = scope_add(s, &inner, p->input[i]->name);
        ok = own != NULL;
        if (own)
            own->val = given[i];
    }
    ok = ok && add_initialisers(s, &inner, p) && import_body(s, &inner, p->n_node, p->node) && collect_outputs(s, &inner, p, out, names);
    s->scope = outer;
    return ok;
}

bool import_region_inline(Importer *c, const char *name, int n, Value **out)
{
    return import_region_apply(c, name, 0, NULL, n, out);
}

/* ---- the model ---- */

static bool check_versions(ImportState *s)
{
    const Onnx__ModelProto *p = s->model;
    if (p->ir_version > MAX_IR_VERSION)
        return state_fail(s, "the file has IR version %lld; up to %d is supported", (long long)p->ir_version, MAX_IR_VERSION);
    int64_t v = opset_among(p->n_opset_import, p->opset_import, "");
    if (v > MAX_OPSET || v == 0 || v < -1)
        return state_fail(s, "the model uses version %lld of the operator set; 1 to %d are supported", (long long)v, MAX_OPSET);
    return true;
}

static void index_functions(ImportState *s)
{
    for (size_t i = 0; i < s->model->n_functions; i++) {
        Onnx__FunctionProto *f = s->model->functions[i];
        names_put(s->arena, &s->functions, function_key(s, f->domain, f->name, f->overload), f);
    }
}

/* What the model says of its outputs must agree with what was inferred; only what is certain is compared. */
static void check_outputs(ImportState *s)
{
    const Onnx__GraphProto *g = s->model->graph;
    const Node *ret = graph_return(s->m->graph);
    for (size_t i = 0; i < g->n_output; i++) {
        const Onnx__TypeProto *p = g->output[i]->type;
        const Type *t = &ret->in[i].val->type;
        if (!p || p->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || t->kind != TY_TENSOR)
            continue;
        const Onnx__TensorShapeProto *shape = p->tensor_type->shape;
        bool differs = p->tensor_type->elem_type && p->tensor_type->elem_type != dtype_table[t->dtype].onnx;
        for (size_t k = 0; shape && shape->n_dim == (size_t)t->rank && k < shape->n_dim; k++)
            differs |= shape->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && shape->dim[k]->dim_value > 0 &&
                       dim_is_const(t->dim[k]) && t->dim[k]->k != shape->dim[k]->dim_value;
        if (differs)
            diag_warn(s->diag, (Loc){ .file = s->m->file }, "output '%s' is %s, which is not what the model declares", g->output[i]->name,
                      type_print(s->m, s->arena, t));
    }
}

/* The file's name without folder and ending, as a C identifier. */
static const char *module_name(Arena *a, const char *file)
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *dot = strrchr(base, '.');
    char *name = arena_strn(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    return isalpha((unsigned char)name[0]) || name[0] == '_' ? name : arena_printf(a, "m_%s", name);
}

static bool import_graph(ImportState *s)
{
    Call call = { .nopset = s->model->n_opset_import, .opset = s->model->opset_import, .path = "" };
    const Onnx__GraphProto *g = s->model->graph;
    Scope sc = { .g = s->m->graph, .call = &call, .proto = g };
    bool ok = gaps_report(s);
    ok &= import_inputs(s, &sc);
    ok &= add_initialisers(s, &sc, g);
    ok &= import_body(s, &sc, g->n_node, g->node);
    return ok && import_return(s, &sc, g);
}

static Module *import_file(Arena *a, Diag *d, const WireFile *f, const ImportOptions *opt)
{
    static const ImportOptions none;
    ImportState s = { .arena = a, .diag = d, .opt = opt ? opt : &none, .nodes_left = MAX_NODES };
    s.model = wire_unpack(a, d, f, &onnx__model_proto__descriptor);
    if (!s.model)
        return NULL;
    s.m = module_new(a, d, module_name(a, f->path), f->path);
    s.reader = (TensorReader){ .arena = a, .diag = d, .file = f };
    s.fixed_used = ARENA_ARRAY(a, bool, s.opt->nfixed + 1);
    if (!s.model->graph) {
        state_fail(&s, "is not an ONNX model: there is no graph in it");
        return NULL;
    }
    s.m->producer = arena_printf(a, "%s %s", s.model->producer_name, s.model->producer_version);
    index_functions(&s);
    if (!check_versions(&s) || !import_graph(&s))
        return NULL;
    check_outputs(&s);
    s.m->graph->props |= GP_TYPED;
    return s.m;
}

Module *onnx_import(Arena *a, Diag *d, const char *file, const ImportOptions *opt)
{
    WireFile *f = ARENA_NEW(a, WireFile);
    return wire_map(a, d, file, f) ? import_file(a, d, f, opt) : NULL;
}

Module *onnx_import_memory(Arena *a, Diag *d, const char *file, const void *data, size_t bytes, const ImportOptions *opt)
{
    WireFile *f = ARENA_NEW(a, WireFile);
    *f = (WireFile){ arena_str(a, file), data, bytes };
    return import_file(a, d, f, opt);
}
