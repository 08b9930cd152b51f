/* weights.c -- the constant data of a model: which tensors, in which layout, at which offset of one read-only blob.
 *
 * Generators ask for offsets while they emit code; the data itself is produced only when the object file is written, one entry at a time, straight
 * from the mapped model file where the layout is the file's own. So compiling a large model never holds a second copy of its weights.
 *
 * Entries are found again by a hash of layout and data. Data is the same if it lies at the same address; small tensors (scalars, shapes) are
 * compared by content too.
 */
#include <stdlib.h>
#include <string.h>

#include "cg.h"
#include "ingot_abi.h"

enum { ALIGNMENT = 64, SMALL = 4096, BUCKETS = 1024 };

struct Weights {
    Arena *arena;
    int n, room;
    WeightEntry **entry;
    int *chain;                     /* next entry of the same bucket, -1 at the end */
    int bucket[BUCKETS];
    uint64_t bytes;
};

Weights *weights_new(Arena *a)
{
    Weights *w = ARENA_NEW(a, Weights);
    w->arena = a;
    memset(w->bucket, -1, sizeof w->bucket);
    return w;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    for (const unsigned char *p = data; n; n--, p++)
        h = (h ^ *p) * 0x100000001b3u;
    return h;
}

static unsigned bucket_of(const WeightEntry *e)
{
    uint64_t h = hash_bytes(0xcbf29ce484222325u, e->param, sizeof e->param) ^ e->bytes;
    if (tensor_bytes(e->tensor) <= SMALL)
        h = hash_bytes(h, e->tensor->data, tensor_bytes(e->tensor));
    else
        h = hash_bytes(h, &e->tensor->data, sizeof e->tensor->data);
    return (unsigned)((h ^ h >> 29) % BUCKETS);
}

static bool same_data(const Tensor *a, const Tensor *b)
{
    if (a->dtype != b->dtype || a->splat != b->splat || a->count != b->count)
        return false;
    return a->data == b->data || !tensor_bytes(a) || (tensor_bytes(a) <= SMALL && !memcmp(a->data, b->data, tensor_bytes(a)));
}

static bool same_entry(const WeightEntry *a, const WeightEntry *b)
{
    return a->write == b->write && a->more_bytes == b->more_bytes && (!a->more_bytes || !memcmp(a->more, b->more, a->more_bytes)) && a->bytes == b->bytes && !memcmp(a->param, b->param, sizeof a->param) && same_data(a->tensor, b->tensor);
}

static void make_room(Weights *w)
{
    if (w->n < w->room)
        return;
    int room = w->room ? 2 * w->room : 64;
    WeightEntry **entry = ARENA_ARRAY(w->arena, WeightEntry *, room);
    int *chain = ARENA_ARRAY(w->arena, int, room);
    if (w->n) {
        memcpy(entry, w->entry, (size_t)w->n * sizeof *entry);
        memcpy(chain, w->chain, (size_t)w->n * sizeof *chain);
    }
    w->entry = entry;
    w->chain = chain;
    w->room = room;
}

