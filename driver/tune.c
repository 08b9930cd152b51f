/* tune.c -- see tune.h.
 *
 * In round k every layer uses its k-th candidate (choice.h), all at once, and the launches of the whole model are timed, so that each candidate is seen
 * among the neighbours and the cache contents that it will have. There are as many rounds as the layer with the most candidates needs; layers with fewer
 * use their first one again. First the algorithms are decided, then, for those, the shapes of the register tiles. A layer leaves the cost
 * model's choice only for a clear gain, and all decisions are dropped if the model as a whole got slower.
 *
 * The file:
 *
 *     ingot 0.1.0; cpu znver4 +avx,...; options -O2; model 0123456789abcdef
 *     algorithm conv f32[1,14,14,256] f32[256,256,3,3] 1/1,1/1 = winograd 4 16 16
 *     ...
 */
#include "tune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "choice.h"
#include "launches.h"
#include "outfile.h"
#include "strbuf.h"

static const double round_ms = 300;     /* of timed runs in each round */
static const double clear_gain = 0.98;  /* times the first candidate's time */

/* ---- what decisions belong to ---- */

typedef struct Hash {
    uint64_t h;
} Hash;

/* FNV-1a, over words: files may be large, and this is no defence against anybody. */
static void hash_add(Hash *h, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        h->h = (h->h ^ word) * 0x100000001b3u;
        h->h ^= h->h >> 32;
    }
    for (; bytes; bytes--)
        h->h = (h->h ^ *p++) * 0x100000001b3u;
}

static bool hash_file(const char *path, Hash *h)
{
    char block[1 << 15];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f)
        return tool_fail("%s: %s", path, strerror(errno)), false;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        hash_add(h, block, n);
    bool ok = !ferror(f);
    fclose(f);
    return ok || (tool_fail("%s: %s", path, strerror(errno)), false);
}

static void add_list(StrBuf *s, const char *option, const TextList *list)
{
    for (int i = 0; i < list->n; i++)
        strbuf_printf(s, " %s %s", option, list->v[i]);
}

/* The file's first line, or NULL after reporting. The program is part of it: what was fastest is so for the kernels that this build makes, whatever its
 * version is called. */
static const char *identity(Arena *a, const char *path, const BuildOptions *o, const TargetInfo *t)
{
    Hash h = { 0xcbf29ce484222325u }, program = h;
    StrBuf s = strbuf_new(a);
    if (!hash_file(path, &h) || !hash_file("/proc/self/exe", &program))
        return NULL;
    strbuf_printf(&s, "ingot " INGOT_VERSION " %016llx; cpu %s %s; options -O%s%s", (unsigned long long)program.h, t->cpu, t->features, o->level, o->fast_math ? " --fast-math" : "");
    if (o->passes)
        strbuf_printf(&s, " --passes %s", o->passes);
    add_list(&s, "--dim", &o->dim);
    add_list(&s, "--overridable", &o->overridable);
    strbuf_printf(&s, "; model %016llx", (unsigned long long)h.h);
    return s.text;
}

/* ---- the file ---- */

static bool make_folder(const char *path)
{
    return !mkdir(path, 0777) || errno == EEXIST || (tool_fail("%s: cannot be made: %s", path, strerror(errno)), false);
}

/* <cache folder>/ingot/<model>-<hash of the identity>.tune, its folder made. */
static const char *default_file(Arena *a, const char *model, const char *id)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    Hash h = { 0 };
    hash_add(&h, id, strlen(id));
    if ((!xdg || !*xdg) && (!home || !*home))
        return tool_fail("--tune: neither XDG_CACHE_HOME nor HOME is set; --tune-cache F names a file"), NULL;
    const char *parent = xdg && *xdg ? xdg : arena_printf(a, "%s/.cache", home), *folder = arena_printf(a, "%s/ingot", parent);
    if (!make_folder(parent) || !make_folder(folder))
        return NULL;
    return arena_printf(a, "%s/%.*s-%016llx.tune", folder, (int)strcspn(name, "."), name, (unsigned long long)h.h);
}

/* True: the file is there and of this identity. Another one's, or a damaged one, is as good as none. */
static bool recall(Choices *c, const char *file, const char *id)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(file, "r");
    bool ok = f && getline(&line, &room, f) > 0 && !strncmp(line, id, strlen(id)) && line[strlen(id)] == '\n';
    while (ok && getline(&line, &room, f) > 0)
        ok = choices_read_line(c, line);
    free(line);
    if (f)
        fclose(f);
    if (!ok)
        c->n = 0;
    return ok;
}

static bool remember(Arena *a, const Choices *c, const char *file, const char *id)
{
    OutFile o;
    Diag d;
    diag_init(&d, a, stderr);
    if (!outfile_open(&o, &d, file))
        return false;
    fprintf(o.f, "%s\n", id);
    choices_write(c, o.f);
    return outfile_commit(&o);
}

/* ---- measuring ---- */

