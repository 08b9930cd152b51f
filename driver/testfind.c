/* testfind.c -- walks folders for ONNX backend tests, as laid out in onnx/backend/test/data:
 *
 *   node/test_abs/model.onnx, test_data_set_0/{input_0.pb, output_0.pb}      also simple/, pytorch-converted/, pytorch-operator/
 *   real/test_resnet50/data.json -> light/light_resnet50.onnx, light/light_resnet50_output_0.pb
 *
 * data.json may set rtol and atol. A light model is found from either side and listed once.
 */
#include <cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "testcase.h"

static const double default_rtol = 1e-3, default_atol = 1e-7;

static bool exists(const char *path)
{
    struct stat st;
    return !stat(path, &st);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "a/b/c/" -> "b/c" */
static const char *last_two(Arena *a, const char *path)
{
    char *s = arena_str(a, path);
    for (size_t n = strlen(s); n > 1 && s[n - 1] == '/'; n--)
        s[n - 1] = 0;
    char *at = s + strlen(s);
    for (int slashes = 0; at > s; at--)
        if (at[-1] == '/' && ++slashes == 2)
            break;
    return at;
}

static void add_test(Arena *a, TestList *list, TestCase t)
{
    for (int i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].model, t.model))
            return;
    if (list->n == list->room) {
        TestCase *grown = ARENA_ARRAY(a, TestCase, list->room = 2 * list->room + 64);
        if (list->n)
            memcpy(grown, list->v, sizeof *grown * (size_t)list->n);
        list->v = grown;
    }
    list->v[list->n++] = t;
}

/* data.json, or NULL; the caller deletes it. */
static cJSON *read_settings(const char *path)
{
    char text[4096] = "";
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return cJSON_Parse(text);
}

static void apply_settings(const cJSON *json, TestCase *t)
{
    const cJSON *rtol = cJSON_GetObjectItem(json, "rtol"), *atol = cJSON_GetObjectItem(json, "atol");
    if (cJSON_IsNumber(rtol))
        t->rtol = rtol->valuedouble;
    if (cJSON_IsNumber(atol))
        t->atol = atol->valuedouble;
}

/* data: .../light's parent; short_name: "resnet50". */
static void add_light(Arena *a, TestList *list, const char *data, const char *short_name)
{
    TestCase t = {
        .name = arena_printf(a, "light/light_%s", short_name),
        .model = arena_printf(a, "%s/light/light_%s.onnx", data, short_name),
        .expected = arena_printf(a, "%s/light/light_%s_output_0.pb", data, short_name),
        .rtol = default_rtol, .atol = default_atol,
    };
    cJSON *json = read_settings(arena_printf(a, "%s/real/test_%s/data.json", data, short_name));
    apply_settings(json, &t);
    cJSON_Delete(json);
    char real[4096];
    if (!realpath(t.model, real))
        return;
    t.model = arena_str(a, real);
    add_test(a, list, t);
}

/* A folder with a model, or with a data.json that names a light model. False: it is no test itself. */
static bool add_folder(Arena *a, TestList *list, const char *dir)
{
    TestCase t = {
        .name = last_two(a, dir), .model = arena_printf(a, "%s/model.onnx", dir), .folder = arena_str(a, dir), .rtol = default_rtol, .atol = default_atol,
    };
    cJSON *json = read_settings(arena_printf(a, "%s/data.json", dir));
    const cJSON *url = cJSON_GetObjectItem(json, "url"), *name = cJSON_GetObjectItem(json, "model_name");
    bool has_model = exists(t.model), light = !has_model && cJSON_IsString(url) && strstr(url->valuestring, "light") && cJSON_IsString(name);
    apply_settings(json, &t);
    if (has_model)
        add_test(a, list, t);
    else if (light)
        add_light(a, list, arena_printf(a, "%s/../..", dir), name->valuestring);
    cJSON_Delete(json);
    return has_model || light;
}

/* light_resnet50.onnx in a folder */
static void add_light_file(Arena *a, TestList *list, const char *dir, const char *file)
{
    size_t n = strlen(file);
    if (n > 11 && !strncmp(file, "light_", 6) && path_ends_in(file, ".onnx"))
        add_light(a, list, arena_printf(a, "%s/..", dir), arena_strn(a, file + 6, n - 11));
}

bool tests_find(Arena *a, const char *dir, TestList *list)
{
    char real[4096];
    struct dirent **entry;
    if (!realpath(dir, real))
        return tool_fail("%s: no such folder", dir), false;
    if (add_folder(a, list, real))
        return true;
    int n = scandir(real, &entry, NULL, alphasort);
    if (n < 0)
        return tool_fail("%s: not a folder", dir), false;
    for (int i = 0; i < n; i++) {
        const char *path = arena_printf(a, "%s/%s", real, entry[i]->d_name);
        struct stat st;
        if (entry[i]->d_name[0] != '.' && !stat(path, &st) && S_ISDIR(st.st_mode))
            tests_find(a, path, list);
        else
            add_light_file(a, list, real, base_name(path));
        free(entry[i]);
    }
    free(entry);
    return true;
}
