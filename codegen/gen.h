/* gen.h -- what the kernel generators share: the group they compile, and how they read elements of it.
 *
 * A Group is one kernel's worth of IR: a bare node, or the body of a `fused` node with at most one anchor (contraction, reduction, pooling).
 * Its operands are values outside; its result is the value that the body returns. Values inside are never stored: group_load emits the
 * computation of one element, or of CG_LANES neighbouring elements, of any value inside, reading operands from memory.
 *
 * Elements are addressed by an Index over the *space* of a value:
 *   - merged space (elementwise groups): adjacent dims that every operand either has or lacks are one dim; the index is never adapted on the way to
 *     an operand, an operand just has stride 0 along dims it lacks. Elementwise functions commute with broadcasting, so this is exact.
 *   - full space (groups with movement ops): one index per dim of the value at hand; each op maps the index of its result to that of its operands.
 */
#ifndef INGOT_GEN_H
#define INGOT_GEN_H

#include "cg.h"

enum { MAX_OPERANDS = 64, MAX_KNOWN = 40, MAX_MEMO = 512, MAX_TABLES = 8 };

typedef struct Index {
    int rank;
    LLVMValueRef v[MAX_RANK];       /* i64: of lane 0 */
    int64_t lane[MAX_RANK];         /* how much the next lane adds */
    int id;                         /* equal ids: same index, for remembering values; 0: never remembered */
} Index;

/* Dims of the iteration space after merging. */
typedef struct Space {
    int rank;
    Dim dim[MAX_RANK];
    int full_to_merged[MAX_RANK];           /* full dim -> merged dim, -1 for dims of size 1 */
    Dim stride[MAX_OPERANDS][MAX_RANK];     /* of operand k along each merged dim, in elements; 0 where it broadcasts */
    Dim maybe_one[MAX_OPERANDS][MAX_RANK];  /* operand's own size where only the run tells whether it broadcasts, else NULL */
} Space;

/* A byte as a function of another (byte_table.c). */
typedef struct ByteTable {
    const Value *result, *source;   /* source NULL: it is none, or not worth it */
    LLVMValueRef table;             /* address of 256 bytes */
} ByteTable;

typedef struct Group {
    Codegen *cg;
    const Node *owner;              /* the node in the planned graph */
    const Graph *body;              /* of a fused node, else NULL */
    const Node *anchor;             /* the contraction, reduction or pooling inside, or NULL; of attention the last matmul ... */
    const Node *weights;            /* the dequantize_blocks that gives the anchor its weights, or NULL (low_bit_product.h) */
    const Node *scores, *softmax;   /* ... and then these are the other two, else NULL */
    const Node *pool;               /* of 2x2 pixels behind Winograd's convolution and its epilogue (winograd_takes_pool), else NULL */
    bool rows;                      /* computed row by row (gen_rows.c): other reductions over the same axis may follow the anchor */
    int noperand;
    Value *operand[MAX_OPERANDS];   /* outer values, as owner's operands */
    Value *inner[MAX_OPERANDS];     /* the body's input values (= operand for a bare node) */
    Dim row;                        /* elements from one row of the result to the next, if they lie apart (concat_part.h), else NULL */
    Value *result;                  /* inner value that is stored, or pooled and then stored (a bare node: its result) */
    bool elementwise;               /* apart from the anchor, only EW, cast, bitcast */
    bool computes;                  /* some of these */
    const struct Beats *beats;      /* set by the generator of a kernel that has them, else NULL */
    /* while emitting */
    LLVMValueRef args, context;
    LLVMValueRef scratch;           /* working memory (owner->scratch), NULL: the node has none */
    LLVMValueRef ptr[MAX_OPERANDS]; /* operand data */
    LLVMValueRef out;               /* result data */
    const Space *space;             /* NULL: full space */
    const Value *given_value;       /* the anchor's result: not computed but given ... */
    LLVMValueRef given;             /* ... as this compute value */
    LLVMValueRef mask;              /* lanes that operands may be read under, NULL: all (not with strided reads) */
    int nknown;                     /* values with one element per row, computed already */
    struct { const Value *v; LLVMValueRef scalar; } known[MAX_KNOWN];
    LLVMValueRef last_lane;         /* lanes behind this one (i64) read what it reads, where lanes do not run along memory; NULL: every lane may be read */
    int ntables;
    ByteTable table[MAX_TABLES];
    int nmemo, next_index_id;
    struct { const Value *v; int index_id, lanes; LLVMValueRef val; } memo[MAX_MEMO];
} Group;

