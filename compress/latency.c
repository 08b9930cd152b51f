/* latency.c -- see latency.h. */
#include "latency.h"

#include <stdlib.h>
#include <time.h>

#include "observe.h"
#include "tool.h"

enum { RUNS = 15, WARM_UP = 3 };

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool time_runs(Observer *o, const ingot_tensor *in, double *ms)
{
    double took[RUNS];
    for (int i = -WARM_UP; i < RUNS; i++) {
        double start = milliseconds();
        if (!observer_run(o, in))
            return false;
        if (i >= 0)
            took[i] = milliseconds() - start;
    }
    qsort(took, RUNS, sizeof *took, by_size);
    *ms = took[RUNS / 2];
    return true;
}

bool latency_measure(Module *m, double *ms)
{
    Observer *o = observer_open(m, NULL, 0);
    if (!o)
        return false;
    const ingot_model *ports = observer_ports(o);
    ingot_tensor *in = calloc((size_t)ports->n_inputs + 1, sizeof *in);
    bool ok = in && tool_feed(ports, &(FeedOptions){ 0 }, in) && time_runs(o, in, ms);
    if (in)
        tool_unfeed(ports, in);
    free(in);
    observer_close(o);
    return ok;
}
