/* sequence.c -- sequences, optionals and maps: an ingot_tensor whose data are its items (ingot_abi.h).
 *
 * Containers have value semantics and share items: an item, once it is there, never changes. Its data is copied when it enters. A list of items that
 * was made here has a head in front of it, which `stride` points to: how many items are in use, by whoever; how many there is room for. An item can be
 * appended in place if the container's end is the list's; so a loop that appends takes linear time.
 */
#include "kernel.h"

typedef struct Head { int64_t used, room; } Head;

enum { HEAD_BYTES = 64, FIRST_ROOM = 8 };

static ingot_tensor *container(const KTensor *t) { return t->data; }
static ingot_tensor *items(const ingot_tensor *s) { return s->data; }

static int32_t code(int64_t kind)
{
    return kind == 1 ? INGOT_SEQUENCE : kind == 2 ? INGOT_OPTIONAL : INGOT_MAP;
}

static int64_t tensor_count(const ingot_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

/* A list with room for more items, the first n of `from` in it. */
static bool new_list(const KCall *c, ingot_tensor *s, const ingot_tensor *from, int64_t n, int64_t room)
{
    char *block = k_keep(c, HEAD_BYTES + room * (int64_t)sizeof(ingot_tensor));
    if (!block)
        return false;
    Head *h = (Head *)(void *)block;
    *h = (Head){ n, room };
    s->data = block + HEAD_BYTES;
    s->stride = &h->used;
    s->dim[0] = n;
    k_copy(s->data, from, n * (int64_t)sizeof *from);
    return true;
}

/* A place for one more item at the end; NULL: no memory. */
static ingot_tensor *extend(const KCall *c, ingot_tensor *s)
{
    int64_t n = s->dim[0];
    Head *h = (Head *)(uintptr_t)s->stride;
    if ((!h || h->used != n || h->room == n) && !new_list(c, s, items(s), n, n < FIRST_ROOM ? FIRST_ROOM : 2 * n))
        return NULL;
    h = (Head *)(uintptr_t)s->stride;
    h->used++;
    s->dim[0]++;
    return &items(s)[n];
}

/* An operand as an item; containers come without an element type. */
static int32_t put_item(const KCall *c, ingot_tensor *to, const KTensor *x)
{
    if (!to)
        return K_NO_MEMORY;
    if (!x->dtype) {
        *to = *container(x);
        return K_OK;
    }
    int64_t bytes = k_count(x) * k_dtype_bytes(x->dtype);
    *to = (ingot_tensor){ .data = k_keep(c, bytes), .dtype = x->dtype, .rank = x->rank };
    if (!to->data)
        return K_NO_MEMORY;
    for (int i = 0; i < x->rank; i++)
        to->dim[i] = x->dim[i];
    k_copy(to->data, x->data, bytes);
    return K_OK;
}

static ingot_tensor *begin(const KCall *c, int32_t dtype)
{
    ingot_tensor *s = container(&c->out[0]);
    *s = (ingot_tensor){ .dtype = dtype, .rank = 1 };
    return s;
}

static int64_t position(const KCall *c, int operand, int64_t otherwise)
{
    return operand < c->nin ? k_load_i64(c->in[operand].data, c->in[operand].dtype, 0) : otherwise;
}

/* Item at a position that counts from the end where it is negative; NULL: there is none. */
static const ingot_tensor *item_at(const KCall *c)
{
    const ingot_tensor *s = container(&c->in[0]);
    int64_t i = k_index(position(c, 1, 0), s->dim[0]);
    return i < 0 ? NULL : &items(s)[i];
}

K_KERNEL(seq_make)
{
    ingot_tensor *s = begin(c, code(c->attr[0]));
    for (int i = 0; i < c->nin; i++) {
        int32_t status = put_item(c, extend(c, s), &c->in[i]);
        if (status)
            return status;
    }
    return K_OK;
}

K_KERNEL(seq_as)
{
    *container(&c->out[0]) = *container(&c->in[0]);
    return K_OK;
}

K_KERNEL(seq_insert)
{
    const ingot_tensor *from = container(&c->in[0]);
    int64_t n = from->dim[0], at = position(c, 2, n);
    at = at < 0 ? at + n : at;
    if (at < 0 || at > n)
        return K_INDEX_RANGE;
    ingot_tensor *s = container(&c->out[0]);
    *s = *from;
    if (at == n)
        return put_item(c, extend(c, s), &c->in[1]);
    if (!new_list(c, s, items(from), at, n + 1))
        return K_NO_MEMORY;
    k_copy(items(s) + at + 1, items(from) + at, (n - at) * (int64_t)sizeof *s);
    ((Head *)(uintptr_t)s->stride)->used = s->dim[0] = n + 1;
    return put_item(c, &items(s)[at], &c->in[1]);
}

K_KERNEL(seq_erase)
{
    const ingot_tensor *from = container(&c->in[0]);
    int64_t n = from->dim[0], at = k_index(position(c, 1, -1), n);
    if (at < 0)
        return K_INDEX_RANGE;
    ingot_tensor *s = begin(c, from->dtype);
    if (!new_list(c, s, items(from), at, n))
        return K_NO_MEMORY;
    k_copy(items(s) + at, items(from) + at + 1, (n - at - 1) * (int64_t)sizeof *s);
    ((Head *)(uintptr_t)s->stride)->used = s->dim[0] = n - 1;
    return K_OK;
}

K_KERNEL(seq_length)
{
    *(int64_t *)c->out[0].data = container(&c->in[0])->dim[0];
    return K_OK;
}

K_KERNEL(seq_shape)
{
    const ingot_tensor *x = item_at(c);
    int64_t *to = c->out[0].data, rank = c->attr[0];
    if (!x)
        return K_INDEX_RANGE;
    if (x->rank != rank)
        return K_BAD_SHAPE;
    for (int i = 0; i < x->rank; i++)
        to[i] = x->dim[i];
    return K_OK;
}

static bool fits(const ingot_tensor *x, const KTensor *to)
{
    bool same = x->dtype == to->dtype && x->rank == to->rank;
    for (int i = 0; same && i < x->rank; i++)
        same = x->dim[i] == to->dim[i];
    return same;
}

K_KERNEL(seq_at)
{
    const ingot_tensor *x = item_at(c);
    if (!x)
        return K_INDEX_RANGE;
    if (!fits(x, &c->out[0]))
        return K_BAD_SHAPE;
    k_copy(c->out[0].data, x->data, tensor_count(x) * k_dtype_bytes(x->dtype));
    return K_OK;
}

K_KERNEL(seq_get)
{
    const ingot_tensor *s = container(&c->in[0]);
    if (s->dim[0] != 1)
        return K_INDEX_RANGE;
    *container(&c->out[0]) = items(s)[0];
    return K_OK;
}

/* ---- all items as one tensor ---- */

/* Items agree in everything but the axis they are laid along. */
static bool agree(const ingot_tensor *x, const ingot_tensor *y, int64_t axis)
{
    bool same = x->dtype == y->dtype && x->rank == y->rank;
    for (int i = 0; same && i < x->rank; i++)
        same = x->dim[i] == y->dim[i] || i == axis;
    return same;
}

K_KERNEL(seq_concat_shape)
{
    const ingot_tensor *s = container(&c->in[0]), *x = items(s);
    int64_t *to = c->out[0].data, axis = c->attr[0], rank = c->attr[2], n = s->dim[0];
    bool stack = c->attr[1];
    if (!n || x->rank + stack != rank || axis < 0 || axis >= rank)
        return K_BAD_SHAPE;
    int64_t along = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!agree(x, &x[i], stack ? -1 : axis))
            return K_BAD_SHAPE;
        along += stack ? 1 : x[i].dim[axis];
    }
    for (int64_t i = 0; i < rank; i++)
        to[i] = i == axis ? along : x->dim[i - (stack && i > axis)];
    return K_OK;
}

