/* tree_walk.h -- the walk of tree_ensemble.c for one element type: included there with REAL set to float and to double. */
#define TREE_NAME_(f, t) f##_##t
#define TREE_NAME(f, t) TREE_NAME_(f, t)
#define OF_REAL(f) TREE_NAME(f, REAL)

static bool OF_REAL(goes_true)(int32_t test, REAL x, REAL threshold)
{
    if (x != x)
        return (test & NAN_IS_TRUE) != 0;
    switch (test & TEST_MASK) {
    case 0: return x <= threshold;
    case 1: return x < threshold;
    case 2: return x >= threshold;
    case 3: return x > threshold;
    case 4: return x == threshold;
    default: return x != threshold;
    }
}

/* NULL if the walk leaves the tables or does not end. */
static const int32_t *OF_REAL(find_leaf)(const Forest *f, const REAL *x, int64_t at)
{
    const REAL *threshold = f->threshold;
    for (int64_t step = 0; step <= f->nodes && at >= 0 && at < f->nodes; step++) {
        const int32_t *n = f->node + 4 * at;
        if (n[0] < 0)
            return n;
        if (n[0] >= f->features)
            return NULL;
        at = OF_REAL(goes_true)(n[1], x[n[0]], threshold[at]) ? n[2] : n[3];
    }
    return NULL;
}

static void OF_REAL(add_entry)(const Forest *f, int32_t k, REAL w, REAL *y)
{
    if (!f->hit) {
        y[k] += w;
        return;
    }
    if (!f->hit[k] || (f->least ? w < y[k] : w > y[k]))
        y[k] = w;
    f->hit[k] = 1;
}

static bool OF_REAL(add_leaf)(const Forest *f, const int32_t *leaf, REAL *y)
{
    const REAL *weight = f->weight;
    if (leaf[2] < 0 || leaf[3] < 0 || leaf[2] + (int64_t)leaf[3] > f->entries)
        return false;
    for (int64_t i = leaf[2]; i < leaf[2] + (int64_t)leaf[3]; i++) {
        if (f->target[i] < 0 || f->target[i] >= f->count)
            return false;
        OF_REAL(add_entry)(f, f->target[i], weight[i], y);
    }
    return true;
}

static int32_t OF_REAL(run_row)(const Forest *f, const REAL *x, REAL *y)
{
    for (int64_t k = 0; k < f->count; k++) {
        y[k] = 0;
        if (f->hit)
            f->hit[k] = 0;
    }
    for (int64_t t = 0; t < f->roots; t++) {
        const int32_t *leaf = OF_REAL(find_leaf)(f, x, f->root[t]);
        if (!leaf || !OF_REAL(add_leaf)(f, leaf, y))
            return K_BAD_VALUE;
    }
    for (int64_t k = 0; f->average && k < f->count; k++)
        y[k] /= (REAL)f->roots;
    return K_OK;
}

#undef TREE_NAME_
#undef TREE_NAME
#undef OF_REAL
#undef REAL
