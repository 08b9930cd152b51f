/* samples_files.c -- finds and reads the files of a sample set (samples.h says which there are). */
#include "samples_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "npy.h"
#include "tool.h"

enum { NAME_ROOM = 4096, PATH_ROOM = NAME_ROOM + 512 };

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static bool is_image(const char *s) { return ends_in(s, ".png") || ends_in(s, ".jpg") || ends_in(s, ".jpeg"); }
static bool is_array(const char *s) { return ends_in(s, ".npy") || ends_in(s, ".npz"); }
static bool is_test_set(const char *s) { return !strncmp(s, "test_data_set_", 14); }

/* ---- sets ---- */

static SampleSet *new_set(SampleFiles *f, const char *name)
{
    if (f->n == f->room) {
        int64_t room = 2 * f->room + 8;
        SampleSet *grown = realloc(f->set, (size_t)room * sizeof *grown);
        if (!grown)
            return tool_fail("out of memory"), NULL;
        f->set = grown, f->room = room;
    }
    SampleSet *set = &f->set[f->n];
    *set = (SampleSet){ .in = calloc((size_t)f->ports->n_inputs, sizeof *set->in), .name = strdup(name) };
    if (set->in && set->name) {
        f->n++;
        return set;
    }
    free(set->in);
    return tool_fail("out of memory"), NULL;
}

static void free_set(SampleFiles *f, SampleSet *set)
{
    for (int k = 0; k < f->ports->n_inputs; k++)
        free(set->in[k].data);
    free(set->in);
    free((void *)(uintptr_t)set->name);
}

void samples_files_free(SampleFiles *f)
{
    for (int64_t i = 0; i < f->n; i++)
        free_set(f, &f->set[i]);
    free(f->set);
}

/* Elements that can be read; samples along axis 0, as many in every array; no more than are wanted. */
static bool complete_set(SampleFiles *f, SampleSet *set)
{
    int64_t n = set->whole ? 1 : set->in[0].rank ? set->in[0].dim[0] : 0;
    for (int k = 0; k < f->ports->n_inputs; k++) {
        ingot_tensor *t = &set->in[k];
        if (!samples_readable(t->dtype))
            return tool_fail("%s: elements of type %s are not read here", set->name, ingot_dtype_name(t->dtype)), false;
        if (n < 1 || ingot_count(t) < 1)
            return tool_fail("%s: there are no samples", set->name), false;
        if (!set->whole && (!t->rank || t->dim[0] != n))
            return tool_fail("%s: %lld samples for input '%s', %lld for '%s'", set->name, (long long)(t->rank ? t->dim[0] : 0), f->ports->input[k].name,
                             (long long)n, f->ports->input[0].name), false;
    }
    int64_t wanted = f->o.limit && f->samples + n > f->o.limit ? f->o.limit - f->samples : n;
    for (int k = 0; k < f->ports->n_inputs && !set->whole; k++)
        set->in[k].dim[0] = wanted;
    f->samples += wanted;
    return true;
}

static bool enough(const SampleFiles *f) { return f->o.limit && f->samples >= f->o.limit; }

/* ---- one file ---- */

uint8_t *samples_read_bytes(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return tool_fail("%s: %s", path, strerror(errno)), NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    *bytes = n > 0 ? (size_t)n : 0;
    uint8_t *data = malloc(*bytes + 1);
    bool ok = data && *bytes && fread(data, 1, *bytes, f) == *bytes;
    fclose(f);
    if (ok)
        return data;
    free(data);
    return tool_fail(n == 0 ? "%s: the file is empty" : "%s: cannot be read", path), NULL;
}

static bool read_npy(SampleFiles *f, const char *path)
{
    ingot_error err;
    SampleSet *set = new_set(f, path);
    if (!set)
        return false;
    if (f->ports->n_inputs != 1)
        return tool_fail("%s is one array, the model has %d inputs: give a .npz, or a folder of .npy files with their names", path, f->ports->n_inputs), false;
    if (ingot_tensor_read(path, 0, &set->in[0], &err))
        return tool_fail("%s", err.text), false;
    return complete_set(f, set);
}

