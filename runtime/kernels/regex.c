/* regex.c -- whether strings match a pattern from end to end. The program (frontend/import_regex.c) runs on all its paths at once, one character after the
 * other (Thompson 1968; Pike): time grows with length times program, whatever the pattern.
 */
#include "kernel.h"

enum { IN_RANGES, EITHER, GO, MATCH, ONLY_IF };

typedef struct Machine {
    const int32_t (*code)[3], (*range)[2];
    int64_t size;                   /* instructions */
    int64_t *now, *next, *todo;     /* lists of instructions; room for as many as there are, of todo for twice as many */
    int64_t *seen;                  /* per instruction: the last step that reached it */
    int64_t step;
    const unsigned char *begin, *end;
} Machine;

static bool is_word(const Machine *m, const unsigned char *p)
{
    if (p < m->begin || p >= m->end)
        return false;
    return (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '_';
}

static bool holds(const Machine *m, int32_t what, const unsigned char *at)
{
    bool edge = is_word(m, at - 1) != is_word(m, at);
    return what == 0 ? at == m->begin : what == 1 ? at == m->end : what == 2 ? edge : !edge;
}

/* Adds an instruction and all that follow from it without a character. */
static int64_t reach(Machine *m, int64_t *list, int64_t n, int64_t from, const unsigned char *at)
{
    int64_t depth = 0;
    m->todo[depth++] = from;
    while (depth) {
        int64_t i = m->todo[--depth];
        if (m->seen[i] == m->step)
            continue;
        m->seen[i] = m->step;
        const int32_t *op = m->code[i];
        if (op[0] == EITHER)
            m->todo[depth++] = op[2];
        if (op[0] == EITHER || op[0] == GO)
            m->todo[depth++] = op[1];
        else if (op[0] != ONLY_IF)
            list[n++] = i;
        else if (holds(m, op[1], at))
            m->todo[depth++] = i + 1;
    }
    return n;
}

static const unsigned char *read_char(const unsigned char *p, const unsigned char *end, int32_t *ch)
{
    int more = *p < 0xc0 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    *ch = more ? *p & (0x3f >> more) : *p;
    for (p++; more && p < end; more--)
        *ch = *ch << 6 | (*p++ & 0x3f);
    return p;
}

static bool accepts(const Machine *m, const int32_t *op, int32_t ch)
{
    for (int32_t k = 0; k < op[2]; k++)
        if (ch >= m->range[op[1] + k][0] && ch <= m->range[op[1] + k][1])
            return true;
    return false;
}

static bool matches(Machine *m)
{
    const unsigned char *at = m->begin;
    int64_t n = (m->step++, reach(m, m->now, 0, 0, at));
    while (at < m->end && n) {
        int32_t ch;
        const unsigned char *behind = read_char(at, m->end, &ch);
        int64_t count = 0, *swap = m->now;
        m->step++;
        for (int64_t k = 0; k < n; k++)
            if (m->code[m->now[k]][0] == IN_RANGES && accepts(m, m->code[m->now[k]], ch))
                count = reach(m, m->next, count, m->now[k] + 1, behind);
        m->now = m->next, m->next = swap, n = count, at = behind;
    }
    for (int64_t k = 0; at == m->end && k < n; k++)
        if (m->code[m->now[k]][0] == MATCH)
            return true;
    return false;
}

K_KERNEL(str_match)
{
    const ingot_string *x = c->in[0].data;
    uint8_t *to = c->out[0].data;
    int64_t size = c->in[1].dim[0], *scratch = c->scratch;
    Machine m = { .code = c->in[1].data, .range = c->in[2].data, .size = size };
    m.now = scratch, m.next = scratch + size, m.seen = scratch + 2 * size, m.todo = scratch + 3 * size;
    for (int64_t i = 0; i < size; i++)
        m.seen[i] = 0;
    for (int64_t i = 0, n = k_count(&c->in[0]); i < n; i++) {
        m.begin = (const unsigned char *)x[i].u.data;
        m.end = m.begin + x[i].bytes;
        to[i] = matches(&m);
    }
    return K_OK;
}
