/* cmd_verify.c -- ingot verify: two models on the same inputs, output by output or (--per-node) layer by layer.
 *
 * A is the reference. Outputs belong together by name, or by their place where the names differ; inputs likewise. Layer by layer, the values compared are
 * those that both graphs name alike and type alike; both are compiled with them as further outputs, so what is compared is what compiled code computes.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "driver.h"
#include "names.h"
#include "numbers.h"
#include "score.h"

typedef struct Side {
    const char *path;
    Module *m;                      /* NULL: a compiled model */
    Observer *observer;
    ToolSession session;
    const ingot_model *ports;
    const Tensor *const *result;    /* of the last run */
} Side;

/* One line of the result. */
typedef struct Row {
    const char *name, *why;         /* why: what makes the two incomparable, or NULL */
    Distance distance;
    double largest;                 /* |reference| */
    int64_t rows, same;             /* along the last axis: how many, and of how many the largest element is at the same place */
    bool ok;
} Row;

typedef struct Verify {
    Arena *arena;
    Diag diag;
    Side a, b;
    BuildOptions build;
    FeedOptions feed;
    double rtol, atol;
    bool per_node, json;
    int n;
    const char **name;              /* of the pairs that are compared */
    Value **tap[2];                 /* per_node: of a and b */
    int *place;                     /* of b's result for each of a's */
} Verify;

/* ---- the two models ---- */

static bool side_import(Verify *v, Side *s)
{
    if (tool_is_compiled(s->path))
        return !v->per_node || diag_error(&v->diag, (Loc){ .file = s->path }, "a compiled model has no layers to look at; --per-node needs two graphs");
    return (s->m = pipeline_import(v->arena, &v->diag, s->path, &v->build)) != NULL;
}

static bool side_open(Side *s, Value *const *taps, int n)
{
    if (!s->m) {
        if (!tool_open(s->path, s->path, 1, &s->session))
            return false;
        s->ports = s->session.model.ports;
        return true;
    }
    s->observer = observer_open(s->m, taps, n);
    s->ports = s->observer ? observer_ports(s->observer) : NULL;
    return s->observer != NULL;
}

static void side_close(Side *s)
{
    observer_close(s->observer);
    if (!s->m)
        tool_close(&s->session);
}

static bool side_run(Verify *v, Side *s, const ingot_tensor *in)
{
    if (s->observer)
        return (s->result = observer_run(s->observer, in)) != NULL;
    ingot_error err;
    ingot_tensor *out = ARENA_ARRAY(v->arena, ingot_tensor, s->ports->n_outputs + 1);
    const Tensor **result = ARENA_ARRAY(v->arena, const Tensor *, s->ports->n_outputs + 1);
    if (s->session.model.run(s->session.model.self, in, out, &err))
        return diag_error(&v->diag, (Loc){ .file = s->path }, "%s", err.text);
    for (int i = 0; i < s->ports->n_outputs; i++)
        result[i] = tensor_of_runtime(v->arena, &out[i]);
    s->result = result;
    return true;
}

/* ---- what belongs together ---- */

/* For each port of x its number in y: by name, else all by place. NULL after a sentence. */
static int *match_ports(Verify *v, const char *what, const ingot_port *x, int nx, const ingot_port *y, int ny)
{
    int *place = ARENA_ARRAY(v->arena, int, nx + 1), found = 0;
    for (int i = 0; i < nx; i++) {
        for (place[i] = ny - 1; place[i] >= 0 && strcmp(x[i].name, y[place[i]].name); place[i]--)
            ;
        found += place[i] >= 0;
    }
    if (nx != ny) {
        diag_error(&v->diag, (Loc){ .file = v->b.path }, "has %d %s, '%s' has %d", ny, what, v->a.path, nx);
        return NULL;
    }
    for (int i = 0; found < nx && i < nx; i++)
        place[i] = i;
    return place;
}

static bool is_layer(const Value *x)
{
    return x->name && x->name[0] && x->type.kind == TY_TENSOR && x->type.dtype != DT_str && x->def->op != OP_constant && x->def->op != OP_input;
}

static Value *same_layer(const NameTable *names, const Value *x)
{
    Value *y = names_get(names, x->name);
    return y && y->type.dtype == x->type.dtype && y->type.rank == x->type.rank ? y : NULL;
}

