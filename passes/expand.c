/* expand.c -- weights of few bits that no kernel reads packed become numbers, now; each product that does read them packed gets a node of its own.
 *
 *   %1 = dequantize_blocks(%q, %s) {axis=0, block=32}                %4 = constant() {value=f32[64,64] ...}
 *   %2 = matmul(%x, %1)                                       ->     %1 = dequantize_blocks(%q, %s) {axis=0, block=32}
 *   %3 = conv_transpose(%y, %1)                                      %2 = matmul(%x, %1)
 *                                                                    %3 = conv_transpose(%y, %4)
 *
 * What low_bit_product.h says decides. Weights of which a scale differs within a block that is summed over, depthwise filters (a few numbers per channel), and
 * those of convolutions over three axes are read as numbers.
 *
 * Needs: typed. Keeps: everything.
 */
#include "low_bit_product.h"
#include "pass_util.h"

static bool is_constant(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && !value_constant(n->in[i].val))
            return false;
    return true;
}

static bool is_read_packed(const Use *u)
{
    const Node *n = u->user;
    return (n->op == OP_conv || n->op == OP_matmul) && u == &n->in[1] && n->in[0].val != u->val && low_bit_fits(n);
}

/* Every product but the first gets a copy; what else reads it, the numbers. */
static bool share_out(Module *m, Node *n)
{
    Value *in[3], *numbers = NULL, *v = node_out(n);
    bool first = true;
    for (int i = 0; i < n->nin; i++)
        in[i] = n->in[i].val;
    for (Use *u = v->uses, *next; u; u = next) {
        next = u->next;
        bool packed = is_read_packed(u);
        if (packed && first) {
            first = false;
            continue;
        }
        if (!packed && !numbers)
            numbers = fold_node(m, n);
        if (packed || numbers)
            node_set_input(u->user, (int)(u - u->user->in), packed ? node_out(node_clone(n->graph, n, n, in)) : numbers);
    }
    if (!v->uses)
        node_erase_dead(n);
    return true;
}

static bool expand_node(Module *m, Node *n)
{
    return n->op != OP_dequantize_blocks || !is_constant(n) || share_out(m, n);
}

bool pass_expand(Module *m)
{
    return module_each_node(m, expand_node);
}
