/* import_forest.c -- ai.onnx.ml tree ensembles, as tables for the op tree_ensemble.
 *
 * The old operators list nodes by (tree, node) and leaf weights by the same pair; TreeEnsemble (version 5) points into arrays. Both end as a
 * Forest: nodes in one array, a leaf holding a range of (target, weight) entries. A set-membership test becomes a chain of equality tests.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import_ml.h"

enum { TEST_EQ = 4, TEST_MEMBER = 6, NAN_IS_TRUE = 8 };

typedef struct Forest {
    int nnode, nroot, nentry;
    int32_t (*node)[4];
    double *threshold;
    int32_t *root, *target;
    double *weight;
} Forest;

/* ---- a number list: floats, or the same attribute "_as_tensor" in another type ---- */

static FloatVec numbers(Importer *c, const char *name)
{
    const Tensor *t = attr_tensor(c, arena_printf(c->m->arena, "%s_as_tensor", name));
    if (!t)
        return attr_floats(c, name);
    double *v = ARENA_ARRAY(c->m->arena, double, t->count + 1);
    for (int64_t i = 0; i < t->count; i++)
        v[i] = tensor_get_f64(t, i);
    return (FloatVec){ (int)t->count, v };
}

/* ---- TreeEnsembleClassifier and TreeEnsembleRegressor ---- */

typedef struct Place { int64_t tree, node; int at; } Place;

static int place_compare(const void *a, const void *b)
{
    const Place *x = a, *y = b;
    if (x->tree != y->tree)
        return x->tree < y->tree ? -1 : 1;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->at - y->at;
}

/* Index of (tree, node) in the sorted places, or -1. */
static int place_find(const Place *p, int n, int64_t tree, int64_t node)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (p[mid].tree < tree || (p[mid].tree == tree && p[mid].node < node))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && p[lo].tree == tree && p[lo].node == node ? p[lo].at : -1;
}

static int test_of(const char *mode)
{
    static const char *const words[] = { "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ" };
    for (int i = 0; i < 6; i++)
        if (!strcmp(mode, words[i]))
            return i;
    return -1;
}

static bool lists_agree(Importer *c, int n, const IntVec *lists, int nlists)
{
    for (int i = 0; i < nlists; i++)
        if (lists[i].n != n)
            return import_fail(c, "the lists that describe the nodes have different lengths");
    return true;
}

/* Entries of one leaf lie together after sorting by leaf. */
static bool leaf_entries(Importer *c, Forest *f, const Place *place, const char *prefix)
{
    Arena *a = c->m->arena;
    IntVec tree = attr_ints(c, arena_printf(a, "%s_treeids", prefix)), node = attr_ints(c, arena_printf(a, "%s_nodeids", prefix));
    IntVec id = attr_ints(c, arena_printf(a, "%s_ids", prefix));
    FloatVec weight = numbers(c, arena_printf(a, "%s_weights", prefix));
    if (tree.n != node.n || tree.n != id.n || tree.n != weight.n)
        return import_fail(c, "the lists that describe the leaves have different lengths");
    int32_t *leaf = ARENA_ARRAY(a, int32_t, tree.n + 1);
    f->target = ARENA_ARRAY(a, int32_t, tree.n + 1);
    f->weight = ARENA_ARRAY(a, double, tree.n + 1);
    for (int i = 0; i < tree.n; i++) {
        leaf[i] = place_find(place, f->nnode, tree.v[i], node.v[i]);
        if (leaf[i] < 0 || f->node[leaf[i]][0] >= 0)
            return import_fail(c, "a weight belongs to node %lld of tree %lld, which is no leaf", (long long)node.v[i], (long long)tree.v[i]);
        f->node[leaf[i]][3]++;
    }
    for (int i = 0; i < f->nnode; i++)
        if (f->node[i][0] < 0) {
            f->node[i][2] = f->nentry;
            f->nentry += f->node[i][3];
            f->node[i][3] = 0;
        }
    for (int i = 0; i < tree.n; i++) {
        int at = f->node[leaf[i]][2] + f->node[leaf[i]][3]++;
        f->target[at] = (int32_t)id.v[i];
        f->weight[at] = weight.v[i];
    }
    return true;
}