static bool match_layers(Verify *v)
{
    NameTable names = { 0 };
    int room = 0;
    FOR_EACH_NODE(n, v->b.m->graph)
        for (int i = 0; i < n->nout; i++)
            if (is_layer(&n->out[i]))
                names_put(v->arena, &names, n->out[i].name, &n->out[i]);
    FOR_EACH_NODE(n, v->a.m->graph)
        room += n->nout;
    v->name = ARENA_ARRAY(v->arena, const char *, room + 1);
    for (int k = 0; k < 2; k++)
        v->tap[k] = ARENA_ARRAY(v->arena, Value *, room + 1);
    FOR_EACH_NODE(n, v->a.m->graph)
        for (int i = 0; i < n->nout; i++) {
            Value *x = &n->out[i], *y = is_layer(x) ? same_layer(&names, x) : NULL;
            if (y)
                v->name[v->n] = x->name, v->tap[0][v->n] = x, v->tap[1][v->n++] = y;
        }
    return v->n || diag_error(&v->diag, (Loc){ .file = v->a.path }, "has no named value in common with '%s'", v->b.path);
}

static bool open_both(Verify *v)
{
    if (!side_import(v, &v->a) || !side_import(v, &v->b) || (v->per_node && !match_layers(v)))
        return false;
    return side_open(&v->a, v->tap[0], v->n) && side_open(&v->b, v->tap[1], v->n);
}

/* ---- the comparison ---- */

static int64_t largest_of(const Tensor *t, int64_t first, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (tensor_get_f64(t, first + i) > tensor_get_f64(t, first + best))
            best = i;
    return best;
}

static void compare_numbers(Row *r, const Tensor *a, const Tensor *b)
{
    int64_t width = a->rank ? a->dim[a->rank - 1] : 1;
    distance_add(&r->distance, b, a);
    for (int64_t i = 0; i < a->count; i++)
        r->largest = fmax(r->largest, fabs(tensor_get_f64(a, i)));
    r->rows = width > 1 ? a->count / width : 0;
    for (int64_t i = 0; i < r->rows; i++)
        r->same += largest_of(a, i * width, width) == largest_of(b, i * width, width);
}

static bool same_shape_and_type(const Tensor *a, const Tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank && (!a->rank || !memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank));
}

/* Strings, and numbers that are no doubles, are equal or not. Not-a-numbers of the same bits are equal. */
static Row compare_pair(Verify *v, const char *name, const Tensor *a, const Tensor *b)
{
    Row r = { .name = name, .ok = true };
    char why[400];
    if (a->dtype == DT_str || dtype_table[a->dtype].cls == CLS_OTHER || !same_shape_and_type(a, b)) {
        r.ok = compare_tensors(name, b, a, v->rtol, v->atol, why, sizeof why);
        r.why = r.ok ? NULL : arena_str(v->arena, why + strlen(name) + 2);
        return r;
    }
    compare_numbers(&r, a, b);
    if (!memcmp(a->data, b->data, (size_t)a->count * (size_t)dtype_bytes(a->dtype)))
        r.distance.most = r.distance.noise = 0;
    r.ok = r.distance.most <= v->atol + v->rtol * r.largest;
    return r;
}

static bool port_is_tensor(const ingot_port *p)
{
    return p->dtype > 0 && p->dtype != INGOT_SEQUENCE && p->dtype != INGOT_OPTIONAL && p->dtype != INGOT_MAP;
}

/* ---- what is printed ---- */

static void print_row(const Row *r)
{
    if (r->why)
        printf("%-40s %s\n", r->name, r->why);
    else if (!r->distance.n)
        printf("%-40s equal\n", r->name);
    else {
        char sqnr[32] = "equal", top[32] = "-";
        if (r->distance.noise != 0)
            snprintf(sqnr, sizeof sqnr, "%.1f dB", distance_sqnr(&r->distance));
        if (r->rows)
            snprintf(top, sizeof top, "%.2f %%", 100.0 * (double)r->same / (double)r->rows);
        printf("%-40s %10.3g %10.3g %10.7f %10s %10s%s\n", r->name, r->distance.most, r->largest > 0 ? r->distance.most / r->largest : r->distance.most,
               distance_cosine(&r->distance), sqnr, top, r->ok ? "" : "  differs");
    }
}

static void print_table(const Row *row, int n)
{
    printf("%-40s %10s %10s %10s %10s %10s\n", "", "max abs", "max rel", "cosine", "SQNR", "argmax");
    for (int i = 0; i < n; i++)
        print_row(&row[i]);
}

static void add_number(cJSON *o, const char *name, double x)
{
    if (isfinite(x))
        cJSON_AddNumberToObject(o, name, x);
    else
        cJSON_AddNullToObject(o, name);
}

