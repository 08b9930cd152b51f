/* tool_run.c -- open a model, run it once, write its outputs. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy.h"
#include "tool.h"

int tool_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("error: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

bool tool_is_compiled(const char *path)
{
    char magic[4] = "";
    size_t n = strlen(path);
    if (n >= 3 && !strcmp(path + n - 3, ".so"))
        return true;
    FILE *f = fopen(path, "rb");
    bool elf = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "\177ELF", 4);
    if (f)
        fclose(f);
    return elf;
}

static int session_run(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    return ingot_run(((ToolSession *)self)->context, in, out, err);
}

/* There where the program has libingot_images. */
extern int ingot_decode_image(const void *data, uint64_t bytes, int32_t format, int64_t size[2], uint8_t *pixels) __attribute__((weak));

ingot_image_decoder tool_image_decoder(void)
{
    return ingot_decode_image;
}

bool tool_open(const char *path, const char *name, int64_t threads, ToolSession *s)
{
    ingot_error err;
    *s = (ToolSession){ 0 };
    int n = threads ? (int)(threads < 1024 ? threads : 1024) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (ingot_open(path, &s->file, &err) || ingot_context_new(ingot_file_model(s->file), &s->context, &err) ||
        (n > 1 && ingot_set_threads(s->context, n, &err))) {
        tool_fail("%s", err.text);
        tool_close(s);
        return false;
    }
    ingot_set_image_decoder(s->context, tool_image_decoder());
    s->model = (ToolModel){ .name = name, .ports = ingot_file_model(s->file), .run = session_run, .self = s };
    return true;
}

void tool_close(ToolSession *s)
{
    ingot_context_free(s->context);
    ingot_close(s->file);
}

void tool_tensor_file(const char *folder, const ingot_port *p, char *path, size_t bytes)
{
    int n = snprintf(path, bytes, "%s/", folder), at = n;
    n += snprintf(path + n, n < (int)bytes ? bytes - (size_t)n : 0, "%s%s", p->name, tool_extension(p));
    for (char *s = path + at; n < (int)bytes && *s; s++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", *s))
            *s = '_';
}

/* Two names may become one file name; better a refusal than a lost output. */
static bool check_file_names(const ingot_model *m, const char *folder)
{
    char a[4096], b[4096];
    for (int i = 0; i < m->n_outputs; i++)
        for (int k = 0; k < i; k++) {
            tool_tensor_file(folder, &m->output[i], a, sizeof a);
            tool_tensor_file(folder, &m->output[k], b, sizeof b);
            if (!strcmp(a, b))
                return tool_fail("outputs '%s' and '%s' would both be written to %s", m->output[k].name, m->output[i].name, a), false;
        }
    if (mkdir(folder, 0777) && errno != EEXIST)
        return tool_fail("%s: cannot be made: %s", folder, strerror(errno)), false;
    return true;
}

static bool write_outputs(const ingot_model *m, const ingot_tensor *out, const char *folder)
{
    ingot_error err;
    char path[4096];
    for (int i = 0; i < m->n_outputs; i++) {
        tool_tensor_file(folder, &m->output[i], path, sizeof path);
        if (tool_value_write(path, &out[i], &err))
            return tool_fail("%s", err.text), false;
    }
    return true;
}

static void print_tensor(const char *name, const ingot_tensor *t)
{
    printf("%s: %s[", name, ingot_dtype_name(t->dtype));
    for (int k = 0; k < t->rank; k++)
        printf("%s%lld", k ? "," : "", (long long)t->dim[k]);
    printf("]");
    int64_t n = ingot_count(t), shown = n < 8 ? n : 8;
    for (int64_t k = 0; k < shown && t->dtype == INGOT_f32; k++)
        printf(" %.6g", (double)((const float *)t->data)[k]);
    for (int64_t k = 0; k < shown && t->dtype == INGOT_i64; k++)
        printf(" %lld", (long long)((const int64_t *)t->data)[k]);
    printf("%s\n", n > shown && (t->dtype == INGOT_f32 || t->dtype == INGOT_i64) ? " ..." : "");
}

static void print_value(const char *name, const ingot_tensor *t)
{
    char item[300];
    if (t->dtype < INGOT_SEQUENCE) {
        print_tensor(name, t);
        return;
    }
    printf("%s: %s of %lld\n", name, t->dtype == INGOT_SEQUENCE ? "sequence" : t->dtype == INGOT_OPTIONAL ? "optional" : "map", (long long)t->dim[0]);
    for (int64_t i = 0; i < t->dim[0]; i++) {
        snprintf(item, sizeof item, "%s/%lld", name, (long long)i);
        print_value(item, &((const ingot_tensor *)t->data)[i]);
    }
}

static void print_summary(const ingot_model *m, const ingot_tensor *out)
{
    for (int i = 0; i < m->n_outputs; i++)
        print_value(m->output[i].name, &out[i]);
}

static bool run_once(const ToolModel *t, const RunOptions *o, ingot_tensor *in, ingot_tensor *out)
{
    ingot_error err;
    if (!tool_feed(t->ports, &o->feed, in) || (o->output && !check_file_names(t->ports, o->output)))
        return false;
    if (t->run(t->self, in, out, &err))
        return tool_fail("%s: %s", t->name, err.text), false;
    if (o->output)
        return write_outputs(t->ports, out, o->output);
    print_summary(t->ports, out);
    return true;
}

int tool_run(const ToolModel *t, const RunOptions *o)
{
    size_t nin = (size_t)t->ports->n_inputs, nout = (size_t)t->ports->n_outputs;
    ingot_tensor *tensors = calloc(nin + nout + 1, sizeof *tensors);
    if (!tensors)
        return tool_fail("out of memory");
    bool ok = run_once(t, o, tensors, tensors + nin);
    tool_unfeed(t->ports, tensors);
    free(tensors);
    return !ok;
}

int tool_run_file(const char *path, const RunOptions *o)
{
    ToolSession s;
    if (!tool_open(path, path, o->threads, &s))
        return 1;
    int status = tool_run(&s.model, o);
    tool_close(&s);
    return status;
}