static bool forest_nodes(Importer *c, Forest *f, Place *place)
{
    IntVec lists[] = { attr_ints(c, "nodes_treeids"), attr_ints(c, "nodes_nodeids"), attr_ints(c, "nodes_featureids"), attr_ints(c, "nodes_truenodeids"),
                       attr_ints(c, "nodes_falsenodeids") };
    IntVec missing = attr_ints(c, "nodes_missing_value_tracks_true");
    StrVec modes = attr_strs(c, "nodes_modes");
    FloatVec values = numbers(c, "nodes_values");
    if (!lists_agree(c, f->nnode, lists, 5) || modes.n != f->nnode || values.n != f->nnode || (missing.n && missing.n != f->nnode))
        return import_fail(c, "the lists that describe the nodes have different lengths");
    for (int i = 0; i < f->nnode; i++)
        place[i] = (Place){ lists[0].v[i], lists[1].v[i], i };
    qsort(place, (size_t)f->nnode, sizeof *place, place_compare);
    for (int i = 0; i < f->nnode; i++) {
        int64_t tree = lists[0].v[i];
        f->threshold[i] = values.v[i];
        if (!i || tree != lists[0].v[i - 1])
            f->root[f->nroot++] = i;
        int test = test_of(modes.v[i]);
        int32_t *node = f->node[i];
        node[0] = test < 0 ? -1 : (int32_t)lists[2].v[i];
        if (test < 0 && strcmp(modes.v[i], "LEAF"))
            return import_fail(c, "a node has the mode '%s'", modes.v[i]);
        if (test < 0)
            continue;
        node[1] = test | (missing.n && missing.v[i] ? NAN_IS_TRUE : 0);
        node[2] = place_find(place, f->nnode, tree, lists[3].v[i]);
        node[3] = place_find(place, f->nnode, tree, lists[4].v[i]);
        if (node[2] < 0 || node[3] < 0 || node[0] < 0)
            return import_fail(c, "node %lld of tree %lld has a feature or a child that does not exist", (long long)lists[1].v[i], (long long)tree);
    }
    return true;
}

static void forest_alloc(Importer *c, Forest *f, int nodes)
{
    f->nnode = nodes;
    f->node = arena_alloc(c->m->arena, sizeof *f->node * (size_t)(nodes + 1));
    f->threshold = ARENA_ARRAY(c->m->arena, double, nodes + 1);
    f->root = ARENA_ARRAY(c->m->arena, int32_t, nodes + 1);
}

static bool forest_of(Importer *c, Forest *f, const char *prefix)
{
    forest_alloc(c, f, attr_ints(c, "nodes_nodeids").n);
    Place *place = ARENA_ARRAY(c->m->arena, Place, f->nnode + 1);
    return forest_nodes(c, f, place) && leaf_entries(c, f, place, prefix);
}

/* ---- the op ---- */

enum { SEEN = 1, PLACED = 2, MAX_FEATURE = (1 << 24) - 2 };

/* Where to go next from an inner node: the branch that is not placed yet, the false one first; -1 if both are. */
static int32_t next_branch(const int32_t *node, const unsigned char *state)
{
    return node[0] < 0 ? -1 : state[node[3]] != PLACED ? node[3] : state[node[2]] != PLACED ? node[2] : -1;
}

/* place[i] becomes where node i goes, or stays -1 if no tree reaches it: parents before children, a true branch right behind its parent where
 * it has no other. Places are given from the end; the first in use is returned, or -1 for a cycle. */
static int forest_places(Arena *a, const Forest *f, int *place)
{
    unsigned char *state = arena_alloc(a, (size_t)f->nnode + 1);
    int32_t *path = ARENA_ARRAY(a, int32_t, f->nnode + 1);
    int free = f->nnode;
    for (int i = 0; i < f->nnode; i++)
        place[i] = -1;
    for (int r = f->nroot - 1; r >= 0; r--) {
        int depth = 0;
        if (state[f->root[r]] != PLACED)
            path[depth++] = f->root[r];
        while (depth) {
            int32_t at = path[depth - 1], next = next_branch(f->node[at], state);
            state[at] = next < 0 ? PLACED : SEEN;
            if (next >= 0 && state[next] == SEEN)
                return -1;
            if (next >= 0)
                path[depth++] = next;
            else
                place[path[--depth]] = --free;
        }
    }
    return free;
}

/* Each node in range of the others? Indices come from the file. */
static bool forest_check(Importer *c, const Forest *f)
{
    for (int i = 0; i < f->nnode; i++) {
        const int32_t *n = f->node[i];
        if (n[0] > MAX_FEATURE)
            return import_unsupported(c, "feature number %d", n[0]);
        if (n[0] >= 0 && (n[2] < 0 || n[2] >= f->nnode || n[3] < 0 || n[3] >= f->nnode))
            return import_fail(c, "node %d has a child that does not exist", i);
    }
    for (int i = 0; i < f->nroot; i++)
        if (f->root[i] < 0 || f->root[i] >= f->nnode)
            return import_fail(c, "the root of tree %d does not exist", i);
    return true;
}

