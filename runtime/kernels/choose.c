/* choose.c -- the k greatest of n keys: what topk and non_max_suppression sort with.
 *
 * A heap of the k best indices so far, the worst of them at its root; sorted at the end by taking the root away again and again. O(n log k).
 */
#include "kernel.h"

typedef struct Heap {
    const int64_t *key;             /* of every element of the row; greater is better */
    int64_t *at;                    /* indices into key, a heap: no parent is better than its children */
    int64_t n;
} Heap;

static bool is_worse(const Heap *h, int64_t a, int64_t b)
{
    return h->key[a] != h->key[b] ? h->key[a] < h->key[b] : a > b;
}

static void sift_down(Heap *h, int64_t p)
{
    int64_t moved = h->at[p];
    for (int64_t child; (child = 2 * p + 1) < h->n; p = child) {
        child += child + 1 < h->n && is_worse(h, h->at[child + 1], h->at[child]);
        if (!is_worse(h, h->at[child], moved))
            break;
        h->at[p] = h->at[child];
    }
    h->at[p] = moved;
}

void k_choose_best(const int64_t *key, int64_t n, int64_t k, int64_t *at)
{
    Heap heap = { key, at, k }, *h = &heap;
    for (int64_t i = 0; i < k; i++)
        h->at[i] = i;
    for (int64_t p = k / 2 - 1; p >= 0; p--)
        sift_down(h, p);
    for (int64_t i = k; i < n; i++)
        if (is_worse(h, h->at[0], i)) {
            h->at[0] = i;
            sift_down(h, 0);
        }
    while (h->n > 1) {                                      /* the worst goes to the end */
        int64_t worst = h->at[0];
        h->at[0] = h->at[--h->n];
        sift_down(h, 0);
        h->at[h->n] = worst;
    }
}
