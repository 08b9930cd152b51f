/* tool_inspect.c -- what a compiled model says about itself, as text or JSON. */
#include <string.h>

#include "json.h"
#include "tool.h"

static const int64_t no_symbols[1] = { 0 };

static void put_text(const char *s)
{
    ingot_json_put_string(stdout, s, strlen(s));
}

static void put_port_json(const ingot_port *p)
{
    printf("{\"name\": ");
    put_text(p->name);
    printf(", \"dtype\": \"%s\", \"dims\": [", ingot_dtype_name(p->dtype));
    for (int i = 0; i < p->rank; i++) {
        fputs(i ? ", " : "", stdout);
        if (p->dim[i] >= 0 && p->dtype < INGOT_SEQUENCE)
            printf("%lld", (long long)p->dim[i]);
        else
            put_text(p->dim_text[i]);
    }
    printf("]}");
}

static void put_ports_json(const char *key, const ingot_port *p, int n)
{
    printf(", \"%s\": [", key);
    for (int i = 0; i < n; i++) {
        fputs(i ? ", " : "", stdout);
        put_port_json(&p[i]);
    }
    printf("]");
}

static void put_ports(const char *kind, const ingot_port *p, int n)
{
    for (int i = 0; i < n; i++) {
        if (p[i].dtype >= INGOT_SEQUENCE) {
            printf("%-9s %s: %s\n", kind, p[i].name, p[i].dim_text[0]);
            continue;
        }
        printf("%-9s %s: %s[", kind, p[i].name, ingot_dtype_name(p[i].dtype));
        for (int k = 0; k < p[i].rank; k++)
            printf("%s%s", k ? "," : "", p[i].dim_text[k]);
        printf("]\n");
    }
}

void tool_inspect_ports(const ingot_model *m, bool json)
{
    for (int i = 0; i < m->n_symbols; i++) {
        fputs(i ? ", " : json ? "\"symbols\": [" : "symbols   ", stdout);
        if (json)
            put_text(m->symbol[i]);
        else
            fputs(m->symbol[i], stdout);
    }
    if (json) {
        fputs(m->n_symbols ? "]" : "\"symbols\": []", stdout);
        put_ports_json("inputs", m->input, m->n_inputs);
        put_ports_json("outputs", m->output, m->n_outputs);
        return;
    }
    if (m->n_symbols)
        putchar('\n');
    put_ports("input", m->input, m->n_inputs);
    put_ports("output", m->output, m->n_outputs);
}

static void put_json(const ingot_model *m)
{
    const char *const pair[][2] = { { "name", m->name }, { "producer", m->producer }, { "target", m->target }, { "cpu_features", m->cpu_features } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        printf("%s\"%s\": ", i ? ", " : "{", pair[i][0]);
        put_text(pair[i][1]);
    }
    printf(", \"abi_version\": %u, \"flags\": %u, \"weights_bytes\": %llu, \"workspace_bytes\": ", (unsigned)m->abi_version, (unsigned)m->flags,
           (unsigned long long)m->weights_bytes);
    if (m->n_symbols)
        printf("null, ");
    else
        printf("%llu, ", (unsigned long long)m->workspace_size(no_symbols));
    tool_inspect_ports(m, true);
    printf("}\n");
}

static void put_plain(const ingot_model *m)
{
    printf("model     %s\nproducer  %s\ntarget    %s\n", m->name, m->producer, m->target);
    if (m->cpu_features[0])
        printf("needs     %s\n", m->cpu_features);
    if (m->flags & INGOT_DECODES_IMAGES)
        printf("needs     an image decoder\n");
    tool_inspect_ports(m, false);
    printf("weights   %llu bytes\n", (unsigned long long)m->weights_bytes);
    if (m->n_symbols)
        printf("workspace depends on the symbols\n");
    else
        printf("workspace %llu bytes\n", (unsigned long long)m->workspace_size(no_symbols));
}

int tool_inspect_file(const char *path, bool json)
{
    ingot_error err;
    ingot_file *file;
    if (ingot_open(path, &file, &err))
        return tool_fail("%s", err.text);
    (json ? put_json : put_plain)(ingot_file_model(file));
    ingot_close(file);
    return 0;
}