/* One record, as the op wants it. */
static void put_node(int32_t *to, const int32_t *node, double threshold, const int *place, int first, bool wide)
{
    to[0] = node[0];
    to[1] = node[2];
    to[2] = node[3];
    if (node[0] < 0)
        return;
    to[0] |= (node[1] & 7) << 24 | (node[1] & NAN_IS_TRUE ? 1 << 27 : 0);
    to[1] = place[node[2]] - first;
    to[2] = place[node[3]] - first;
    float narrow = (float)threshold;
    memcpy(to + (wide ? 4 : 3), wide ? (const void *)&threshold : (const void *)&narrow, wide ? sizeof threshold : sizeof narrow);
}

/* The table of nodes; roots get their new places. NULL after reporting. */
static Value *node_table(Importer *c, Forest *f, bool wide)
{
    int *place = ARENA_ARRAY(c->m->arena, int, f->nnode + 1);
    int first = forest_check(c, f) ? forest_places(c->m->arena, f, place) : -2;
    if (first == -1)
        import_fail(c, "a branch leads back to a node above it");
    if (first < 0)
        return NULL;
    int64_t words = wide ? 6 : 4;
    Tensor *t = tensor_new(c->m->arena, DT_i32, 2, (int64_t[]){ f->nnode - first, words });
    for (int i = 0; i < f->nnode; i++)
        if (place[i] >= 0)
            put_node((int32_t *)(uintptr_t)t->data + (place[i] - first) * words, f->node[i], f->threshold[i], place, first, wide);
    for (int i = 0; i < f->nroot; i++)
        f->root[i] = place[f->root[i]] - first;
    return mk_tensor(&c->b, t);
}

static Value *int_table(Builder *b, const int32_t *v, int64_t n)
{
    Tensor *t = tensor_new(b->m->arena, DT_i32, 1, &n);
    memcpy((void *)(uintptr_t)t->data, v, sizeof *v * (size_t)n);
    return mk_tensor(b, t);
}

/* The test that all inner nodes have, or -1. */
static int64_t common_test(const Forest *f)
{
    int64_t test = -2;
    for (int i = 0; i < f->nnode; i++)
        if (f->node[i][0] >= 0) {
            int64_t own = f->node[i][1] & 7;
            test = test == -2 || test == own ? own : -1;
        }
    return test == -2 ? 0 : test;
}

/* Zero weights add nothing to a sum. Leaves come in the order of their entries. */
static void drop_zeros(Forest *f)
{
    int kept = 0;
    for (int i = 0; i < f->nnode; i++) {
        int32_t *leaf = f->node[i];
        int first = leaf[2], end = first + leaf[3];
        if (leaf[0] >= 0)
            continue;
        leaf[2] = kept;
        for (int k = first; k < end; k++)
            if (f->weight[k] != 0) {
                f->target[kept] = f->target[k];
                f->weight[kept++] = f->weight[k];
            }
        leaf[3] = kept - leaf[2];
    }
    f->nentry = kept;
}

static Value *run_forest(Importer *c, Forest *f, Value *x, int64_t count, const char *aggregate)
{
    Builder *b = &c->b;
    DType t = x && x->type.dtype == DT_f64 ? DT_f64 : DT_f32;
    if (!strcmp(aggregate, "sum") || !strcmp(aggregate, "avg"))
        drop_zeros(f);
    Value *node = node_table(c, f, t == DT_f64), *root = int_table(b, f->root, f->nroot), *target = int_table(b, f->target, f->nentry);
    return mk_tree_ensemble(b, IN(mk_cast_to(b, ml_rows(b, x), t), node, root, target, mk_floats(b, t, (FloatVec){ f->nentry, f->weight })),
                            (Attr_tree_ensemble){ .count = count, .aggregate = aggregate, .test = common_test(f) });
}

static Value *add_base(Importer *c, Value *scores)
{
    FloatVec base = numbers(c, "base_values");
    return base.n && scores ? mk_add(&c->b, scores, mk_floats(&c->b, scores->type.dtype, base)) : scores;
}

