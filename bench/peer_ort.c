/* peer_ort.c -- ingot-peer-ort LIBRARY MODEL.onnx [options of `ingot bench`]: ONNX Runtime, timed exactly as ingot's models are.
 *
 * LIBRARY is libonnxruntime.so, for instance that of the npm package onnxruntime-node. It is used through its C interface, a table of functions whose
 * order never changes; `Slot` has the places of those used here (onnxruntime_c_api.h, struct OrtApi), so that no header is needed.
 * The session becomes a ToolModel: inputs, warming up, clock and output are those of tool_bench.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

enum Slot {
    GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_SESSION_OPTIONS = 10, SET_GRAPH_OPTIMIZATION = 23,
    SET_INTRA_THREADS = 24, SET_INTER_THREADS = 25, INPUT_COUNT = 30, OUTPUT_COUNT = 31, INPUT_TYPE = 33, INPUT_NAME = 36, OUTPUT_NAME = 37,
    CREATE_TENSOR = 48, CREATE_TENSOR_ON_DATA = 49, FILL_STRINGS = 52, TENSOR_INFO_OF_TYPE = 55, ELEMENT_TYPE = 60, RANK = 61, DIMENSIONS = 62,
    SYMBOLIC_DIMENSIONS = 63, CREATE_CPU_MEMORY_INFO = 69, DEFAULT_ALLOCATOR = 78, RELEASE_VALUE = 96
};
enum { API_VERSION = 10, OPTIMIZE_ALL = 99, DEVICE_ALLOCATOR = 0, DEFAULT_MEMORY = 0, LOG_ERRORS = 3, MAX_PORTS = 256 };

typedef void Function(void);
typedef struct ApiBase {
    Function *const *(*get_api)(uint32_t version);
    const char *(*version)(void);
} ApiBase;

typedef struct Peer {
    Function *const *api;
    void *session, *allocator, *memory;
    ingot_model ports;
    const char *in_name[MAX_PORTS], *out_name[MAX_PORTS], *symbol[MAX_PORTS * INGOT_MAX_RANK];
    void *in[MAX_PORTS], *out[MAX_PORTS];       /* OrtValues; in: made by the first run */
    ingot_port in_port[MAX_PORTS];
    int64_t dim[MAX_PORTS][INGOT_MAX_RANK];
} Peer;

/* Every function returns NULL or a status that has a message. */
#define CALL(p, slot, types, ...) fine((p), ((void *(*)types)(p)->api[slot])(__VA_ARGS__))

static bool fine(const Peer *p, void *status)
{
    return !status || (tool_fail("ONNX Runtime: %s", ((const char *(*)(void *))p->api[GET_ERROR_MESSAGE])(status)), false);
}

/* ---- opening ---- */

static bool load(Peer *p, const char *library)
{
    void *file = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    ApiBase *(*base)(void) = NULL;
    if (file)
        *(void **)&base = dlsym(file, "OrtGetApiBase");
    if (!base)
        return tool_fail("%s", dlerror()), false;
    p->api = base()->get_api(API_VERSION);
    return p->api || (tool_fail("%s: ONNX Runtime %s is too old", library, base()->version()), false);
}

static bool open_session(Peer *p, const char *model, int threads)
{
    void *env, *options;
    return CALL(p, CREATE_ENV, (int, const char *, void **), LOG_ERRORS, "peer", &env) &&
           CALL(p, CREATE_SESSION_OPTIONS, (void **), &options) &&
           CALL(p, SET_GRAPH_OPTIMIZATION, (void *, int), options, OPTIMIZE_ALL) &&
           CALL(p, SET_INTRA_THREADS, (void *, int), options, threads) &&
           CALL(p, SET_INTER_THREADS, (void *, int), options, 1) &&
           CALL(p, CREATE_SESSION, (void *, const char *, void *, void **), env, model, options, &p->session) &&
           CALL(p, CREATE_CPU_MEMORY_INFO, (int, int, void **), DEVICE_ALLOCATOR, DEFAULT_MEMORY, &p->memory) &&
           CALL(p, DEFAULT_ALLOCATOR, (void **), &p->allocator);
}

/* ---- ports ---- */

static int64_t number_symbol(Peer *p, const char *name)
{
    int s = 0;
    while (s < p->ports.n_symbols && (!*name || strcmp(p->symbol[s], name)))
        s++;
    if (s == p->ports.n_symbols)
        p->symbol[p->ports.n_symbols++] = name;
    return -1 - s;
}

