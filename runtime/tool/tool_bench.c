/* tool_bench.c -- time a model: load, first run, and the distribution of many runs. Times are of this thread's clock, in milliseconds. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "tool.h"

enum { MIN_WARMUP = 5, MIN_RUNS = 10, MAX_RUNS = 20000 };
static const double warmup_ms = 20, timed_ms = 500;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Peak resident memory in MB, from the kernel's own count for this process (getrusage's survives exec and may show a parent's). */
static double peak_rss_mb(void)
{
    char line[128];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kb = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return kb / 1024;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct Bench {
    const BenchOptions *o;
    const ToolModel *model;
    ingot_tensor *in, *out;
    double load_ms, first_ms, *ms;
    int64_t runs;
} Bench;

static bool timed_run(Bench *b, double *ms)
{
    ingot_error err;
    double start = now_ms();
    int status = b->model->run(b->model->self, b->in, b->out, &err);
    *ms = now_ms() - start;
    if (b->model->after)
        b->model->after(b->model->self);
    return status ? tool_fail("%s: %s", b->model->name, err.text), false : true;
}

/* Warm caches and clocks, and learn how long a run takes. */
static bool warm_up(Bench *b)
{
    double ms = 0, least = b->first_ms, end = now_ms() + warmup_ms;
    int64_t n = 0;
    while (b->o->warmup ? n < b->o->warmup : n < MIN_WARMUP || now_ms() < end) {
        if (!timed_run(b, &ms))
            return false;
        least = ms < least ? ms : least;
        n++;
    }
    double wanted = least > 0 ? timed_ms / least : MAX_RUNS;
    b->runs = b->o->runs ? b->o->runs : wanted < MIN_RUNS ? MIN_RUNS : wanted > MAX_RUNS ? MAX_RUNS : (int64_t)wanted;
    return true;
}

static bool time_runs(Bench *b)
{
    bool tty = isatty(STDERR_FILENO);
    double shown = now_ms();
    b->ms = calloc((size_t)b->runs, sizeof *b->ms);
    if (!b->ms)
        return tool_fail("out of memory"), false;
    for (int64_t i = 0; i < b->runs; i++) {
        if (!timed_run(b, &b->ms[i]))
            return false;
        if (tty && now_ms() - shown > 200) {
            fprintf(stderr, "\r%lld of %lld runs", (long long)i + 1, (long long)b->runs);
            shown = now_ms();
        }
    }
    if (tty)
        fputs("\r\033[K", stderr);
    qsort(b->ms, (size_t)b->runs, sizeof *b->ms, compare_doubles);
    return true;
}

static void print_result(const Bench *b)
{
    const char *slash = strrchr(b->model->name, '/'), *name = slash ? slash + 1 : b->model->name;
    double median = b->ms[b->runs / 2], p99 = b->ms[(int64_t)((double)b->runs * .99)];
    long long threads = b->o->threads;
    if (!b->o->json) {
        printf("%s: median %.6f ms, min %.6f, p99 %.6f (%lld runs, %lld thread%s)\n", name, median, b->ms[0], p99, (long long)b->runs, threads,
               threads == 1 ? "" : "s");
        printf("load %.6f ms, first run %.6f ms, peak memory %.1f MB\n", b->load_ms, b->first_ms, peak_rss_mb());
        return;
    }
    printf("{\"model\": ");
    ingot_json_put_string(stdout, name, strlen(name));
    printf(", \"threads\": %lld, \"load_ms\": %.6f, \"first_ms\": %.6f, ", threads, b->load_ms, b->first_ms);
    printf("\"min_ms\": %.6f, \"median_ms\": %.6f, \"p99_ms\": %.6f, \"rss_mb\": %.6f}\n", b->ms[0], median, p99, peak_rss_mb());
}

int tool_bench(const ToolModel *model, double load_ms, const BenchOptions *o)
{
    const ingot_model *m = model->ports;
    Bench b = { .o = o, .model = model, .load_ms = load_ms };
    b.in = calloc((size_t)m->n_inputs + (size_t)m->n_outputs + 1, sizeof *b.in);
    if (!b.in)
        return tool_fail("out of memory");
    b.out = b.in + m->n_inputs;
    bool ok = tool_feed(m, &o->feed, b.in) && timed_run(&b, &b.first_ms) && warm_up(&b) && time_runs(&b);
    if (ok)
        print_result(&b);
    tool_unfeed(m, b.in);
    free(b.in);
    free(b.ms);
    return !ok;
}

int tool_bench_file(const char *path, const char *name, const BenchOptions *o)
{
    BenchOptions chosen = *o;
    ToolSession session;
    chosen.threads = o->threads ? o->threads : sysconf(_SC_NPROCESSORS_ONLN);
    double start = now_ms();
    if (!tool_open(path, name, chosen.threads, &session))
        return 1;
    int status = tool_bench(&session.model, now_ms() - start, &chosen);
    tool_close(&session);
    return status;
}