bool import_tree_ensemble_regressor(Importer *c)
{
    Forest f = { 0 };
    const char *word = attr_s(c, "aggregate_function", "SUM");
    const char *how = !strcmp(word, "SUM") ? "sum" : !strcmp(word, "AVERAGE") ? "avg" : !strcmp(word, "MIN") ? "min" : !strcmp(word, "MAX") ? "max" : NULL;
    if (!how)
        return import_fail(c, "aggregate_function is '%s'", word);
    if (!forest_of(c, &f, "target"))
        return false;
    Value *scores = add_base(c, run_forest(c, &f, in(c, 0), attr_i(c, "n_targets", 1), how));
    OUT(c, mk_cast_to(&c->b, ml_post_transform(c, scores), DT_f32));
}

static bool all_nonnegative(const Forest *f)
{
    for (int i = 0; i < f->nentry; i++)
        if (f->weight[i] < 0)
            return false;
    return true;
}

static bool one_target(const Forest *f)
{
    for (int i = 1; i < f->nentry; i++)
        if (f->target[i] != f->target[0])
            return false;
    return true;
}

/* The two scores where the trees speak of the first class only: probabilities s and 1 - s (no weight is negative), or margins. */
static Value *both_scores(Importer *c, Value *s, bool probabilities)
{
    Builder *b = &c->b;
    bool logistic = !strcmp(attr_s(c, "post_transform", "NONE"), "LOGISTIC");
    Value *other = probabilities && !logistic ? mk_sub(b, mk_k(b, s, 1), s) : mk_neg(b, s), *both = mk_concat2(b, other, s, 1);
    return logistic ? mk_sigmoid(b, both) : both;
}

/* Two classes of which the trees score one (second: the second): a score above 0.5 (probabilities) or 0 (margins) means the second class, whichever
 * is scored. */
static bool binary_classes(Importer *c, Value *scores, const MlLabels *labels, bool probabilities, bool second)
{
    Builder *b = &c->b;
    FloatVec base = numbers(c, "base_values");
    Value *with_base = base.n == 2 ? add_base(c, scores) : scores, *s = mk_range_slice(b, with_base, 1, second, 1);
    if (base.n == 1)
        s = mk_shifted(b, s, base.v[0]);
    Value *is_second = mk_lt(b, mk_k(b, s, probabilities ? 0.5 : 0), s);
    Value *both = second ? ml_post_transform(c, with_base) : both_scores(c, s, probabilities);
    return ml_set_labels(c, 0, mk_cast_to(b, mk_drop_axes(b, is_second, 1, (int64_t[]){ 1 }), DT_i64), labels) &&
           set_out(c, 1, mk_cast_to(b, both, DT_f32));
}

bool import_tree_ensemble_classifier(Importer *c)
{
    Builder *b = &c->b;
    Forest f = { 0 };
    MlLabels labels = ml_labels(c, "classlabels_int64s");
    if (labels.count < 1)
        return import_fail(c, "the class labels are missing");
    if (!forest_of(c, &f, "class"))
        return false;
    bool binary = labels.count == 2 && one_target(&f), probabilities = all_nonnegative(&f), second = f.nentry && f.target[0] == 1;
    Value *scores = run_forest(c, &f, in(c, 0), labels.count, "sum");
    if (binary)
        return binary_classes(c, scores, &labels, probabilities, second);
    scores = add_base(c, scores);
    Value *best = mk_arg_reduce(b, IN(scores), (Attr_arg_reduce){ .kind = "max", .axis = 1 });
    return ml_set_labels(c, 0, mk_drop_axes(b, best, 1, (int64_t[]){ 1 }), &labels) &&
           set_out(c, 1, mk_cast_to(b, ml_post_transform(c, scores), DT_f32));
}

/* ---- TreeEnsemble, version 5 ---- */

typedef struct Members { int n; const double *v; } Members;     /* membership values still to be handed out */

static int members_of_next(const Members *m)
{
    int n = 0;
    while (n < m->n && !isnan(m->v[n]))
        n++;
    return n;
}

/* Where branch `to` of a node leads: behind the inner nodes come the leaves. */
static int32_t branch(int64_t to, int64_t leaf, int inner)
{
    return (int32_t)(leaf ? inner + to : to);
}

typedef struct Branches { IntVec feature, yes, no, yes_leaf, no_leaf, missing; const Tensor *mode, *split, *members; } Branches;

