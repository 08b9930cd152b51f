/* link.c -- from objects to a shared object or one relocatable object, by LLVM's own linker.
 *
 * The shared object needs nothing from outside: no DT_NEEDED, nothing undefined, one hash table (DT_HASH, from which a loader also learns the number
 * of symbols), no build id, so that equal input gives equal bytes. Segments share pages in the file: small models make small files.
 *
 * The linker's messages are read through a pipe and become one sentence.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cg.h"
#include "outfile.h"
#include "strbuf.h"

extern char **environ;

enum { MAX_ARGS = 64 };

typedef struct Command {
    int n;
    const char *arg[MAX_ARGS];
} Command;

static void push(Command *c, const char *arg)
{
    if (c->n < MAX_ARGS - 1)
        c->arg[c->n++] = arg;
}

/* ---- running the linker ---- */

/* The one that belongs to the LLVM in use; else, on a machine without that folder, any ld.lld. */
static int spawn(Command *c, int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    c->arg[c->n] = NULL;
    char *const *argv = (char *const *)(uintptr_t)c->arg;
    int why = posix_spawn(pid, INGOT_LLVM_BINDIR "/ld.lld", &actions, NULL, argv, environ);
    if (why == ENOENT)
        why = posix_spawnp(pid, "ld.lld", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return why;
}

static const char *read_all(Arena *a, int fd)
{
    StrBuf b = strbuf_new(a);
    char part[4096];
    for (ssize_t n; (n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR);)
        if (n > 0)
            strbuf_add_n(&b, part, (size_t)n);
    return b.text;
}

/* What the first message says, without the program's name. */
static const char *first_message(Arena *a, const char *text)
{
    const char *at = strstr(text, "error: ");
    at = at ? at + strlen("error: ") : text;
    return *at ? arena_strn(a, at, strcspn(at, "\n")) : "no reason given";
}

static bool run(Command *c, const char *path, Diag *d)
{
    int ends[2], status = 0;
    pid_t pid;
    Loc loc = { .file = path };
    if (pipe2(ends, O_CLOEXEC))
        return diag_error(d, loc, "linking: %s", strerror(errno));
    int why = spawn(c, ends[1], &pid);
    close(ends[1]);
    const char *said = read_all(d->arena, ends[0]);
    close(ends[0]);
    if (why)
        return diag_error(d, loc, "the linker %s cannot be started: %s", INGOT_LLVM_BINDIR "/ld.lld", strerror(why));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        return diag_error(d, loc, "linking: ld.lld was ended by signal %d", WTERMSIG(status));
    return !status || diag_error(d, loc, "linking: %s", first_message(d->arena, said));
}

/* ---- what is linked ---- */

static void push_objects(Command *c, int n, const char *const *object)
{
    for (int i = 0; i < n; i++)
        push(c, object[i]);
}

/* A version script that makes everything local but the exports. */
static bool write_exports(const char *path, int n, const char *const *name, Diag *d)
{
    OutFile o;
    if (!outfile_open(&o, d, path))
        return false;
    fputs("{\n", o.f);
    for (int i = 0; i < n; i++)
        fprintf(o.f, "  %s\"%s\";\n", i ? "" : "global: ", name[i]);
    fputs("  local: *;\n};\n", o.f);
    return outfile_commit(&o);
}

bool link_shared(const TargetInfo *t, int n, const char *const *object, const char *const *exports, int nexports, const char *path, Diag *d)
{
    const char *script = arena_printf(d->arena, "%s.exports", path);
    Command c = { .n = 0 };
    (void)t;                        /* the linker learns the machine from the objects */
    const char *const fixed[] = { "ld.lld", "-shared", "-z", "defs", "-z", "noexecstack", "--hash-style=sysv", "--build-id=none", "--gc-sections", "--strip-all",
                                  "-O2", "-Bsymbolic", "--no-undefined-version", "--threads=1", "-o", path, "--version-script", script };
    push_objects(&c, (int)(sizeof fixed / sizeof *fixed), fixed);
    push_objects(&c, n, object);
    bool ok = write_exports(script, nexports, exports, d) && run(&c, path, d);
    unlink(script);
    return ok;
}

bool link_relocatable(const TargetInfo *t, int n, const char *const *object, const char *path, Diag *d)
{
    Command c = { .n = 0 };
    (void)t;
    const char *const fixed[] = { "ld.lld", "-r", "--threads=1", "-o", path };
    push_objects(&c, (int)(sizeof fixed / sizeof *fixed), fixed);
    push_objects(&c, n, object);
    return run(&c, path, d);
}
