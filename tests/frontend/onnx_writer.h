/* onnx_writer.h -- writes ONNX messages for tests, field by field. A message is a growing buffer; a nested one is written first, then put.
 *
 * Field numbers are those of frontend/onnx.proto; here they stand as numbers, so that a test does not inherit a mistake of that file.
 */
#ifndef INGOT_TEST_ONNX_WRITER_H
#define INGOT_TEST_ONNX_WRITER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

typedef struct Msg {
    size_t n;
    uint8_t b[1 << 14];
} Msg;

static inline Msg *msg_new(void)
{
    return calloc(1, sizeof(Msg));
}

static inline void msg_raw(Msg *m, const void *p, size_t n)
{
    assert_true(m->n + n <= sizeof m->b);
    memcpy(m->b + m->n, p, n);
    m->n += n;
}

static inline void msg_varint(Msg *m, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        msg_raw(m, &(uint8_t){ (uint8_t)(v | 0x80) }, 1);
    msg_raw(m, &(uint8_t){ (uint8_t)v }, 1);
}

static inline void put_int(Msg *m, int field, int64_t v)
{
    msg_varint(m, (uint64_t)field << 3);
    msg_varint(m, (uint64_t)v);
}

static inline void put_bytes(Msg *m, int field, const void *p, size_t n)
{
    msg_varint(m, (uint64_t)field << 3 | 2);
    msg_varint(m, n);
    msg_raw(m, p, n);
}

static inline void put_text(Msg *m, int field, const char *s)
{
    put_bytes(m, field, s, strlen(s));
}

/* Puts a nested message and frees it. */
static inline void put_msg(Msg *m, int field, Msg *sub)
{
    put_bytes(m, field, sub->b, sub->n);
    free(sub);
}

/* ---- ONNX ---- */

enum { ONNX_FLOAT = 1, ONNX_INT64 = 7, ONNX_BOOL = 9 };

/* "N,3,?" -> dim_param N, dim_value 3, nothing */
static inline Msg *value_info(const char *name, int dtype, const char *dims)
{
    Msg *info = msg_new(), *type = msg_new(), *tensor = msg_new(), *shape = msg_new();
    char copy[256], *save, *word;
    strcpy(copy, dims);
    for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        Msg *dim = msg_new();
        if (*word >= '0' && *word <= '9')
            put_int(dim, 1, atoi(word));
        else if (strcmp(word, "?"))
            put_text(dim, 2, word);
        put_msg(shape, 1, dim);
    }
    put_int(tensor, 1, dtype);
    put_msg(tensor, 2, shape);
    put_msg(type, 1, tensor);
    put_text(info, 1, name);
    put_msg(info, 2, type);
    return info;
}

static inline Msg *node_named(const char *op, const char *name, const char *inputs, const char *outputs)
{
    Msg *node = msg_new();
    for (int field = 1; field <= 2; field++) {
        const char *s = field == 1 ? inputs : outputs;
        while (*s) {
            size_t n = strcspn(s, " ");
            put_bytes(node, field, s, n == 1 && *s == '_' ? 0 : n);     /* _ is the absent input */
            s += n + (s[n] == ' ');
        }
    }
    put_text(node, 3, name);
    put_text(node, 4, op);
    return node;
}

static inline Msg *node_of(const char *op, const char *inputs, const char *outputs)
{
    return node_named(op, "", inputs, outputs);
}

static inline void attr_int(Msg *node, const char *name, int64_t v)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    put_int(a, 3, v);
    put_int(a, 20, 2);
    put_msg(node, 5, a);
}

/* The node, so that calls nest. */
static inline Msg *attr_text(Msg *node, const char *name, const char *v)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    put_text(a, 4, v);
    put_int(a, 20, 3);
    put_msg(node, 5, a);
    return node;
}

static inline void attr_float(Msg *node, const char *name, float v)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    msg_varint(a, 2 << 3 | 5);
    msg_raw(a, &v, 4);
    put_int(a, 20, 1);
    put_msg(node, 5, a);
}

static inline void attr_graph(Msg *node, const char *name, Msg *graph)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    put_msg(a, 6, graph);
    put_int(a, 20, 5);
    put_msg(node, 5, a);
}

static inline void attr_reference(Msg *node, const char *name, const char *of, int type)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    put_int(a, 20, type);
    put_text(a, 21, of);
    put_msg(node, 5, a);
}

static inline Msg *tensor_raw(const char *name, int dtype, int rank, const int64_t *dims, const void *data, size_t bytes)
{
    Msg *t = msg_new();
    for (int i = 0; i < rank; i++)
        put_int(t, 1, dims[i]);
    put_int(t, 2, dtype);
    put_text(t, 8, name);
    put_bytes(t, 9, data, bytes);
    return t;
}

static inline Msg *tensor_floats(const char *name, int n, const float *v)
{
    return tensor_raw(name, ONNX_FLOAT, 1, (int64_t[]){ n }, v, sizeof *v * (size_t)n);
}

static inline Msg *tensor_ints(const char *name, int n, const int64_t *v)
{
    return tensor_raw(name, ONNX_INT64, 1, (int64_t[]){ n }, v, sizeof *v * (size_t)n);
}

static inline Msg *opset(const char *domain, int64_t version)
{
    Msg *o = msg_new();
    put_text(o, 1, domain);
    put_int(o, 2, version);
    return o;
}

/* A model of IR version 8, opset 17, with this graph. More fields may follow. */
static inline Msg *model_of(Msg *graph)
{
    Msg *m = msg_new();
    put_int(m, 1, 8);
    put_msg(m, 7, graph);
    put_msg(m, 8, opset("", 17));
    return m;
}

#endif