/* Node i, or for a set the chain of its members: all but the first are appended behind the leaves. False if the set is empty. */
static bool add_branch(Forest *f, const Branches *t, int i, int inner, Members *left)
{
    int test = (int)tensor_get_i64(t->mode, i), n = test == TEST_MEMBER ? members_of_next(left) : 1, at = i;
    int32_t missing = t->missing.n && t->missing.v[i] ? NAN_IS_TRUE : 0;
    int32_t yes = branch(t->yes.v[i], t->yes_leaf.v[i], inner), no = branch(t->no.v[i], t->no_leaf.v[i], inner);
    for (int k = 0; k < n; k++) {
        int next = k + 1 < n ? f->nnode++ : no;
        int32_t node[4] = { (int32_t)t->feature.v[i], (test == TEST_MEMBER ? TEST_EQ : test) | missing, yes, next };
        memcpy(f->node[at], node, sizeof node);
        f->threshold[at] = test == TEST_MEMBER ? left->v[k] : tensor_get_f64(t->split, i);
        at = next;
    }
    if (test == TEST_MEMBER) {
        int used = n < left->n ? n + 1 : n;
        left->v += used;
        left->n -= used;
    }
    return n > 0;
}

static bool branches_of(Importer *c, Branches *t)
{
    *t = (Branches){ attr_ints(c, "nodes_featureids"), attr_ints(c, "nodes_truenodeids"), attr_ints(c, "nodes_falsenodeids"), attr_ints(c, "nodes_trueleafs"),
                     attr_ints(c, "nodes_falseleafs"), attr_ints(c, "nodes_missing_value_tracks_true"), attr_tensor(c, "nodes_modes"),
                     attr_tensor(c, "nodes_splits"), attr_tensor(c, "membership_values") };
    int n = t->feature.n;
    return (t->mode && t->split && t->mode->count == n && t->split->count == n && t->yes.n == n && t->no.n == n && t->yes_leaf.n == n &&
            t->no_leaf.n == n && (!t->missing.n || t->missing.n == n)) ||
           import_fail(c, "the lists that describe the nodes have different lengths");
}

static bool leaves_of(Importer *c, Forest *f, int inner)
{
    IntVec target = attr_ints(c, "leaf_targetids");
    const Tensor *weight = attr_tensor(c, "leaf_weights");
    if (!weight || weight->count != target.n)
        return import_fail(c, "leaf_targetids and leaf_weights have different lengths");
    f->nentry = target.n;
    f->target = ARENA_ARRAY(c->m->arena, int32_t, target.n + 1);
    f->weight = ARENA_ARRAY(c->m->arena, double, target.n + 1);
    for (int i = 0; i < target.n; i++) {
        int32_t leaf[4] = { -1, 0, i, 1 };
        memcpy(f->node[inner + i], leaf, sizeof leaf);
        f->target[i] = (int32_t)target.v[i];
        f->weight[i] = tensor_get_f64(weight, i);
    }
    return true;
}

static bool forest_of_branches(Importer *c, Forest *f)
{
    Branches t;
    IntVec roots = attr_ints(c, "tree_roots");
    if (!branches_of(c, &t))
        return false;
    int inner = t.feature.n, leaves = attr_ints(c, "leaf_targetids").n, nmember = t.members ? (int)t.members->count : 0;
    double *member = ARENA_ARRAY(c->m->arena, double, nmember + 1);
    for (int i = 0; i < nmember; i++)
        member[i] = tensor_get_f64(t.members, i);
    forest_alloc(c, f, inner + leaves + nmember + roots.n);
    f->nnode = inner + leaves;
    Members left = { nmember, member };
    for (int i = 0; i < inner; i++) {
        int64_t mode = tensor_get_i64(t.mode, i);
        if (mode < 0 || mode > TEST_MEMBER || !add_branch(f, &t, i, inner, &left))
            return import_fail(c, "node %d has a test that is not known or a set without members", i);
    }
    for (int i = 0; i < roots.n; i++)
        f->root[f->nroot++] = (int32_t)roots.v[i];
    return leaves_of(c, f, inner);
}

/* aggregate_function: 0 average, 1 sum, 2 min, 3 max. post_transform: 0 none, 1 softmax, 2 logistic, 3 softmax_zero, 4 probit. */
bool import_tree_ensemble(Importer *c)
{
    static const char *const how[] = { "avg", "sum", "min", "max" };
    static const char *const transform[] = { "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT" };
    Forest f = { 0 };
    int64_t aggregate = attr_i(c, "aggregate_function", 1), post = attr_i(c, "post_transform", 0);
    if (aggregate < 0 || aggregate > 3 || post < 0 || post > 4)
        return import_fail(c, "aggregate_function is %lld and post_transform is %lld", (long long)aggregate, (long long)post);
    if (!in(c, 0) || !forest_of_branches(c, &f))
        return false;
    Value *scores = run_forest(c, &f, in(c, 0), attr_i(c, "n_targets", 1), how[aggregate]);
    OUT(c, mk_cast_to(&c->b, ml_transformed(c, scores, transform[post]), in(c, 0)->type.dtype));
}
