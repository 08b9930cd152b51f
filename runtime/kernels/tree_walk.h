/* tree_walk.h -- the walk of tree_ensemble.c for one element type: included there with REAL set to float and to double. */
#define TREE_NAME_(f, t) f##_##t
#define TREE_NAME(f, t) TREE_NAME_(f, t)
#define OF_REAL(f) TREE_NAME(f, REAL)

/* A record of the table of nodes: feature, test and NAN_IS_TRUE in one word. A leaf: -1, first entry, number of entries. */
typedef struct OF_REAL(TreeNode) {
    int32_t feature, yes, no;
    REAL threshold;
} OF_REAL(TreeNode);

static inline bool OF_REAL(goes_true)(int32_t test, REAL x, REAL threshold)
{
    switch (test) {
    case 0: return x <= threshold;
    case 1: return x < threshold;
    case 2: return x >= threshold;
    case 3: return x > threshold;
    case 4: return x == threshold;
    default: return x != threshold;
    }
}

/* All walks from at[l] to their leaves. x[l]: the row of walk l. False if one would leave the table. */
static inline bool OF_REAL(walk_by)(const Forest *f, int n, const REAL *const *x, int32_t *at, int32_t test)
{
    const OF_REAL(TreeNode) *table = f->node;
    for (bool moved = true; moved;) {
        moved = false;
        for (int l = 0; l < n; l++) {
            const OF_REAL(TreeNode) *p = table + at[l];
            if (p->feature < 0)
                continue;
            int32_t feature = p->feature & FEATURE;
            if (feature >= f->features)
                return false;
            REAL v = x[l][feature];
            bool yes = OF_REAL(goes_true)(test < 0 ? p->feature >> TEST_SHIFT & TEST_MASK : test, v, p->threshold);
            yes = v != v ? (p->feature & NAN_IS_TRUE) != 0 : yes;
            int32_t to = yes ? p->yes : p->no;
            if (to <= at[l] || to >= f->nodes)
                return false;
            at[l] = to;
            moved = true;
        }
    }
    return true;
}

/* A copy for each test that trees in use have, and for a full set of walks. */
static bool OF_REAL(walk)(const Forest *f, int n, const REAL *const *x, int32_t *at)
{
    if (n == WALKS && f->test == 0)
        return OF_REAL(walk_by)(f, WALKS, x, at, 0);
    if (n == WALKS && f->test == 1)
        return OF_REAL(walk_by)(f, WALKS, x, at, 1);
    return OF_REAL(walk_by)(f, n, x, at, f->test);
}

/* hit: NULL for sums */
static void OF_REAL(add_entry)(const Forest *f, int32_t k, REAL w, REAL *y, unsigned char *hit)
{
    if (!hit) {
        y[k] += w;
        return;
    }
    if (!hit[k] || (f->least ? w < y[k] : w > y[k]))
        y[k] = w;
    hit[k] = 1;
}

static bool OF_REAL(add_leaf)(const Forest *f, int32_t at, REAL *y, unsigned char *hit)
{
    const OF_REAL(TreeNode) *leaf = (const OF_REAL(TreeNode) *)f->node + at;
    const REAL *weight = f->weight;
    int64_t first = leaf->yes, end = first + leaf->no;
    if (first < 0 || leaf->no < 0 || end > f->entries)
        return false;
    for (int64_t i = first; i < end; i++) {
        if (f->target[i] < 0 || f->target[i] >= f->count)
            return false;
        OF_REAL(add_entry)(f, f->target[i], weight[i], y, hit);
    }
    return true;
}

static bool OF_REAL(start)(const Forest *f, int64_t tree, int32_t *at)
{
    *at = f->root[tree];
    return *at >= 0 && *at < f->nodes;
}

static int OF_REAL(walks_of)(int64_t left)
{
    return left < WALKS ? (int)left : WALKS;
}

/* One row through all trees, WALKS trees at a time. */
static bool OF_REAL(run_row)(const Forest *f, const REAL *row, REAL *y)
{
    const REAL *x[WALKS];
    int32_t at[WALKS];
    for (int l = 0; l < WALKS; l++)
        x[l] = row;
    for (int64_t t = 0; t < f->roots; t += WALKS) {
        int n = OF_REAL(walks_of)(f->roots - t);
        for (int l = 0; l < n; l++)
            if (!OF_REAL(start)(f, t + l, &at[l]))
                return false;
        if (!OF_REAL(walk)(f, n, x, at))
            return false;
        for (int l = 0; l < n; l++)
            if (!OF_REAL(add_leaf)(f, at[l], y, f->hit))
                return false;
    }
    return true;
}

/* n rows, at most WALKS, through one tree after the other. */
static bool OF_REAL(run_block)(const Forest *f, int n, const REAL *rows, int64_t step, REAL *y)
{
    const REAL *x[WALKS];
    int32_t at[WALKS];
    for (int l = 0; l < n; l++)
        x[l] = rows + l * step;
    for (int64_t t = 0; t < f->roots; t++) {
        for (int l = 0; l < n; l++)
            if (!OF_REAL(start)(f, t, &at[l]))
                return false;
        if (!OF_REAL(walk)(f, n, x, at))
            return false;
        for (int l = 0; l < n; l++)
            if (!OF_REAL(add_leaf)(f, at[l], y + l * f->count, f->hit ? f->hit + l * f->count : NULL))
                return false;
    }
    return true;
}

static int32_t OF_REAL(run_rows)(const Forest *f, const REAL *x, int64_t rows, int64_t step, REAL *y)
{
    for (int64_t r = 0; r < rows; r += WALKS) {
        int n = OF_REAL(walks_of)(rows - r);
        REAL *to = y + r * f->count;
        for (int64_t k = 0; k < n * f->count; k++) {
            to[k] = 0;
            if (f->hit)
                f->hit[k] = 0;
        }
        if (!(n == 1 ? OF_REAL(run_row)(f, x + r * step, to) : OF_REAL(run_block)(f, n, x + r * step, step, to)))
            return K_BAD_VALUE;
        for (int64_t k = 0; f->average && k < n * f->count; k++)
            to[k] /= (REAL)f->roots;
    }
    return K_OK;
}

#undef TREE_NAME_
#undef TREE_NAME
#undef OF_REAL
#undef REAL
