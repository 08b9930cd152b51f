/* export_forest.c -- tree_ensemble as TreeEnsembleRegressor: the compact table of nodes becomes a list per property. See ops.def for the table.
 *
 * A node keeps its number. Trees do not share nodes; if they do, each has its own.
 */
#include <string.h>

#include "export.h"

enum { NODE_WORDS = 4, FEATURE = (1 << 24) - 1, TEST_SHIFT = 24, TEST_MASK = 7, NAN_IS_TRUE = 1 << 27 };

static const char *const test_name[] = { "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ" };
enum { TESTS = sizeof test_name / sizeof *test_name };

/* The lists of the operator, in the order in which they grow. */
typedef struct Lists {
    int n, room, entries, entry_room;
    int64_t *tree, *node, *feature, *yes, *no, *missing, *entry_tree, *entry_node, *entry_id;
    double *value, *weight;
    const char **mode;
} Lists;

typedef struct Walk {
    Exporter *e;
    const Attr_tree_ensemble *a;
    const int32_t *table, *target;
    const Tensor *weight;
    int64_t count, targets;
    Lists out;
    int32_t *stack;
    int64_t *seen;                  /* 1 + the tree that last came by */
} Walk;

static void *wider(Exporter *e, void *old, int n, int room, size_t each)
{
    void *v = arena_alloc(e->arena, (size_t)room * each);
    if (n)
        memcpy(v, old, (size_t)n * each);
    return v;
}
#define WIDER(list, n, room) (list) = wider(w->e, (list), (n), (room), sizeof *(list))

static void grow_nodes(Walk *w)
{
    Lists *o = &w->out;
    if (o->n < o->room)
        return;
    o->room = 2 * o->room + 64;
    WIDER(o->tree, o->n, o->room), WIDER(o->node, o->n, o->room), WIDER(o->feature, o->n, o->room), WIDER(o->yes, o->n, o->room);
    WIDER(o->no, o->n, o->room), WIDER(o->missing, o->n, o->room), WIDER(o->value, o->n, o->room), WIDER(o->mode, o->n, o->room);
}

static void grow_entries(Walk *w)
{
    Lists *o = &w->out;
    if (o->entries < o->entry_room)
        return;
    o->entry_room = 2 * o->entry_room + 64;
    WIDER(o->entry_tree, o->entries, o->entry_room), WIDER(o->entry_node, o->entries, o->entry_room);
    WIDER(o->entry_id, o->entries, o->entry_room), WIDER(o->weight, o->entries, o->entry_room);
}

static bool add_leaf(Walk *w, int64_t tree, int32_t i, const int32_t *node)
{
    for (int32_t k = node[1]; k < node[1] + node[2]; k++) {
        if (k < 0 || k >= w->targets)
            return false;
        grow_entries(w);
        Lists *o = &w->out;
        o->entry_tree[o->entries] = tree, o->entry_node[o->entries] = i, o->entry_id[o->entries] = w->target[k];
        o->weight[o->entries++] = tensor_get_f64(w->weight, w->weight->splat ? 0 : k);
    }
    return true;
}

/* One node; its branches go on the stack. False: the table is not what the op says. */
static bool add_node(Walk *w, int64_t tree, int32_t i, int *depth)
{
    const int32_t *node = w->table + (int64_t)i * NODE_WORDS;
    bool leaf = node[0] == -1;
    int test = w->a->test >= 0 ? (int)w->a->test : node[0] >> TEST_SHIFT & TEST_MASK;
    float threshold;
    memcpy(&threshold, &node[3], sizeof threshold);
    if (test >= TESTS || (!leaf && (node[1] <= i || node[2] <= i || node[1] >= w->count || node[2] >= w->count)))
        return false;
    grow_nodes(w);
    Lists *o = &w->out;
    int k = o->n++;
    o->tree[k] = tree, o->node[k] = i;
    o->mode[k] = leaf ? "LEAF" : test_name[test];
    o->feature[k] = leaf ? 0 : node[0] & FEATURE;
    o->value[k] = leaf ? 0 : (double)threshold;
    o->yes[k] = leaf ? 0 : node[1], o->no[k] = leaf ? 0 : node[2];
    o->missing[k] = !leaf && (node[0] & NAN_IS_TRUE);
    if (leaf)
        return add_leaf(w, tree, i, node);
    for (int b = 1; b <= 2; b++)
        if (w->seen[node[b]] != tree + 1)
            w->seen[node[b]] = tree + 1, w->stack[(*depth)++] = node[b];
    return true;
}

