/* dot_place.c -- see dot_place.h. One pass from the sources down, in time n log n, instead of iterating to an optimum:
 *
 *   row        a node is one row below the lowest of its sources; a row is as high as its highest node
 *   column     a node wants to stand at the mean of its sources' x; a row is filled from left to right in the order of these wishes, without
 *              overlaps, and then shifted so that its nodes are off their wishes by nothing on average
 *
 * Sizes are estimated from the labels, generously. Lengths are points, y upward.
 */
#include "dot_place.h"

#include <stdlib.h>
#include <string.h>

#include "ptrmap.h"

enum { CHAR_WIDTH = 6, LINE_HEIGHT = 13, MARGIN = 18, GAP = 20, CLUSTER_PAD = 8 };

typedef struct Place {
    Agnode_t *node;
    int row, serial;
    double want, x, y, width, height;
} Place;

static void set(void *object, const char *name, const char *value)
{
    agsafeset(object, (char *)(uintptr_t)name, (char *)(uintptr_t)value, (char *)(uintptr_t)"");
}

/* Lines in a label are separated by a backslash and an n. */
static void estimate_size(Place *p, const char *label)
{
    int lines = 1, chars = 0, longest = 0;
    for (; *label; label++) {
        bool line_ends = label[0] == '\\' && label[1] == 'n';
        chars = line_ends ? 0 : chars + 1;
        longest = chars > longest ? chars : longest;
        lines += line_ends;
        label += label[0] == '\\' && label[1];
    }
    p->width = longest * CHAR_WIDTH + MARGIN;
    p->height = lines * LINE_HEIGHT + MARGIN;
}

static int by_row(const void *a, const void *b)
{
    const Place *x = *(Place *const *)a, *y = *(Place *const *)b;
    return x->row != y->row ? x->row - y->row : x->serial - y->serial;
}

static int by_want(const void *a, const void *b)
{
    const Place *x = *(Place *const *)a, *y = *(Place *const *)b;
    return x->want < y->want ? -1 : x->want > y->want ? 1 : x->serial - y->serial;
}

static void place_row(Agraph_t *g, PtrMap *index, Place *all, Place **row, int n, double top)
{
    double edge = -1e30, off = 0;
    for (int i = 0; i < n; i++) {
        int sources = 0;
        for (Agedge_t *e = agfstin(g, row[i]->node); e; e = agnxtin(g, e), sources++)
            row[i]->want += all[ptrmap_get(index, agtail(e), 0)].x;
        row[i]->want /= sources ? sources : 1;
    }
    qsort(row, (size_t)n, sizeof *row, by_want);
    for (int i = 0; i < n; i++) {
        double least = edge + row[i]->width / 2;
        row[i]->x = row[i]->want > least ? row[i]->want : least;
        row[i]->y = top - row[i]->height / 2;
        edge = row[i]->x + row[i]->width / 2 + GAP;
        off += row[i]->x - row[i]->want;
    }
    for (int i = 0; i < n; i++)
        row[i]->x -= off / n;
}

static void place_rows(Agraph_t *g, PtrMap *index, Place *all, int n, Arena *a)
{
    Place **sorted = ARENA_ARRAY(a, Place *, n + 1);
    double top = 0;
    for (int i = 0; i < n; i++)
        sorted[i] = &all[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_row);
    for (int i = 0, end; i < n; i = end) {
        double height = 0;
        for (end = i; end < n && sorted[end]->row == sorted[i]->row; end++)
            height = sorted[end]->height > height ? sorted[end]->height : height;
        place_row(g, index, all, sorted + i, end - i, top);
        top -= height + GAP;
    }
}

static void box_clusters(Agraph_t *g, const PtrMap *index, const Place *all, Arena *a)
{
    for (Agraph_t *c = agfstsubg(g); c; c = agnxtsubg(c)) {
        double x0 = 1e30, y0 = 1e30, x1 = -1e30, y1 = -1e30;
        for (Agnode_t *n = agfstnode(c); n; n = agnxtnode(c, n)) {
            const Place *p = &all[ptrmap_get(index, n, 0)];
            x0 = p->x - p->width / 2 < x0 ? p->x - p->width / 2 : x0;
            x1 = p->x + p->width / 2 > x1 ? p->x + p->width / 2 : x1;
            y0 = p->y - p->height / 2 < y0 ? p->y - p->height / 2 : y0;
            y1 = p->y + p->height / 2 > y1 ? p->y + p->height / 2 : y1;
        }
        if (x0 <= x1)
            set(c, "bb", arena_printf(a, "%.0f,%.0f,%.0f,%.0f", x0 - CLUSTER_PAD, y0 - CLUSTER_PAD, x1 + CLUSTER_PAD, y1 + CLUSTER_PAD));
        box_clusters(c, index, all, a);
    }
}

void dot_place(Agraph_t *g, Arena *a)
{
    int n = 0;
    PtrMap index = ptrmap_new(a);
    Place *all = ARENA_ARRAY(a, Place, agnnodes(g) + 1);
    for (Agnode_t *node = agfstnode(g); node; node = agnxtnode(g, node), n++) {
        Place *p = &all[n];
        *p = (Place){ .node = node, .serial = n };
        *ptrmap_at(&index, node) = (uintptr_t)n;
        for (Agedge_t *e = agfstin(g, node); e; e = agnxtin(g, e)) {
            int below = all[ptrmap_get(&index, agtail(e), 0)].row + 1;
            p->row = below > p->row ? below : p->row;
        }
        estimate_size(p, agget(node, (char *)(uintptr_t)"label"));
    }
    place_rows(g, &index, all, n, a);
    for (int i = 0; i < n; i++)
        set(all[i].node, "pos", arena_printf(a, "%.0f,%.0f", all[i].x, all[i].y));
    box_clusters(g, &index, all, a);
}
