/* toy.h -- builds toy_model.c as a self-contained .so for the tests of the loader, as `ingot compile` would. */
#ifndef TESTS_TOY_H
#define TESTS_TOY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingot.h"

#define TOY_BUILD TEST_CLANG " -O2 -fPIC -ffreestanding -nostdlib -shared -fuse-ld=lld -I" SOURCE_DIR "/runtime " SOURCE_DIR "/tests/runtime/toy_model.c "

/* A fresh path in /tmp whose file the caller removes. */
static inline const char *toy_path(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "/tmp/ingot-test-%d-%s", (int)getpid(), name);
    return p;
}

static inline const char *toy_build(const char *name, const char *options)
{
    char command[1024];
    const char *path = toy_path(name);
    snprintf(command, sizeof command, "%s %s -o %s 2>/dev/null", TOY_BUILD, options, path);
    assert_int_equal(system(command), 0);
    return path;
}

#endif