static bool add_tree(Walk *w, int64_t tree, int32_t root)
{
    int depth = 0;
    if (root < 0 || root >= w->count)
        return false;
    w->stack[depth++] = root;
    w->seen[root] = tree + 1;
    while (depth)
        if (!add_node(w, tree, w->stack[--depth], &depth))
            return false;
    return true;
}

static void write_attrs(Exporter *e, Onnx__NodeProto *p, const Walk *w)
{
    static const struct { const char *kind, *onnx; } how[] = { { "sum", "SUM" }, { "avg", "AVERAGE" }, { "min", "MIN" }, { "max", "MAX" } };
    const Lists *o = &w->out;
    size_t k = 0;
    while (strcmp(how[k].kind, w->a->aggregate))
        k++;
    export_attr_i(e, p, "n_targets", w->a->count);
    export_attr_s(e, p, "aggregate_function", how[k].onnx);
    export_attr_s(e, p, "post_transform", "NONE");
    export_attr_ints(e, p, "nodes_treeids", (IntVec){ o->n, o->tree });
    export_attr_ints(e, p, "nodes_nodeids", (IntVec){ o->n, o->node });
    export_attr_ints(e, p, "nodes_featureids", (IntVec){ o->n, o->feature });
    export_attr_strs(e, p, "nodes_modes", (StrVec){ o->n, o->mode });
    export_attr_floats(e, p, "nodes_values", (FloatVec){ o->n, o->value });
    export_attr_ints(e, p, "nodes_truenodeids", (IntVec){ o->n, o->yes });
    export_attr_ints(e, p, "nodes_falsenodeids", (IntVec){ o->n, o->no });
    export_attr_ints(e, p, "nodes_missing_value_tracks_true", (IntVec){ o->n, o->missing });
    export_attr_ints(e, p, "target_treeids", (IntVec){ o->entries, o->entry_tree });
    export_attr_ints(e, p, "target_nodeids", (IntVec){ o->entries, o->entry_node });
    export_attr_ints(e, p, "target_ids", (IntVec){ o->entries, o->entry_id });
    export_attr_floats(e, p, "target_weights", (FloatVec){ o->entries, o->weight });
}

bool export_tree_ensemble(Exporter *e, const Node *n)
{
    const Tensor *k[5];
    for (int i = 1; i < 5; i++) {
        k[i] = value_constant(node_in(n, i));
        if (!k[i])
            return export_gap(e, n, "trees that only a run knows");
        k[i] = i == 4 ? k[i] : tensor_dense(e->arena, k[i]);
    }
    if (k[1]->dim[1] != NODE_WORDS)
        return export_gap(e, n, "thresholds of 64 bits");
    Walk w = { e, NODE_ATTR(n, tree_ensemble), k[1]->data, k[3]->data, k[4], k[1]->dim[0], k[3]->count, { 0 },
               ARENA_ARRAY(e->arena, int32_t, k[1]->dim[0] + 1), ARENA_ARRAY(e->arena, int64_t, k[1]->dim[0] + 1) };
    for (int64_t i = 0; i < k[2]->count; i++)
        if (!add_tree(&w, i, (int32_t)tensor_get_i64(k[2], i)))
            return export_gap(e, n, "its tables are not consistent");
    Onnx__NodeProto *p = EMIT(e, "TreeEnsembleRegressor", export_in(e, n, 0));
    export_domain(e, p, "ai.onnx.ml");
    write_attrs(e, p, &w);
    return export_give(e, p, node_out(n));
}
