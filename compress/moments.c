/* moments.c -- see moments.h. */
#include "moments.h"

#include "linalg.h"

enum { BLOCK = 128 };

bool moments_new(Arena *a, const Rows *r, bool columns, Moments *m)
{
    *m = (Moments){ .rows = *r, .n = r->nfeatures + 1 };
    if ((double)r->ngroups * m->n * (m->n + (columns ? r->nout : 0)) * sizeof(double) > (double)MOMENTS_MOST_BYTES)
        return false;
    m->gram = ARENA_ARRAY(a, double *, r->ngroups);
    m->cross = ARENA_ARRAY(a, double *, r->ngroups);
    m->x = ARENA_ARRAY(a, double, BLOCK * m->n);
    m->y = ARENA_ARRAY(a, double, BLOCK * r->nout);
    for (int g = 0; g < r->ngroups; g++) {
        m->gram[g] = ARENA_ARRAY(a, double, (size_t)m->n * (size_t)m->n);
        m->cross[g] = columns ? ARENA_ARRAY(a, double, (size_t)m->n * (size_t)r->nout) : NULL;
    }
    return true;
}

static void add_block(Moments *m, const Tensor *x, const Tensor *y, const int64_t *row, int rows, int group, MomentsWanted *wanted, void *ctx)
{
    int nout = m->rows.nout;
    for (int i = 0; i < rows; i++) {
        rows_read(&m->rows, x, y, row[i], group, m->x + (size_t)i * (size_t)m->n);
        m->x[(size_t)i * (size_t)m->n + (size_t)m->n - 1] = 1;
        for (int c = 0; m->cross[group] && c < nout; c++) {
            double t = wanted(ctx, row[i], (int64_t)group * nout + c);
            m->y[i * nout + c] = t;
            m->wanted += t * t;
        }
    }
    linalg_gram_add(m->gram[group], m->n, m->x, rows);
    if (m->cross[group])
        linalg_cross_add(m->cross[group], m->n, nout, m->x, m->y, rows);
}

void moments_add(Moments *m, const Tensor *x, const Tensor *y, int64_t most, uint64_t seed, MomentsWanted *wanted, void *ctx)
{
    int64_t all = rows_count(&m->rows, y), use = all < most ? all : most, row[BLOCK];
    uint64_t start = seed * 0x9e3779b97f4a7c15u >> 33;
    for (int64_t done = 0; done < use;) {
        int rows = 0;
        for (; rows < BLOCK && done < use; rows++, done++)
            row[rows] = (int64_t)(((uint64_t)(done * all / use) + start) % (uint64_t)all);
        for (int g = 0; g < m->rows.ngroups; g++)
            add_block(m, x, y, row, rows, g, wanted, ctx);
        m->count += rows;
    }
}

void moments_finish(Moments *m)
{
    for (int g = 0; g < m->rows.ngroups; g++)
        linalg_mirror(m->gram[g], m->n);
}
