/* value.c -- values as files: a tensor is a .npy (strings: .json), a map a .json; a sequence or optional is a folder of its items 0.npy, 1.npy... An item
 * that is a sequence itself is a folder 0, 1...
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "npy.h"
#include "tool.h"

enum { PATH_ROOM = 4096, LAST_DTYPE = 32 };

static const char *extension_of(int32_t dtype)
{
    return dtype == INGOT_str || dtype == INGOT_MAP ? ".json" : dtype >= INGOT_SEQUENCE ? "" : ".npy";
}

const char *tool_extension(const ingot_port *p)
{
    return extension_of(p->dtype);
}

static int write_map(const char *path, const ingot_tensor *map, ingot_error *err)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: cannot be written: %s", path, strerror(errno));
    bool ok = ingot_json_put_map(f, map);
    if (fclose(f) || !ok)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: cannot be written: %s", path, ok ? strerror(errno) : "a map of such keys or values has no text");
    return INGOT_OK;
}

int tool_value_write(const char *path, const ingot_tensor *t, ingot_error *err)
{
    char item[PATH_ROOM];
    if (t->dtype < INGOT_SEQUENCE)
        return ingot_tensor_write(path, t, err);
    if (t->dtype == INGOT_MAP)
        return write_map(path, t, err);
    if (mkdir(path, 0777) && errno != EEXIST)
        return ingot_fail(err, INGOT_ERR_FILE, "%s: cannot be made: %s", path, strerror(errno));
    int status = INGOT_OK;
    for (int64_t i = 0; !status && i < t->dim[0]; i++) {
        const ingot_tensor *x = &((const ingot_tensor *)t->data)[i];
        snprintf(item, sizeof item, "%s/%lld%s", path, (long long)i, extension_of(x->dtype));
        status = tool_value_write(item, x, err);
    }
    return status;
}

/* The element type that a text begins with. */
static int32_t element_type(const char *name)
{
    size_t n = strcspn(name, "[,");
    for (int32_t t = 1; t < LAST_DTYPE; t++)
        if (strlen(ingot_dtype_name(t)) == n && !memcmp(ingot_dtype_name(t), name, n))
            return t;
    return 0;
}

static int read_items(const char *path, int32_t kind, const char *type, ingot_tensor *t, ingot_error *err);

/* type: "str,f32[]>", what follows the word map. */
static int read_map(const char *path, const char *type, ingot_tensor *t, ingot_error *err)
{
    return ingot_json_read_map(path, element_type(type), element_type(type + strcspn(type, ",") + 1), t, err);
}

/* type: of the item. */
static int read_item(const char *path, const char *type, ingot_tensor *t, ingot_error *err)
{
    if (!strncmp(type, "map<", 4))
        return read_map(path, type + 4, t, err);
    if (!strncmp(type, "seq<", 4))
        return read_items(path, INGOT_SEQUENCE, type + 4, t, err);
    return ingot_tensor_read(path, element_type(type), t, err);
}

static int read_items(const char *path, int32_t kind, const char *type, ingot_tensor *t, ingot_error *err)
{
    char item[PATH_ROOM];
    const char *extension = extension_of(!strncmp(type, "seq<", 4) ? INGOT_SEQUENCE : !strncmp(type, "map<", 4) ? INGOT_MAP : element_type(type));
    int64_t n = 0;
    if (access(path, R_OK))
        return ingot_fail(err, INGOT_ERR_FILE, "%s: %s", path, strerror(errno));
    while (snprintf(item, sizeof item, "%s/%lld%s", path, (long long)n, extension) > 0 && !access(item, R_OK))
        n++;
    *t = (ingot_tensor){ .data = calloc((size_t)n + 1, sizeof *t), .dtype = kind, .rank = 1, .dim = { n } };
    if (!t->data)
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory", path);
    int status = INGOT_OK;
    for (int64_t i = 0; !status && i < n; i++) {
        snprintf(item, sizeof item, "%s/%lld%s", path, (long long)i, extension);
        status = read_item(item, type, &((ingot_tensor *)t->data)[i], err);
    }
    return status;
}

int tool_value_read(const char *path, const ingot_port *p, ingot_tensor *t, ingot_error *err)
{
    if (p->dtype < INGOT_SEQUENCE)
        return ingot_tensor_read(path, p->dtype, t, err);
    if (p->dtype == INGOT_MAP)
        return read_map(path, strchr(p->dim_text[0], '<') + 1, t, err);
    return read_items(path, p->dtype, strchr(p->dim_text[0], '<') + 1, t, err);
}

void tool_value_free(ingot_tensor *t)
{
    for (int64_t i = 0; t->data && t->dtype >= INGOT_SEQUENCE && i < t->dim[0]; i++)
        tool_value_free(&((ingot_tensor *)t->data)[i]);
    free(t->data);
    t->data = NULL;
}