K_KERNEL(seq_concat)
{
    const ingot_tensor *s = container(&c->in[0]), *x = items(s);
    const KTensor *out = &c->out[0];
    int64_t axis = c->attr[0], outer = k_count_to(out, (int)axis), inner = k_count_from(out, (int)axis + 1) * k_dtype_bytes(out->dtype), done = 0;
    bool stack = c->attr[1];
    for (int64_t i = 0; i < s->dim[0]; i++) {
        if (x[i].dtype != out->dtype)
            return K_BAD_VALUE;
        int64_t bytes = (stack ? 1 : x[i].dim[axis]) * inner;
        for (int64_t o = 0; o < outer; o++)
            k_copy((char *)out->data + o * out->dim[axis] * inner + done, (const char *)x[i].data + o * bytes, bytes);
        done += bytes;
    }
    return K_OK;
}

/* ---- one tensor as items ---- */

/* Size of piece i, which begins at `from`; -1 where the pieces end. */
static int64_t piece_size(const KCall *c, int64_t i, int64_t from, int64_t size)
{
    int64_t left = size - from;
    if (c->nin < 2)
        return left > 0 ? 1 : -1;
    const KTensor *sizes = &c->in[1];
    int64_t want = i < k_count(sizes) || !sizes->rank ? k_load_i64(sizes->data, sizes->dtype, sizes->rank ? i : 0) : -1;
    if (sizes->rank)
        return want;
    return left <= 0 || want <= 0 ? -1 : want < left ? want : left;
}