/* ---- group.c ---- */
bool group_open(Group *g, Codegen *cg, const Node *owner);          /* finds operands, anchor, result; false: reported */
void group_enter(Group *g, LLVMValueRef fn);                        /* at the start of the kernel function: loads args */
int group_operand(const Group *g, const Value *inner);              /* number of the operand, or -1 */
/* Read by the anchor straight from memory, so that even a uniform constant must be there. */
bool operand_read_plain(const Group *g, int k);
Space group_space(Group *g, const Value *v);                        /* merged space of elementwise value v of this group */
Index index_new(Group *g, int rank);                                /* fresh id, lanes 0 */
/* Compute value (scalar for lanes 1, else vector) of v at the index. */
LLVMValueRef group_load(Group *g, const Value *v, const Index *at, int lanes);
/* True if group_load of v with the last dim along the lanes needs only contiguous or uniform memory reads. */
bool group_lanes_ok(Group *g, const Value *v);
bool group_lanes_ok_along(Group *g, const Value *v, int dim);       /* another dim, in the full space */
/* The same for bytes that are a long function of bytes, by a table (byte_table.c); NULL: they are not. */
LLVMValueRef byte_table_load(Group *g, const Value *v, const Index *at, int lanes);
/* For a caller that can cut its columns: lanes must not reach over a cut, where a pad or another part of a concat begins. Cuts are ascending, but may lie
 * outside [0, size]. */
enum { MAX_CUTS = 16 };
typedef struct LaneCuts {
    int n;
    Dim at[MAX_CUTS];
    bool strided;                   /* some read is not contiguous: columns cannot be masked */
} LaneCuts;
bool group_lanes_cut(Group *g, const Value *v, int dim, LaneCuts *cuts);
/* Store a compute value of the result's dtype to element `offset` (i64) of the result; mask (<lanes x i1>) may be NULL. */
void group_store(Group *g, LLVMValueRef val, LLVMValueRef offset, int lanes, LLVMValueRef mask);
/* Store CG_LANES values to elements offset, offset + stride, ... */
void group_scatter(Group *g, LLVMValueRef val, LLVMValueRef offset, LLVMValueRef stride);
LLVMValueRef group_dim(Group *g, Dim d);                            /* cg_dim with the group's context */
LLVMValueRef operand_load(Group *g, int operand, LLVMValueRef offset, int lanes, LLVMValueRef mask);   /* raw element access -> compute value */
/* Elements in memory that a kernel addresses by itself: an operand's, or its scratch. */
typedef struct Elements { LLVMValueRef ptr; DType type; } Elements;
Elements operand_elements(const Group *g, int operand);
LLVMValueRef elements_load(Codegen *cg, const Elements *e, LLVMValueRef offset, int lanes, LLVMValueRef mask);     /* -> compute value */
void elements_store(Codegen *cg, const Elements *e, LLVMValueRef val, LLVMValueRef offset, int lanes, LLVMValueRef mask);
/* Offset of the element in the contiguous tensor with these dims. */
LLVMValueRef linear_offset(Group *g, int rank, const Dim *dim, const LLVMValueRef *index);
/* Split a flat number into one index per dim. */
void split_index(Group *g, LLVMValueRef flat, int rank, const Dim *dim, LLVMValueRef *out);
LLVMValueRef lane_mask(Codegen *cg, LLVMValueRef live);             /* <CG_LANES x i1>: lane < live (i64) */
bool cg_masks_memory(const Codegen *cg);                            /* the target reads and writes under a mask by one instruction */

/* Value of epilogue: everything between the anchor and the result, given the anchor's value at this index of the result's space. */
LLVMValueRef group_epilogue(Group *g, LLVMValueRef anchor_value, const Index *at, int lanes);
/* The same with the masked lanes of a tail: operands are read under the mask. */
LLVMValueRef group_epilogue_masked(Group *g, LLVMValueRef anchor_value, const Index *at, int lanes, LLVMValueRef mask);

/* ---- slots.c: scratch for each of the threads that run a kernel ---- */

enum { MAX_SLOTS = 32 };
LLVMValueRef slot_claim(Group *g, int slots);                       /* number (i64) of a slot that is this call's until slot_release */
void slot_release(Group *g, LLVMValueRef slot);

/* ---- vectors rearranged in registers (shuffle.c) ---- */

/* Elements 0 of v[0..n), then their elements 1...: n vectors in place. n <= CG_LANES. */
void cg_interleave(Codegen *cg, int n, LLVMValueRef *v);
/* Every step-th of the elements that v[0..step) hold: v[k] begins at element k * CG_LANES, but v[step - 1] so that it ends with the last one wanted. */
LLVMValueRef cg_every(Codegen *cg, int step, const LLVMValueRef *v);

