/* model.c -- opening a model: load the file, find its descriptor, check that the descriptor is sound and that this machine can run it.
 *
 * The descriptor of a file is checked field by field before anyone follows its pointers (a damaged file must not crash the loader);
 * that of a linked-in model is trusted, only its version and CPU features are checked.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "elf_load.h"

struct ingot_file {
    ElfImage image;
    const ingot_model *model;
};

/* n objects of this type at p: aligned and inside the image. */
#define HOLDS_ARRAY(image, p, n) \
    ((uintptr_t)(p) % _Alignof(__typeof__(*(p))) == 0 && ingot_elf_holds((image), (p), (uint64_t)(n) * sizeof *(p), false))

/* least: the smallest number allowed as a dim; an input's is a size or -1 - symbol. */
static bool port_is_sound(const ElfImage *image, const ingot_port *p, int64_t least)
{
    if (!ingot_elf_holds_string(image, p->name) || !ingot_dtype_bytes(p->dtype) || p->rank < 0 || p->rank > INGOT_MAX_RANK)
        return false;
    if (p->rank && (!HOLDS_ARRAY(image, p->dim, p->rank) || !HOLDS_ARRAY(image, p->dim_text, p->rank)))
        return false;
    for (int i = 0; i < p->rank; i++)
        if (p->dim[i] < least || !ingot_elf_holds_string(image, p->dim_text[i]))
            return false;
    return true;
}

static bool ports_are_sound(const ElfImage *image, const ingot_port *ports, int32_t n, int64_t least)
{
    if (n < 0 || (n && !HOLDS_ARRAY(image, ports, n)))
        return false;
    for (int i = 0; i < n; i++)
        if (!port_is_sound(image, &ports[i], least))
            return false;
    return true;
}

static bool symbols_are_sound(const ElfImage *image, const ingot_model *m)
{
    if (m->n_symbols < 0 || (m->n_symbols && !HOLDS_ARRAY(image, m->symbol, m->n_symbols)))
        return false;
    for (int i = 0; i < m->n_symbols; i++)
        if (!ingot_elf_holds_string(image, m->symbol[i]))
            return false;
    return true;
}

/* Function pointers are compared as data: a descriptor holds code addresses of the image. */
static bool function_is_sound(const ElfImage *image, const void *field)
{
    const void *code;
    memcpy(&code, field, sizeof code);
    return ingot_elf_holds(image, code, 1, true);
}

static bool descriptor_is_sound(const ElfImage *image, const ingot_model *m)
{
    const char *const texts[] = { m->name, m->producer, m->target, m->cpu_features };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!ingot_elf_holds_string(image, texts[i]))
            return false;
    return symbols_are_sound(image, m) && ports_are_sound(image, m->input, m->n_inputs, -(int64_t)m->n_symbols) &&
           ports_are_sound(image, m->output, m->n_outputs, INT64_MIN) && function_is_sound(image, &m->workspace_size) &&
           function_is_sound(image, &m->output_dims) && function_is_sound(image, &m->run);
}

static int check_model(const char *what, const ingot_model *m, ingot_error *err)
{
    char name[64];
    if (ingot_cpu_lacks(m->cpu_features, name, sizeof name))
        return ingot_fail(err, INGOT_ERR_FILE, "%s: compiled for a CPU with %s, which this one lacks", what, name);
    return ingot_fine(err);
}

static int check_version(const char *what, const ingot_model *m, ingot_error *err)
{
    if (m->magic != INGOT_ABI_MAGIC)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: its model descriptor is damaged", what);
    if (m->abi_version != INGOT_ABI_VERSION)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: compiled for version %u of the model interface, this runtime has version %u", what,
                          (unsigned)m->abi_version, INGOT_ABI_VERSION);
    return INGOT_OK;
}

int ingot_model_check(const ingot_model *m, ingot_error *err)
{
    if (!m)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "no model was given");
    int status = check_version("model", m, err);
    return status ? status : check_model(m->name, m, err);
}

static int find_model(const char *path, ingot_file *f, ingot_error *err)
{
    const ingot_model *m = ingot_elf_find_suffix(&f->image, "_ingot_model");
    if (!m)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: no symbol ends in _ingot_model, so it was not made by ingot", path);
    if (!HOLDS_ARRAY(&f->image, m, 1))
        return ingot_fail(err, INGOT_ERR_FILE, "%s: its model descriptor is damaged", path);
    int status = check_version(path, m, err);
    if (status)
        return status;
    if (!descriptor_is_sound(&f->image, m))
        return ingot_fail(err, INGOT_ERR_FILE, "%s: its model descriptor is damaged", path);
    f->model = m;
    return check_model(path, m, err);
}

int ingot_open(const char *path, ingot_file **file, ingot_error *err)
{
    *file = NULL;
    ingot_file *f = calloc(1, sizeof *f);
    if (!f)
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory", path);
    int status = ingot_elf_load(path, &f->image, err);
    if (!status)
        status = find_model(path, f, err);
    if (status)
        ingot_close(f);
    else
        *file = f;
    return status;
}

void ingot_close(ingot_file *file)
{
    if (file)
        ingot_elf_unload(&file->image);
    free(file);
}

const ingot_model *ingot_file_model(const ingot_file *file)
{
    return file->model;
}
