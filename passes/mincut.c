/* mincut.c -- see mincut.h. Dinic's algorithm: breadth-first levels, then a blocking flow by depth-first walks along them, until the sink cannot be
 * reached; what still reaches the sink is its side. Walks keep their path in an array, for graphs may be long chains.
 */
#include "mincut.h"

#include <string.h>

typedef struct Edge {
    int to, next;                   /* next edge of the same node, -1: none. Edge e ^ 1 is the opposite one. */
    int64_t room;
} Edge;

struct MinCut {
    Arena *arena;
    Edge *edge;
    int nedge, edge_room;
    int *first;                     /* by node */
    int nnode, node_room;
};

static void *grown(Arena *a, const void *old, int used, int room, size_t size)
{
    void *p = arena_alloc(a, size * (size_t)room);
    if (used)
        memcpy(p, old, size * (size_t)used);
    return p;
}

MinCut *mincut_new(Arena *a)
{
    MinCut *c = ARENA_NEW(a, MinCut);
    c->arena = a;
    mincut_node(c);
    mincut_node(c);
    return c;
}

int mincut_node(MinCut *c)
{
    if (c->nnode == c->node_room) {
        c->node_room = c->node_room ? 2 * c->node_room : 64;
        c->first = grown(c->arena, c->first, c->nnode, c->node_room, sizeof *c->first);
    }
    c->first[c->nnode] = -1;
    return c->nnode++;
}

int mincut_count(const MinCut *c)
{
    return c->nnode;
}

static void half_edge(MinCut *c, int from, int to, int64_t room)
{
    if (c->nedge == c->edge_room) {
        c->edge_room = c->edge_room ? 2 * c->edge_room : 256;
        c->edge = grown(c->arena, c->edge, c->nedge, c->edge_room, sizeof *c->edge);
    }
    c->edge[c->nedge] = (Edge){ to, c->first[from], room };
    c->first[from] = c->nedge++;
}

void mincut_edge(MinCut *c, int from, int to, int64_t capacity)
{
    half_edge(c, from, to, capacity);
    half_edge(c, to, from, 0);
}

static bool find_levels(const MinCut *c, int *level, int *queue)
{
    int n = 0;
    memset(level, -1, sizeof *level * (size_t)c->nnode);
    level[CUT_SOURCE] = 0;
    queue[n++] = CUT_SOURCE;
    for (int i = 0; i < n; i++)
        for (int e = c->first[queue[i]]; e >= 0; e = c->edge[e].next)
            if (c->edge[e].room > 0 && level[c->edge[e].to] < 0) {
                level[c->edge[e].to] = level[queue[i]] + 1;
                queue[n++] = c->edge[e].to;
            }
    return level[CUT_SINK] >= 0;
}

static void push_along(MinCut *c, const int *path, int length)
{
    int64_t flow = CUT_NEVER;
    for (int i = 0; i < length; i++)
        flow = c->edge[path[i]].room < flow ? c->edge[path[i]].room : flow;
    for (int i = 0; i < length; i++) {
        c->edge[path[i]].room -= flow;
        c->edge[path[i] ^ 1].room += flow;
    }
}

/* One walk from the source along rising levels; at[v] is the first edge of v not yet known to be useless. False: none is left. */
static bool push_once(MinCut *c, int *level, int *at, int *path)
{
    int n = 0, v = CUT_SOURCE;
    while (v != CUT_SINK) {
        int e = at[v];
        while (e >= 0 && !(c->edge[e].room > 0 && level[c->edge[e].to] == level[v] + 1))
            e = c->edge[e].next;
        at[v] = e;
        if (e >= 0) {
            path[n++] = e;
            v = c->edge[e].to;
        } else if (n) {                     /* dead end: never come here again */
            level[v] = -1;
            v = c->edge[path[--n] ^ 1].to;
        } else {
            return false;
        }
    }
    push_along(c, path, n);
    return true;
}

/* Walks edges against their direction, from the sink. */
static void find_side(const MinCut *c, bool *side, int *queue)
{
    int n = 0;
    for (int i = 0; i < c->nnode; i++)
        side[i] = i != CUT_SINK;
    queue[n++] = CUT_SINK;
    for (int i = 0; i < n; i++)
        for (int e = c->first[queue[i]]; e >= 0; e = c->edge[e].next)
            if (c->edge[e ^ 1].room > 0 && side[c->edge[e].to]) {
                side[c->edge[e].to] = false;
                queue[n++] = c->edge[e].to;
            }
}

void mincut_solve(MinCut *c, bool *side)
{
    int *level = ARENA_ARRAY(c->arena, int, c->nnode), *at = ARENA_ARRAY(c->arena, int, c->nnode);
    int *work = ARENA_ARRAY(c->arena, int, c->nnode + 1);
    while (find_levels(c, level, work)) {
        memcpy(at, c->first, sizeof *at * (size_t)c->nnode);
        while (push_once(c, level, at, work))
            ;
    }
    find_side(c, side, work);
}