/* ---- reducing (reducer.c) ---- */

typedef struct Reducer {            /* an associative operation on compute values */
    DType type;                     /* compute type */
    ScalarOp op;                    /* S_add S_mul S_max S_min */
    LLVMValueRef identity;          /* scalar */
} Reducer;

Reducer reducer_of(Codegen *cg, const char *kind, DType storage);   /* sum prod max min */
LLVMValueRef reducer_apply(Codegen *cg, const Reducer *r, LLVMValueRef a, LLVMValueRef b, int lanes);
LLVMValueRef reducer_across(Codegen *cg, const Reducer *r, LLVMValueRef vec);       /* lanes to a scalar, as a balanced tree */
LLVMValueRef cg_primitive(Codegen *cg, ScalarOp op, DType type, LLVMValueRef a, LLVMValueRef b, int lanes);
LLVMValueRef cg_math(Codegen *cg, FRef (*f)(FRec *, FRef), DType type, LLVMValueRef x, int lanes);     /* f_exp, f_log... */
LLVMValueRef cg_variable(Codegen *cg, LLVMValueRef init);           /* stack slot in the entry block, set to init here */
LLVMValueRef cg_get(Codegen *cg, LLVMValueRef var);
void cg_set(Codegen *cg, LLVMValueRef var, LLVMValueRef val);

/* ---- the generators: each emits the body of the kernel function for units [begin, end) and says how many units there are ---- */
typedef struct Work {
    Dim units;                      /* independent pieces of work */
    Dim cost;                       /* rough scalar operations per unit, for deciding about threads */
} Work;

/* Of a kernel that runs steps which depend on each other (gen_recurrent.c): another way to run it, where threads share every step. */
typedef struct Beats {
    LLVMValueRef fn;                /* kernel that runs one beat, whose number it finds at the head of the node's scratch memory */
    Dim count;                      /* beats are numbered -1 .. count-1 */
    Work work;                      /* of one beat */
} Beats;

typedef bool GenFn(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work);
/* The owner's pool is a maximum of f32 of which it is known that the order of their bits is theirs. */
bool pool_compares_bits(const Node *owner);
GenFn gen_map, gen_pad, gen_reduce, gen_arg_reduce, gen_softmax, gen_pool, gen_matmul, gen_conv, gen_conv_any, gen_conv_transpose, gen_recurrent;
GenFn gen_attention, gen_rows;

/* gen_pad emits nothing and returns false where it does not apply: gen_map does. */

/* gen_run.c: emit everything of cg->m into cg->mod. */
bool gen_module(Codegen *cg);
/* gen_descriptor.c: the ingot_model constant and the functions it points to. */
void gen_descriptor(Codegen *cg, LLVMValueRef run);

/* kernel_key.c: equal strings mean the same kernel. */
const char *kernel_key(Codegen *cg, const Node *n);

/* ---- layouts of packed weights (pack.c) ---- */

/* The operand of this kernel that is read from a packed copy instead of its plain data, or -1; *offset is the copy's place among the weights.
 * A constant weight is packed in panels of CG_LANES columns, zero-padded:
 *   matmul [batch][K,N]          -> [batch][panel][K][16]
 *   conv [M, C/g, k...]          -> [group][panel][taps][C/g][16]
 *   depthwise conv [C, 1, k...]  -> [taps][C rounded up to 16]
 *   Winograd conv [M, C, 3, 3]   -> [items][n*n][panels][C][16], transformed
 *   recurrent                    see gen_recurrent.c
 * and 8-bit weights as int8.h says, those of bf16 as bf16.h does.
 */
int pack_operand(const Group *g, uint64_t *offset);
static inline int64_t panels_of(int64_t columns) { return (columns + CG_LANES - 1) / CG_LANES; }
uint64_t recurrent_pack(const Group *g, const Tensor *r);
bool conv_is_fast(const Group *g);          /* channels last, no pads (but for Winograd), constant weights, at most 2 spatial axes */
bool conv_is_depthwise(const Group *g);

/* ---- tile.c: the register-tiled inner product ---- */

typedef struct TileShape { int rows, panels; } TileShape;
enum { MAX_TILE = 32, TILE_ROWS = 14, CERTAIN_ROWS = 9 };
/* Rows (at most `most`) x panels that fill the register file without spilling, as the model's choices or a cost model say. rows, cols: how many there are,
 * 0 if unknown. */
TileShape tile_choose(const Group *g, DType type, int64_t rows, int64_t cols, int most);
/* What the cost model says of the best of these shapes: cycles for each k, per row and panel. */
double tile_least_cost(const Group *g, DType type, int64_t rows, int64_t cols, int most);