static int32_t put_piece(const KCall *c, ingot_tensor *s, int64_t from, int64_t size)
{
    const KTensor *x = &c->in[0];
    int64_t axis = c->attr[0], unit = k_dtype_bytes(x->dtype), outer = k_count_to(x, (int)axis), inner = k_count_from(x, (int)axis + 1) * unit;
    bool drop = c->nin < 2 && !c->attr[1];
    ingot_tensor *to = extend(c, s);
    void *data = to ? k_keep(c, outer * size * inner) : NULL;
    if (!data)
        return K_NO_MEMORY;
    *to = (ingot_tensor){ .data = data, .dtype = x->dtype, .rank = x->rank - drop };
    for (int i = 0, k = 0; i < x->rank; i++)
        if (!drop || i != axis)
            to->dim[k++] = i == axis ? size : x->dim[i];
    for (int64_t o = 0; o < outer; o++)
        k_copy((char *)data + o * size * inner, (const char *)x->data + (o * x->dim[axis] + from) * inner, size * inner);
    return K_OK;
}

K_KERNEL(seq_split)
{
    int64_t size = c->in[0].dim[c->attr[0]], from = 0;
    ingot_tensor *s = begin(c, INGOT_SEQUENCE);
    for (int64_t i = 0, n; (n = piece_size(c, i, from, size)) >= 0; i++, from += n) {
        int32_t status = from + n <= size ? put_piece(c, s, from, n) : K_BAD_SHAPE;
        if (status)
            return status;
    }
    return from == size ? K_OK : K_BAD_SHAPE;
}

/* ---- maps: the keys, then the values ---- */

static int32_t put_row(const KCall *c, ingot_tensor *s, const ingot_tensor *keys, int64_t row)
{
    const KTensor *values = &c->in[1];
    int64_t n = values->dim[1], bytes = n * k_dtype_bytes(values->dtype);
    ingot_tensor *map = extend(c, s);
    if (!map)
        return K_NO_MEMORY;
    *map = (ingot_tensor){ .dtype = INGOT_MAP, .rank = 1, .dim = { 2 } };
    map->data = k_keep(c, 2 * (int64_t)sizeof *map);
    void *data = k_keep(c, bytes);
    if (!map->data || !data)
        return K_NO_MEMORY;
    k_copy(data, (const char *)values->data + row * bytes, bytes);
    items(map)[0] = *keys;
    items(map)[1] = (ingot_tensor){ .data = data, .dtype = values->dtype, .rank = 1, .dim = { n } };
    return K_OK;
}

K_KERNEL(map_zip)
{
    ingot_tensor *s = begin(c, INGOT_SEQUENCE), keys;
    int32_t status = put_item(c, &keys, &c->in[0]);
    for (int64_t i = 0; !status && i < c->in[1].dim[0]; i++)
        status = put_row(c, s, &keys, i);
    return status;
}

/* How many keys there are; -1: it is no map. One without a key may be without lists. */
static int64_t map_size(const ingot_tensor *m)
{
    if (!m->dim[0])
        return 0;
    bool ok = m->dim[0] == 2 && items(m)[0].rank == 1 && items(m)[1].rank == 1 && items(m)[0].dim[0] == items(m)[1].dim[0];
    return ok ? items(m)[0].dim[0] : -1;
}

K_KERNEL(map_size)
{
    int64_t n = map_size(container(&c->in[0]));
    *(int64_t *)c->out[0].data = n;
    return n < 0 ? K_BAD_SHAPE : K_OK;
}

static int32_t take_part(const KCall *c, int part)
{
    const ingot_tensor *m = container(&c->in[0]);
    const KTensor *to = &c->out[0];
    if (map_size(m) != to->dim[0] || (m->dim[0] && items(m)[part].dtype != to->dtype))
        return K_BAD_SHAPE;
    if (!m->dim[0])
        return K_OK;
    k_copy(to->data, items(m)[part].data, to->dim[0] * k_dtype_bytes(to->dtype));
    return K_OK;
}

K_KERNEL(map_keys) { return take_part(c, 0); }

K_KERNEL(map_values) { return take_part(c, 1); }