static uint64_t add_entry(Weights *w, WeightEntry e)
{
    unsigned b = bucket_of(&e);
    for (int i = w->bucket[b]; i >= 0; i = w->chain[i])
        if (same_entry(w->entry[i], &e))
            return w->entry[i]->offset;
    e.offset = w->bytes;
    w->bytes += (e.bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    make_room(w);
    w->entry[w->n] = arena_copy(w->arena, &e, sizeof e);
    w->chain[w->n] = w->bucket[b];
    w->bucket[b] = w->n++;
    return e.offset;
}

uint64_t weights_add(Weights *w, const Tensor *t, uint64_t bytes, void (*write)(const WeightEntry *, void *), const int64_t param[4])
{
    WeightEntry e = { .tensor = t, .bytes = bytes, .write = write };
    memcpy(e.param, param, sizeof e.param);
    return add_entry(w, e);
}

uint64_t weights_add_more(Weights *w, const Tensor *t, uint64_t bytes, void (*write)(const WeightEntry *, void *), const void *more, size_t more_bytes)
{
    return add_entry(w, (WeightEntry){ .tensor = t, .bytes = bytes, .write = write, .more = more, .more_bytes = more_bytes });
}

/* The tensor as it is; a splat is repeated by copies that double. */
static void write_plain(const WeightEntry *e, void *to)
{
    size_t done = tensor_bytes(e->tensor);
    if (!e->bytes)
        return;
    memcpy(to, e->tensor->data, done);
    for (; done < e->bytes; done *= 2)
        memcpy((char *)to + done, to, done < e->bytes - done ? done : e->bytes - done);
}

uint64_t weights_add_plain(Weights *w, const Tensor *t)
{
    uint64_t bytes = (uint64_t)t->count * (uint64_t)dtype_bytes(t->dtype);
    return weights_add(w, t, bytes, write_plain, (int64_t[4]){ 0 });
}

int weights_count(const Weights *w) { return w->n; }
const WeightEntry *weights_at(const Weights *w, int i) { return w->entry[i]; }
uint64_t weights_bytes(const Weights *w) { return w->bytes; }

/* ---- writing ---- */

static bool write_entry(const WeightEntry *e, FILE *f)
{
    if (e->write == write_plain && !e->tensor->splat)
        return fwrite(e->tensor->data, 1, e->bytes, f) == e->bytes;
    void *buffer = calloc(1, e->bytes);
    if (!buffer)
        return false;
    e->write(e, buffer);
    bool ok = fwrite(buffer, 1, e->bytes, f) == e->bytes;
    free(buffer);
    return ok;
}

bool weights_write(const Weights *w, FILE *f)
{
    static const char zeros[ALIGNMENT];
    for (int i = 0; i < w->n; i++) {
        const WeightEntry *e = w->entry[i];
        size_t gap = (size_t)(-e->bytes % ALIGNMENT);
        if (e->bytes && (!write_entry(e, f) || fwrite(zeros, 1, gap, f) != gap))
            return false;
    }
    return true;
}

/* ---- in code ---- */

const char *cg_weights_symbol(Codegen *cg)
{
    return arena_printf(cg->arena, "%s_ingot_weights", cg->m->name);
}

LLVMValueRef cg_weights_base(Codegen *cg)
{
    const char *name = cg_weights_symbol(cg);
    LLVMValueRef base = LLVMGetNamedGlobal(cg->mod, name);
    if (base)
        return base;
    base = LLVMAddGlobal(cg->mod, LLVMArrayType2(cg->i8, 0), name);
    LLVMSetLinkage(base, LLVMExternalLinkage);
    LLVMSetVisibility(base, LLVMHiddenVisibility);
    LLVMSetGlobalConstant(base, true);
    LLVMSetAlignment(base, ALIGNMENT);
    return base;
}

/* Strings are pointers, which a file cannot hold: they become constants of the module, laid out as ingot_string (16 bytes on every machine). */
static LLVMValueRef string_constant(Codegen *cg, const ingot_string *s)
{
    LLVMValueRef text = LLVMConstStringInContext2(cg->llvm, s->bytes ? s->u.data : "", (size_t)s->bytes, true);
    LLVMValueRef data = LLVMAddGlobal(cg->mod, LLVMTypeOf(text), "text"), bytes = LLVMConstInt(cg->i64, s->bytes, false);
    LLVMSetInitializer(data, text);
    LLVMSetGlobalConstant(data, true);
    LLVMSetLinkage(data, LLVMPrivateLinkage);
    if (cg->target.is_64bit)
        return LLVMConstStructInContext(cg->llvm, (LLVMValueRef[]){ data, bytes }, 2, false);
    return LLVMConstStructInContext(cg->llvm, (LLVMValueRef[]){ data, LLVMConstNull(cg->i32), bytes }, 3, false);
}

static LLVMValueRef string_table(Codegen *cg, const Tensor *t)
{
    LLVMValueRef *item = ARENA_ARRAY(cg->arena, LLVMValueRef, t->count);
    for (int64_t i = 0; i < t->count; i++)
        item[i] = string_constant(cg, (const ingot_string *)t->data + (t->splat ? 0 : i));
    LLVMValueRef init = LLVMConstArray2(LLVMTypeOf(item[0]), item, (uint64_t)t->count), table = LLVMAddGlobal(cg->mod, LLVMTypeOf(init), "strings");
    LLVMSetInitializer(table, init);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMPrivateLinkage);
    return table;
}

LLVMValueRef cg_constant_data(Codegen *cg, const Tensor *t)
{
    if (t->dtype == DT_str && t->count)
        return string_table(cg, t);
    LLVMValueRef offset = LLVMConstInt(cg->i64, weights_add_plain(cg->weights, t), false);
    return LLVMBuildGEP2(cg->b, cg->i8, cg_weights_base(cg), &offset, 1, "");
}
