/* kernel_key.c -- equal strings mean that one kernel function serves both nodes: same op, attributes, bodies, operand and result types, and the
 * same operands known at compile time (uniform constants become immediates, constant weights are read packed), the same known of what a pool reads,
 * weights of few bits packed alike, bytes of as many bits, rows of the result equally far apart.
 */
#include "concat_part.h"
#include "int8.h"
#include "low_bit_code.h"
#include "strbuf.h"
#include "text.h"

#include <string.h>

static void add_constant(StrBuf *s, const Value *v)
{
    double x;
    uint64_t bits = 0;
    const Tensor *t = value_constant(v);
    if (!t)
        return;
    if (value_scalar_f64(v, &x)) {      /* the exact bits, integers beyond 2^53 included */
        memcpy(&bits, t->data, (size_t)(dtype_bytes(t->dtype) < 8 ? dtype_bytes(t->dtype) : 8));
        strbuf_printf(s, "=%llx", (unsigned long long)bits);
    } else {
        strbuf_add(s, int8_bits(t) == 4 ? "=const4" : "=const");
    }
}

static void add_operands(Codegen *cg, StrBuf *s, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = node_in(n, i);
        int same = 0;
        while (node_in(n, same) != v)
            same++;
        strbuf_printf(s, " %d:", same);
        if (!v)
            continue;
        strbuf_add(s, type_print(cg->m, cg->arena, &v->type));
        add_constant(s, v);
    }
}

/* Body nodes refer to each other by position. */
static int position_of(const Graph *g, const Value *v)
{
    int i = 0;
    FOR_EACH_NODE(n, g) {
        if (v && n == v->def)
            return i;
        i++;
    }
    return -1;
}

static void add_node(Codegen *cg, StrBuf *s, const Node *n)
{
    strbuf_printf(s, "%s{%s}", op_name(n->op), n->op == OP_return ? "" : node_print_attrs(cg->arena, n));
    for (int i = 0; i < n->nout; i++)
        strbuf_printf(s, ":%s", type_print(cg->m, cg->arena, &n->out[i].type));
    if (n->op == OP_constant)
        add_constant(s, node_out(n));
}

static void add_body(Codegen *cg, StrBuf *s, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        strbuf_add(s, "; ");
        add_node(cg, s, n);
        for (int i = 0; i < n->nin; i++)
            strbuf_printf(s, ",%d", position_of(g, node_in(n, i)));
    }
}

const char *kernel_key(Codegen *cg, const Node *n)
{
    StrBuf s = strbuf_new(cg->arena);
    add_node(cg, &s, n);
    add_operands(cg, &s, n);
    if (n->op == OP_fused)
        add_body(cg, &s, NODE_ATTR(n, fused)->body);
    if (pool_compares_bits(n))
        strbuf_add(&s, " by bits");
    if (n->op == OP_fused)
        strbuf_add(&s, low_bit_key(cg, n));
    if (n->nout == 1 && part_of_concat(node_out(n)))
        strbuf_printf(&s, " part of %s", type_print(cg->m, cg->arena, &node_out(part_of_concat(node_out(n)))->type));
    return s.text;
}