typedef struct Tuner {
    Arena *arena;
    const char *path;
    BuildOptions build;
    Choices *choices;
} Tuner;

/* Compile and time with what the choices say now. ms[i], if given, gains the time of the launches that question number i of this kind is about. */
static bool time_round(Tuner *t, const char *what, double *ms, double *total_ms)
{
    Arena *a = arena_new();             /* a module and its times, of no use afterwards */
    FeedOptions feed = { .input = { .n = 0 } };
    LaunchOptions o = { .build = &t->build, .feed = &feed, .threads = 1, .timed_ms = round_ms };
    LaunchTimes times;
    bool ok = launches_time(a, t->path, &o, &times);
    for (int i = 0; ok && what && i < times.launches.n; i++) {
        Choice *x = choice_find(t->choices, choice_key(times.m, a, what, times.launches.launch[i].node));
        if (x && ms)
            ms[x - t->choices->item] += times.ms[i];
    }
    if (ok)
        *total_ms = times.total_ms;
    arena_free(a);
    return ok;
}

enum { MAX_QUESTIONS = 4096 };
typedef struct Trial { double ms[CHOICE_MAX]; } Trial;      /* per candidate, the least that was seen; 0: not seen */

static void keep_least(double *least, double ms)
{
    if (ms > 0 && (*least == 0 || ms < *least))
        *least = ms;
}

static void decide(Choice *x, const Trial *t)
{
    int best = 0;
    for (int i = 1; i < x->n; i++)
        if (t->ms[i] > 0 && t->ms[i] < clear_gain * t->ms[0] && t->ms[i] < (best ? t->ms[best] : 1e30))
            best = i;
    x->decided = best ? x->candidate[best] : NULL;
}

/* Every question of one kind, whose candidates are tried in rounds. */
static bool tune_kind(Tuner *t, const char *what)
{
    Choices *c = t->choices;
    Trial *trial = ARENA_ARRAY(t->arena, Trial, MAX_QUESTIONS);
    double *ms = ARENA_ARRAY(t->arena, double, MAX_QUESTIONS), total;
    int rounds = 1;
    c->trying = what;
    for (c->round = 0; c->round < rounds; c->round++) {
        memset(ms, 0, sizeof *ms * MAX_QUESTIONS);
        if (!time_round(t, what, ms, &total))
            return false;
        for (int i = 0; i < c->n && i < MAX_QUESTIONS; i++) {
            keep_least(&trial[i].ms[c->item[i].used], ms[i]);
            if (choice_is_kind(c->item[i].key, what) && c->item[i].n > rounds)
                rounds = c->item[i].n;
        }
        fprintf(stderr, "%s: round %d of %d, %.3f ms\n", what, c->round + 1, rounds, total);
    }
    c->trying = NULL;
    for (int i = 0; i < c->n && i < MAX_QUESTIONS; i++)
        if (choice_is_kind(c->item[i].key, what))
            decide(&c->item[i], &trial[i]);
    return true;
}

static int decisions(const Choices *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++)
        n += c->item[i].decided != NULL;
    return n;
}

/* The whole model by the cost models and as decided, in turn, each at its best. */
static bool compare(Tuner *t, double *without, double *with)
{
    enum { TURNS = 2 };
    for (int i = 0; i < TURNS; i++) {
        double a, b;
        t->build.choices = NULL;
        bool ok = time_round(t, NULL, NULL, &a);
        t->build.choices = t->choices;
        if (!ok || !time_round(t, NULL, NULL, &b))
            return false;
        *without = i && *without < a ? *without : a;
        *with = i && *with < b ? *with : b;
    }
    return true;
}

static bool measure(Tuner *t)
{
    static const char *const kind[] = { "algorithm", "tile" };
    double without, with;
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (!tune_kind(t, kind[i]))
            return false;
    if (!compare(t, &without, &with))
        return false;
    bool gain = with < without;
    for (int i = 0; i < t->choices->n && !gain; i++)
        t->choices->item[i].decided = NULL;
    fprintf(stderr, "tuned: %.3f ms before, %.3f ms with %d decisions\n", without, gain ? with : without, decisions(t->choices));
    return true;
}

bool tune_model(Arena *a, const char *path, const TuneOptions *o, BuildOptions *build)
{
    TargetInfo target;
    Diag d;
    diag_init(&d, a, stderr);
    if (!o->tune)
        return true;
    if (!target_resolve(a, &d, build->target, build->cpu, &target))
        return false;
    if (!target.is_host)
        return tool_fail("--tune measures on this machine, which is no %s", target.triple), false;
    const char *id = identity(a, path, build, &target), *file = id && !o->cache ? default_file(a, path, id) : o->cache;
    if (!id || !file)
        return false;
    build->choices = choices_new(a);
    if (recall(build->choices, file, id))
        return true;
    Tuner t = { .arena = a, .path = path, .build = *build, .choices = build->choices };
    t.build.time = t.build.trace = false;
    t.build.dot_after = t.build.print_after = NULL;
    return measure(&t) && remember(a, build->choices, file, id);
}