/* Sums that are not complete yet: what a tile begins with and where it leaves them, if k is taken in several blocks. [row][the tile's columns]. */
typedef struct Partial {
    Elements sums;
    LLVMValueRef row;               /* the first, of the whole result */
    LLVMValueRef first, last;       /* i1: nothing is there yet; the sums are complete after this */
} Partial;

/* A matrix product seen as rows x columns of a contiguous result: conv, matmul. */
typedef struct Tile Tile;
typedef struct Contract {
    Group *g;
    Elements a, b;
    int bias;                       /* operand number, -1: none */
    bool packed;                    /* b is in panels */
    bool near;                      /* b was just written: nothing to ask for ahead */
    Dim rows, cols;                 /* of the whole result */
    TileShape shape;
    int64_t run_rows;               /* rows that lie side by side with row_step between them (a row of the image, or all); 0: only the run knows */
    LLVMValueRef row_step;          /* elements of a between such rows */
    LLVMValueRef (*row_offset)(struct Contract *c, LLVMValueRef row);   /* elements of a before a row that may lie anywhere; NULL: by row_step */
    LLVMValueRef panel_step, k_step;/* elements of b between panels, between k and k + 1 */
    int64_t panel_rows, row_tiles;  /* of packed b: k from one panel to the next, tiles that read a panel one after the other; 0: only the run knows */
    Space space;                    /* of the result, for the epilogue */
    bool merged;                    /* space is [rows, cols] or their product; else indices are full */
    void (*sum)(struct Contract *c, Tile *t);    /* emits the runs of one tile by tile_accumulate */
    void (*store)(struct Contract *c, const Tile *t);    /* what becomes of the sums; NULL: epilogue, and into the result */
    const Partial *partial;         /* NULL: a tile's sum is complete at once */
    void *ctx;
} Contract;

struct Tile {
    Contract *c;
    int rows, panels;
    LLVMValueRef row;               /* first row, within its run */
    LLVMValueRef flat_row;          /* the same, of the whole result */
    LLVMValueRef col;               /* first column */
    LLVMValueRef b_start;           /* elements of b before this tile's first panel */
    LLVMValueRef a_start;           /* elements of a before the run of rows */
    LLVMValueRef number;            /* of the row_tiles that read these panels; NULL: not counted */
    LLVMValueRef mask[8];           /* per panel: live columns, NULL all */
    LLVMValueRef live;              /* rows that there are, at least CERTAIN_ROWS; the others repeat the last and are not stored. NULL: all */
    LLVMValueRef acc[MAX_TILE];     /* variables, row-major */
};

void contract_open(Contract *c);
/* All columns [col, col + panels*16) for the rows [row, row_end) of one run, as many tiles as it takes (at most shape.rows rows). */
void contract_block(Contract *c, Tile at, LLVMValueRef row_end);
/* Tiles (or lines of them) of a that all `groups` of panels pass over before the next are begun: of `all` as many as stay in the second-level cache.
 * Bytes: of all tiles, and of all panels; 0: only the run knows. */
Dim contract_band(const Contract *c, Dim all, int64_t a_bytes, int64_t b_bytes, Dim groups);
/* CG_LANES neighbouring columns of one row of the result, by the epilogue. */
LLVMValueRef contract_value(Contract *c, LLVMValueRef sum, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask);
/* Epilogue and store of CG_LANES neighbouring columns of one row of the result. */
void contract_store(Contract *c, LLVMValueRef sum, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask);
/* acc += a[row][k] * b[k][col] for k in [0, length): a_offset and b_offset in elements, added to the tile's own place. */
void tile_accumulate(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, LLVMValueRef length);

/* Weights that do not stay in the second cache from run to run: they are fetched a set of panels ahead, the first rows would wait for them. */
bool contract_weights_are_large(const Contract *c);
DType contract_type(const Group *g);        /* of the anchor's sums */
bool contract_of_bytes(const Group *g);     /* u8 times i8 */
bool contract_of_pairs(const Group *g);     /* bf16 times bf16, two k at once where the weights are packed (bf16.h) */
LLVMValueRef contract_operand(Group *g, LLVMValueRef v, DType from, int lanes);     /* an element in the type of the sums */

typedef struct Branch { LLVMBasicBlockRef other, done; } Branch;
Branch branch_begin(Codegen *cg, LLVMValueRef cond);
void branch_else(Codegen *cg, Branch *b);
void branch_end(Codegen *cg, Branch *b);

#endif