static bool describe_input(Peer *p, int i)
{
    void *type, *info = NULL;
    int element = 0;
    size_t rank = 0;
    const char *symbol[INGOT_MAX_RANK] = { "" };
    char *name;
    if (!CALL(p, INPUT_NAME, (void *, size_t, void *, char **), p->session, (size_t)i, p->allocator, &name) ||
        !CALL(p, INPUT_TYPE, (void *, size_t, void **), p->session, (size_t)i, &type) ||
        !CALL(p, TENSOR_INFO_OF_TYPE, (void *, void **), type, &info))
        return false;
    if (!info)
        return tool_fail("input '%s' is not a tensor", name), false;
    if (!CALL(p, ELEMENT_TYPE, (void *, int *), info, &element) || !CALL(p, RANK, (void *, size_t *), info, &rank))
        return false;
    if (rank > INGOT_MAX_RANK)
        return tool_fail("input '%s' has %zu dimensions", name, rank), false;
    if (!CALL(p, DIMENSIONS, (void *, int64_t *, size_t), info, p->dim[i], rank) ||
        !CALL(p, SYMBOLIC_DIMENSIONS, (void *, const char **, size_t), info, symbol, rank))
        return false;
    for (size_t d = 0; d < rank; d++)
        if (p->dim[i][d] < 0)
            p->dim[i][d] = number_symbol(p, symbol[d]);
    p->in_name[i] = name;
    p->in_port[i] = (ingot_port){ .name = name, .dtype = element, .rank = (int32_t)rank, .dim = p->dim[i] };
    return true;
}

static bool describe(Peer *p, const char *model)
{
    size_t nin, nout;
    if (!CALL(p, INPUT_COUNT, (void *, size_t *), p->session, &nin) || !CALL(p, OUTPUT_COUNT, (void *, size_t *), p->session, &nout))
        return false;
    if (nin > MAX_PORTS || nout > MAX_PORTS)
        return tool_fail("%s: more than %d inputs or outputs", model, MAX_PORTS), false;
    p->ports = (ingot_model){ .name = model, .n_inputs = (int)nin, .n_outputs = (int)nout, .input = p->in_port, .symbol = p->symbol };
    for (int i = 0; i < p->ports.n_inputs; i++)
        if (!describe_input(p, i))
            return false;
    for (size_t i = 0; i < nout; i++)
        if (!CALL(p, OUTPUT_NAME, (void *, size_t, void *, const char **), p->session, i, p->allocator, &p->out_name[i]))
            return false;
    return true;
}

/* ---- running ---- */

static bool fill_strings(Peer *p, void *value, const ingot_tensor *t)
{
    int64_t n = ingot_count(t);
    const ingot_string *s = t->data;
    char **text = calloc((size_t)n + 1, sizeof *text);
    bool ok = text != NULL;
    for (int64_t i = 0; ok && i < n; i++)
        ok = (text[i] = strndup(s[i].u.data, (size_t)s[i].bytes)) != NULL;
    ok = ok ? CALL(p, FILL_STRINGS, (void *, char *const *, size_t), value, text, (size_t)n) : (tool_fail("out of memory"), false);
    for (int64_t i = 0; text && i < n; i++)
        free(text[i]);
    free(text);
    return ok;
}

static bool make_value(Peer *p, const ingot_tensor *t, void **value)
{
    size_t rank = (size_t)t->rank, bytes = (size_t)ingot_count(t) * ingot_dtype_bytes(t->dtype);
    if (t->dtype == INGOT_str)
        return CALL(p, CREATE_TENSOR, (void *, const int64_t *, size_t, int, void **), p->allocator, t->dim, rank, t->dtype, value) &&
               fill_strings(p, *value, t);
    return CALL(p, CREATE_TENSOR_ON_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **), p->memory, t->data, bytes, t->dim, rank,
                t->dtype, value);
}

static int peer_run(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    Peer *p = self;
    (void)out;
    size_t nin = (size_t)p->ports.n_inputs, nout = (size_t)p->ports.n_outputs;
    bool ok = true;
    for (size_t i = 0; ok && i < nin; i++)
        ok = p->in[i] || make_value(p, &in[i], &p->in[i]);
    ok = ok && CALL(p, RUN, (void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t, void **), p->session, NULL, p->in_name,
                    p->in, nin, p->out_name, nout, p->out);
    snprintf(err->text, sizeof err->text, "the run failed");
    return ok ? INGOT_OK : INGOT_ERR_INTERNAL;
}

static void peer_after(void *self)
{
    Peer *p = self;
    for (int i = 0; i < p->ports.n_outputs; i++) {
        ((void (*)(void *))p->api[RELEASE_VALUE])(p->out[i]);
        p->out[i] = NULL;
    }
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

int main(int argc, char **argv)
{
    static Peer p;                      /* too large for the stack */
    const Command c = { "ingot-peer-ort", "", "LIBRARY MODEL.onnx", "Time a model with ONNX Runtime.", 2, 2 };
    BenchOptions o = { .threads = 1 };
    Operands given;
    const Option table[] = { BENCH_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &given);
    if (status >= 0)
        return status;
    if (!o.threads)
        o.threads = sysconf(_SC_NPROCESSORS_ONLN);
    double start = now_ms();            /* the library, too, must be there before a model runs */
    if (!load(&p, given.v[0]) || !open_session(&p, given.v[1], (int)o.threads))
        return 1;
    double load_ms = now_ms() - start;
    if (!describe(&p, given.v[1]))
        return 1;
    ToolModel model = { .name = given.v[1], .ports = &p.ports, .run = peer_run, .after = peer_after, .self = &p };
    return tool_bench(&model, load_ms, &o);
}
