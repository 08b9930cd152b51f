/* header.c -- the C header of a compiled model. It is all that a program needs besides the model itself: the text of ingot_abi.h is part of it.
 *
 *      NAME_ingot_model, NAME_run              what every model exports
 *      NAME_INPUT0_COUNT, _BYTES, _DIM0 ...    sizes; macros with parameters where a size is symbolic, in the order of NAME_ingot_model.symbol
 *      NAME_WORKSPACE_BYTES, _ALIGN
 *      NAME_run_f32(in_x, out_y, workspace)    where every shape is fixed and nothing is allocated (NAME_run_typed if not everything is float)
 */
#include <ctype.h>
#include <string.h>

#include "bitcode.h"
#include "cg.h"
#include "outfile.h"
#include "strbuf.h"

typedef struct Header {
    Module *m;
    FILE *f;
    const char *upper;              /* NAME in capitals */
    const char **symbol;            /* each symbol as a macro parameter */
    int nin, nout;
    Value **in, **out;
    const char *const *out_name;    /* or NULL */
} Header;

/* ---- names ---- */

static char *identifier(Arena *a, const char *name)
{
    char *s = arena_str(a, name);
    for (char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    return s;
}

static const char *c_type(DType t)
{
    switch (t) {
    case DT_f32: return "float";
    case DT_f64: return "double";
    case DT_str: return "ingot_string";
    case DT_c64: case DT_c128: return "void";
    default: break;
    }
    static const char *const by_bytes[][2] = { [1] = { "uint8_t", "int8_t" }, [2] = { "uint16_t", "int16_t" }, [4] = { "uint32_t", "int32_t" },
                                               [8] = { "uint64_t", "int64_t" } };
    return by_bytes[dtype_bytes(t)][dtype_is_signed(t)];
}

static const char *port_name(const Header *h, const Value *v, bool output, int i)
{
    const char *name = output && h->out_name ? h->out_name[i] : v->name;
    return name ? name : "";
}

/* A parameter name: no keyword starts with in_ or out_; equal names are told apart by their number. */
static const char *parameter(const Header *h, Value **v, bool output, int i)
{
    Arena *a = h->m->arena;
    const char *stem = output ? "out" : "in", *id = identifier(a, port_name(h, v[i], output, i));
    for (int k = 0; k < (output ? h->nout : h->nin); k++)
        if (k != i && !strcmp(id, identifier(a, port_name(h, v[k], output, k))))
            return arena_printf(a, "%s%d_%s", stem, i, id);
    return arena_printf(a, "%s_%s", stem, id);
}

/* ---- sizes as C expressions ---- */

static void add_dim(const Header *h, StrBuf *b, Dim d);

static void add_call(const Header *h, StrBuf *b, const char *name, Dim d)
{
    strbuf_printf(b, "%s(", name);
    add_dim(h, b, d->arg[0]);
    strbuf_add(b, ", ");
    add_dim(h, b, d->arg[1]);
    strbuf_add(b, ")");
}

static void add_chain(const Header *h, StrBuf *b, Dim d, const char *sign, int64_t neutral)
{
    strbuf_add(b, "(");
    if (d->k != neutral)
        strbuf_printf(b, "%lld", (long long)d->k);
    for (int i = 0; i < d->nargs; i++) {
        if (i || d->k != neutral)
            strbuf_add(b, sign);
        add_dim(h, b, d->arg[i]);
    }
    strbuf_add(b, ")");
}

static void add_dim(const Header *h, StrBuf *b, Dim d)
{
    switch (d->op) {
    case DIM_CONST: strbuf_printf(b, d->k > INT32_MAX || d->k < 0 ? "(%lldLL)" : "%lld", (long long)d->k); return;
    case DIM_SYM: strbuf_printf(b, "(int64_t)(%s)", h->symbol[d->k]); return;
    case DIM_ADD: add_chain(h, b, d, " + ", 0); return;
    case DIM_MUL: add_chain(h, b, d, " * ", 1); return;
    case DIM_DIV: add_call(h, b, "INGOT_FLOOR_DIV", d); return;
    case DIM_MOD: add_call(h, b, "INGOT_FLOOR_MOD", d); return;
    case DIM_MAX: add_call(h, b, "INGOT_MAX", d); return;
    case DIM_MIN: add_call(h, b, "INGOT_MIN", d); return;
    case DIM_WRAP: add_call(h, b, "INGOT_WRAP", d); return;
    case DIM_BCAST: add_call(h, b, "INGOT_BROADCAST", d); return;
    }
}

/* Parameters are all symbols that input shapes fix, so that every macro is called alike. */
static void write_size(const Header *h, const char *name, Dim d)
{
    StrBuf b = strbuf_new(h->m->arena);
    DimTable *t = h->m->dims;
    const char *comma = "";
    if (dim_from_data(t, d) && !(d = dim_upper(t, d)))
        return;
    fprintf(h->f, "#define %s_%s", h->upper, name);
    if (!dim_is_const(d)) {
        fputc('(', h->f);
        for (int i = 0; i < dim_symbol_count(t); i++)
            if (!dim_symbol_at(t, i)->from_data) {
                fprintf(h->f, "%s%s", comma, h->symbol[i]);
                comma = ", ";
            }
        fputc(')', h->f);
    }
    add_dim(h, &b, d);
    fprintf(h->f, " %s\n", b.text);
}

static void write_port(const Header *h, const Value *v, bool output, int i)
{
    Arena *a = h->m->arena;
    const Type *t = &v->type;
    const char *stem = arena_printf(a, "%s%d", output ? "OUTPUT" : "INPUT", i);
    bool data = t->kind == TY_TENSOR && dim_from_data(h->m->dims, type_count_dim(h->m, t));
    fprintf(h->f, "\n/* %s %d: '%s' %s%s */\n", output ? "output" : "input", i, identifier(a, port_name(h, v, output, i)), type_print(h->m, a, t),
            data ? "; the data decides, these are the largest sizes" : "");
    for (int d = 0; d < t->rank; d++)
        write_size(h, arena_printf(a, "%s_DIM%d", stem, d), t->dim[d]);
    write_size(h, arena_printf(a, "%s_COUNT", stem), type_count_dim(h->m, t));
    write_size(h, arena_printf(a, "%s_BYTES", stem), type_bytes_dim(h->m, t));
}

static void write_sizes(const Header *h)
{
    static const char helpers[] =
        "\n#ifndef INGOT_FLOOR_DIV\n"
        "#define INGOT_FLOOR_DIV(a, b) ((a) / (b) - ((a) % (b) != 0 && ((a) < 0) != ((b) < 0)))\n"
        "#define INGOT_FLOOR_MOD(a, b) ((a) - (b) * INGOT_FLOOR_DIV(a, b))\n"
        "#define INGOT_MAX(a, b) ((a) > (b) ? (a) : (b))\n"
        "#define INGOT_MIN(a, b) ((a) < (b) ? (a) : (b))\n"
        "#define INGOT_WRAP(a, b) ((a) < 0 ? (a) + (b) : (a))\n"
        "#define INGOT_BROADCAST(a, b) ((a) == 1 ? (b) : (a))\n"
        "#endif\n";
    fputs(helpers, h->f);
    for (int i = 0; i < h->nin; i++)
        write_port(h, h->in[i], false, i);
    for (int i = 0; i < h->nout; i++)
        write_port(h, h->out[i], true, i);
    fprintf(h->f, "\n#define %s_INPUTS %d\n#define %s_OUTPUTS %d\n", h->upper, h->nin, h->upper, h->nout);
    if (h->m->arena_bytes)
        write_size(h, "WORKSPACE_BYTES", h->m->arena_bytes);
    fprintf(h->f, "#define %s_WORKSPACE_ALIGN 64\n", h->upper);
}

/* ---- the convenient function ---- */

/* A string that comes out, or is made on the way, lies in memory that the caller's allocate() gives. */
static bool all_fixed(const Header *h, bool *all_f32)
{
    bool fixed = h->m->nheap == 0 && !cg_graph_has(h->m->graph, OPF_KEEP);
    *all_f32 = true;
    for (int i = 0; i < h->nin + h->nout; i++) {
        const Type *t = &(i < h->nin ? h->in[i] : h->out[i - h->nin])->type;
        fixed &= type_is_static(t) && (i < h->nin || t->dtype != DT_str);
        *all_f32 &= t->dtype == DT_f32;
    }
    return fixed && h->m->arena_bytes && dim_is_const(h->m->arena_bytes);
}

static void write_tensors(const Header *h, const char *array, Value **v, int n, bool output)
{
    for (int i = 0; i < n; i++) {
        const Type *t = &v[i]->type;
        fprintf(h->f, "    %s[%d].data = (void *)(uintptr_t)%s;\n", array, i, parameter(h, v, output, i));
        fprintf(h->f, "    %s[%d].dtype = %d;\n    %s[%d].rank = %d;\n", array, i, dtype_table[t->dtype].onnx, array, i, t->rank);
        for (int d = 0; d < t->rank; d++)
            fprintf(h->f, "    %s[%d].dim[%d] = %lld;\n", array, i, d, (long long)t->dim[d]->k);
    }
}

static void write_call(const Header *h)
{
    bool all_f32;
    if (!all_fixed(h, &all_f32))
        return;
    fprintf(h->f, "\n/* Runs the model on one thread. Arrays hold INPUTi_COUNT and OUTPUTi_COUNT elements, row-major; workspace: WORKSPACE_BYTES, aligned to\n"
                  " * WORKSPACE_ALIGN. Returns INGOT_OK or an INGOT_ERR_ code. */\n"
                  "static inline int %s_run_%s(", h->m->name, all_f32 ? "f32" : "typed");
    for (int i = 0; i < h->nin; i++)
        fprintf(h->f, "const %s *%s, ", c_type(h->in[i]->type.dtype), parameter(h, h->in, false, i));
    for (int i = 0; i < h->nout; i++)
        fprintf(h->f, "%s *%s, ", c_type(h->out[i]->type.dtype), parameter(h, h->out, true, i));
    fprintf(h->f, "void *workspace)\n{\n    ingot_tensor in[%d] = { { 0 } }, out[%d] = { { 0 } };\n    ingot_call call = { 0 };\n", h->nin ? h->nin : 1,
            h->nout ? h->nout : 1);
    write_tensors(h, "in", h->in, h->nin, false);
    write_tensors(h, "out", h->out, h->nout, true);
    fprintf(h->f, "    call.input = in;\n    call.output = out;\n    call.workspace = workspace;\n    call.workspace_bytes = %s_WORKSPACE_BYTES;\n"
                  "    return %s_run(&call);\n}\n", h->upper, h->m->name);
}

/* ---- the file ---- */

static Header header_of(Module *m)
{
    Arena *a = m->arena;
    Header h = { .m = m };
    char *upper = arena_str(a, m->name);
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    h.upper = upper;
    h.symbol = ARENA_ARRAY(a, const char *, dim_symbol_count(m->dims) + 1);
    for (int i = 0; i < dim_symbol_count(m->dims); i++) {
        const char *id = identifier(a, dim_symbol_at(m->dims, i)->name);
        bool clash = isdigit((unsigned char)id[0]) != 0 || !*id;
        for (int k = 0; k < i; k++)
            clash |= !strcmp(h.symbol[k], id);
        h.symbol[i] = clash ? arena_printf(a, "d%d_%s", i, id) : id;
    }
    const Node *ret = graph_return(m->graph);
    h.nin = graph_inputs(m->graph, NULL, 0);
    h.nout = ret->nin;
    h.in = ARENA_ARRAY(a, Value *, h.nin + 1);
    h.out = ARENA_ARRAY(a, Value *, h.nout + 1);
    graph_inputs(m->graph, h.in, h.nin);
    for (int i = 0; i < h.nout; i++)
        h.out[i] = node_in(ret, i);
    StrVec names = NODE_ATTR(ret, return)->names;
    h.out_name = names.n == h.nout ? names.v : NULL;
    return h;
}

bool header_write(Module *m, const TargetInfo *t, const char *path)
{
    OutFile o;
    Header h = header_of(m);
    if (!outfile_open(&o, m->diag, path))
        return false;
    h.f = o.f;
    fprintf(h.f, "/* %s: compiled by ingot " INGOT_VERSION " for %s. Generated: do not edit. */\n#ifndef %s_INGOT_H\n#define %s_INGOT_H\n\n", m->name, t->triple,
            h.upper, h.upper);
    fwrite(ingot_abi_text, 1, (size_t)(ingot_abi_text_end - ingot_abi_text), h.f);
    fprintf(h.f, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\nextern const ingot_model %s_ingot_model;\nint %s_run(const ingot_call *call);\n", m->name, m->name);
    write_sizes(&h);
    write_call(&h);
    fputs("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n", h.f);
    return outfile_commit(&o);
}