static bool read_npz(SampleFiles *f, const char *path)
{
    SampleSet *set = new_set(f, path);
    return set && samples_npz_read(path, f->ports, set->in) && complete_set(f, set);
}

static bool read_image(SampleFiles *f, const char *path)
{
    SampleSet *set = new_set(f, path);
    if (!set)
        return false;
    if (f->ports->n_inputs != 1)
        return tool_fail("%s is an image, the model has %d inputs", path, f->ports->n_inputs), false;
    set->image = true;
    return samples_image_read(path, &f->ports->input[0], &f->o, &set->in[0]) && complete_set(f, set);
}

static bool read_test_set(SampleFiles *f, const char *dir)
{
    char path[PATH_ROOM];
    ingot_error err;
    SampleSet *set = new_set(f, dir);
    if (!set)
        return false;
    if (!f->o.read_pb)
        return tool_fail("%s: test sets of .pb files are read by 'ingot' only", dir), false;
    set->whole = true;
    for (int k = 0; k < f->ports->n_inputs; k++) {
        snprintf(path, sizeof path, "%.*s/input_%d.pb", NAME_ROOM, dir, k);
        if (f->o.read_pb(path, &f->ports->input[k], &set->in[k], &err))
            return tool_fail("%s", err.text), false;
    }
    return complete_set(f, set);
}

static bool read_one(SampleFiles *f, const char *path, const char *name)
{
    if (is_test_set(name))
        return read_test_set(f, path);
    return ends_in(name, ".npz") ? read_npz(f, path) : is_array(name) ? read_npy(f, path) : read_image(f, path);
}

/* ---- a folder ---- */

/* Files named as the model's inputs, all of them: one sample. */
static bool has_inputs_by_name(const SampleFiles *f, const char *dir)
{
    char path[PATH_ROOM];
    struct stat st;
    for (int k = 0; k < f->ports->n_inputs; k++) {
        tool_tensor_file(dir, &f->ports->input[k], path, sizeof path);
        if (stat(path, &st))
            return false;
    }
    return true;
}

static bool read_inputs_by_name(SampleFiles *f, const char *dir)
{
    char path[PATH_ROOM];
    ingot_error err;
    SampleSet *set = new_set(f, dir);
    if (!set)
        return false;
    set->whole = true;
    for (int k = 0; k < f->ports->n_inputs; k++) {
        tool_tensor_file(dir, &f->ports->input[k], path, sizeof path);
        if (ingot_tensor_read(path, 0, &set->in[k], &err))
            return tool_fail("%s", err.text), false;
    }
    return complete_set(f, set);
}

static int wanted(const struct dirent *e) { return is_test_set(e->d_name) || is_array(e->d_name) || is_image(e->d_name); }

static bool read_folder(SampleFiles *f, const char *dir)
{
    struct dirent **entry;
    if (has_inputs_by_name(f, dir))
        return read_inputs_by_name(f, dir);
    int n = scandir(dir, &entry, wanted, versionsort);
    if (n < 0)
        return tool_fail("%s: %s", dir, strerror(errno)), false;
    bool ok = n > 0 || (tool_fail("%s: there are no samples: no .npy, .npz, .png, .jpg, and no test_data_set_N", dir), false);
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        snprintf(path, sizeof path, "%.*s/%s", NAME_ROOM, dir, entry[i]->d_name);
        if (ok && !enough(f))
            ok = read_one(f, path, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return ok;
}

bool samples_files_read(SampleFiles *f)
{
    struct stat st;
    const char *path = f->o.path;
    if (!path)
        return tool_fail("--%s is needed", f->o.option), false;
    if (stat(path, &st))
        return tool_fail("%s: %s", path, strerror(errno)), false;
    if (S_ISDIR(st.st_mode))
        return read_folder(f, path);
    return ends_in(path, ".npz") ? read_npz(f, path) : is_image(path) ? read_image(f, path) : read_npy(f, path);
}