static cJSON *json_of_row(const Row *r)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", r->name);
    cJSON_AddBoolToObject(o, "agree", r->ok);
    if (r->why)
        cJSON_AddStringToObject(o, "why", r->why);
    if (!r->distance.n)
        return o;
    add_number(o, "elements", (double)r->distance.n);
    add_number(o, "max_abs", r->distance.most);
    add_number(o, "max_rel", r->largest > 0 ? r->distance.most / r->largest : r->distance.most);
    add_number(o, "cosine", distance_cosine(&r->distance));
    add_number(o, "sqnr_db", distance_sqnr(&r->distance));
    if (r->rows)
        add_number(o, "argmax_agreement", (double)r->same / (double)r->rows);
    return o;
}

static void print_json(const Verify *v, const Row *row, int n, bool ok)
{
    cJSON *o = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(o, v->per_node ? "layers" : "outputs");
    cJSON_AddStringToObject(o, "a", v->a.path);
    cJSON_AddStringToObject(o, "b", v->b.path);
    cJSON_AddBoolToObject(o, "agree", ok);
    for (int i = 0; i < n; i++)
        cJSON_AddItemToArray(rows, json_of_row(&row[i]));
    char *text = cJSON_PrintUnformatted(o);
    puts(text);
    free(text);
    cJSON_Delete(o);
}

/* ---- the command ---- */

/* The rows of all pairs; false: they do not agree. */
static bool compare_results(Verify *v)
{
    int n = v->a.ports->n_outputs;
    Row *row = ARENA_ARRAY(v->arena, Row, n + 1);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        const ingot_port *p = &v->a.ports->output[i];
        const char *name = v->per_node ? v->name[i] : p->name;
        if (port_is_tensor(p) && port_is_tensor(&v->b.ports->output[v->place[i]]))
            row[i] = compare_pair(v, name, v->a.result[i], v->b.result[v->place[i]]);
        else
            row[i] = (Row){ .name = name, .why = "is no tensor, and is not compared", .ok = false };
        ok &= row[i].ok;
    }
    if (v->json)
        print_json(v, row, n, ok);
    else
        print_table(row, n);
    return ok;
}

static bool run_both(Verify *v)
{
    int n = v->a.ports->n_inputs;
    const int *place = match_ports(v, "inputs", v->a.ports->input, n, v->b.ports->input, v->b.ports->n_inputs);
    v->place = match_ports(v, "outputs", v->a.ports->output, v->a.ports->n_outputs, v->b.ports->output, v->b.ports->n_outputs);
    if (!place || !v->place)
        return false;
    ingot_tensor *in = ARENA_ARRAY(v->arena, ingot_tensor, n + 1), *in_b = ARENA_ARRAY(v->arena, ingot_tensor, n + 1);
    bool ok = tool_feed(v->a.ports, &v->feed, in);
    for (int i = 0; i < n; i++)
        in_b[place[i]] = in[i];
    ok = ok && side_run(v, &v->a, in) && side_run(v, &v->b, in_b) && compare_results(v);
    tool_unfeed(v->a.ports, in);
    return ok;
}

static bool tolerance(const char *option, const char *text, double *x)
{
    Numbers n = { 0 };
    bool ok = numbers_parse(option, text, &n);
    *x = ok ? n.v[0] : 0;
    return ok;
}

int cmd_verify(int argc, char **argv)
{
    const Command c = { "ingot", "verify", "A B", "Compare two models (.onnx, .irt, .so) output by output; A is the reference.", 2, 2 };
    Verify v = { .build = BUILD_DEFAULT };
    const char *rtol = "1e-3", *atol = "1e-6";
    Operands models;
    const Option table[] = {
        FEED_OPTIONS(v.feed),
        { "per-node", 0, OPT_FLAG, NULL, "compare every value that both graphs have under the same name", &v.per_node },
        { "rtol", 0, OPT_TEXT, "X", "allowed difference, of the output's largest element (default 1e-3)", &rtol },
        { "atol", 0, OPT_TEXT, "X", "allowed difference besides (default 1e-6)", &atol },
        { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &v.json },
        IMPORT_OPTIONS(v.build), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &models);
    if (status >= 0)
        return status;
    if (!tolerance("rtol", rtol, &v.rtol) || !tolerance("atol", atol, &v.atol))
        return 2;
    v.arena = arena_new();
    diag_init(&v.diag, v.arena, stderr);
    v.a.path = models.v[0], v.b.path = models.v[1];
    bool ok = open_both(&v) && run_both(&v);
    side_close(&v.a);
    side_close(&v.b);
    arena_free(v.arena);
    return !ok;
}
