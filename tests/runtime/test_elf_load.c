/* test_elf_load.c -- opening model files: what is refused and with which sentence, and that no damage to a file crashes the loader. */
#include "toy.h"

#include <sys/mman.h>

enum { RANDOM_FILES = 10000 };

static void refuse(const char *path, const char *sentence)
{
    ingot_error err = { 0 };
    ingot_file *file = (ingot_file *)1;
    assert_int_equal(ingot_open(path, &file, &err), INGOT_ERR_FILE);
    assert_null(file);
    if (!strstr(err.text, sentence))
        print_error("expected \"%s\" in \"%s\"\n", sentence, err.text);
    assert_non_null(strstr(err.text, sentence));
}

static void opens(const char *options)
{
    ingot_error err;
    ingot_file *file;
    const char *path = toy_build("opens.so", options);
    assert_int_equal(ingot_open(path, &file, &err), INGOT_OK);
    const ingot_model *m = ingot_file_model(file);
    assert_string_equal(m->name, "toy");
    assert_string_equal(m->input[0].dim_text[0], "N");
    ingot_close(file);
    unlink(path);
}

/* Every way in which linkers store the same relocations and symbols. */
static void link_styles(void **state)
{
    (void)state;
    opens("");
    opens("-Wl,-z,norelro");
    opens("-Wl,--hash-style=sysv");
    opens("-Wl,--hash-style=gnu");
    opens("-Wl,-z,separate-code,-z,max-page-size=65536");
#ifdef __x86_64__
    opens("-Wl,-z,pack-relative-relocs");
#endif
}

static void refusals(void **state)
{
    (void)state;
    const char *path = toy_build("r.so", "-DTOY_ABI=7");
    refuse(path, "version 7 of the model interface");
    unlink(path);
    path = toy_build("r.so", "-DTOY_FEATURES='\"sse2,warp-drive\"'");
#ifdef __x86_64__
    refuse(path, "a CPU with warp-drive, which this one lacks");
#else
    refuse(path, "a CPU with sse2, which this one lacks");
#endif
    unlink(path);
    path = toy_build("r.so", "-Dtoy_ingot_model=other");
    refuse(path, "no symbol ends in _ingot_model");
    unlink(path);
    path = toy_build("r.so", "-include " SOURCE_DIR "/tests/runtime/toy_needs.h");
    refuse(path, "symbol 'somewhere_else' is not defined in the file");
    unlink(path);
#ifdef __x86_64__
    path = toy_build("r.so", "--target=aarch64-linux-gnu");
    refuse(path, "model is for aarch64, this is x86-64");
    unlink(path);
    path = toy_build("r.so", "--target=armv7-linux-gnueabihf");
    refuse(path, "model is for 32-bit ARM, this is x86-64");
    unlink(path);
#endif
    refuse("/nonexistent.so", "No such file");
    refuse("/tmp", "not a regular file");
    refuse(SOURCE_DIR "/tests/runtime/toy_model.c", "not an ELF file");
}

typedef struct Bytes {
    unsigned char *data;
    size_t n;
} Bytes;

static Bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    Bytes b = { malloc(1 << 20), 0 };
    b.n = fread(b.data, 1, 1 << 20, f);
    fclose(f);
    return b;
}

/* Damaged files live in memory: thousands of them would wear out a disk and a patience. */
typedef struct MemoryFile {
    int fd;
    char path[64];
} MemoryFile;

static MemoryFile memory_file(void)
{
    MemoryFile f = { memfd_create("model.so", 0), "" };
    assert_true(f.fd >= 0);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static void write_file(const MemoryFile *f, const unsigned char *data, size_t n)
{
    assert_int_equal(ftruncate(f->fd, (off_t)n), 0);
    assert_int_equal(pwrite(f->fd, data, n, 0), n);
}

/* Open it; if that works, follow every pointer of the descriptor. Returns whether it opened. */
static bool survive(const MemoryFile *bad)
{
    ingot_error err = { 0 };
    ingot_file *file;
    size_t seen = 0;
    if (ingot_open(bad->path, &file, &err)) {
        assert_true(err.text[0] != 0);
        assert_null(strchr(err.text, '\n'));
        return false;
    }
    const ingot_model *m = ingot_file_model(file);
    seen += strlen(m->name) + strlen(m->producer) + strlen(m->target);
    for (int i = 0; i < m->n_inputs + m->n_outputs; i++) {
        const ingot_port *p = i < m->n_inputs ? &m->input[i] : &m->output[i - m->n_inputs];
        for (int k = 0; k < p->rank; k++)
            seen += strlen(p->dim_text[k]) + (p->dim[k] > 0);
    }
    for (int i = 0; i < m->n_symbols; i++)
        seen += strlen(m->symbol[i]);
    ingot_close(file);
    return seen < SIZE_MAX;
}

static void truncated_files(void **state)
{
    (void)state;
    const char *path = toy_build("t.so", "");
    MemoryFile cut = memory_file();
    Bytes b = read_file(path);
    for (size_t n = 0; n < b.n; n += n < 1024 ? 1 : 7) {
        write_file(&cut, b.data, n);
        survive(&cut);
    }
    write_file(&cut, b.data, b.n);
    assert_true(survive(&cut));
    unlink(path);
    close(cut.fd);
    free(b.data);
}

static void single_bytes(void **state)
{
    (void)state;
    static const unsigned char flips[] = { 0xff, 0x01, 0x80 };
    const char *path = toy_build("b.so", "");
    MemoryFile bad = memory_file();
    Bytes b = read_file(path);
    for (size_t i = 0; i < b.n; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            b.data[i] ^= flips[k];
            write_file(&bad, b.data, b.n);
            survive(&bad);
            b.data[i] ^= flips[k];
        }
    unlink(path);
    close(bad.fd);
    free(b.data);
}

/* Words of the headers and tables replaced by the numbers that overflow things. */
static void random_words(void **state)
{
    (void)state;
    static const uint64_t evil[] = { 0, 1, 7, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffff000 };
    const char *path = toy_build("w.so", "-Wl,--hash-style=gnu");
    MemoryFile bad = memory_file();
    Bytes b = read_file(path);
    unsigned char *copy = malloc(b.n);
    uint32_t x = 1;
    for (int i = 0; i < RANDOM_FILES; i++) {
        memcpy(copy, b.data, b.n);
        for (int k = 0; k < 1 + i % 3; k++) {
            x = x * 1664525u + 1013904223u;
            size_t at = (x >> 8) % (b.n / 4 - 1) * 4;
            x = x * 1664525u + 1013904223u;
            memcpy(copy + at, &evil[(x >> 8) % (sizeof evil / sizeof *evil)], x >> 31 ? 4 : at + 8 <= b.n ? 8 : 4);
        }
        write_file(&bad, copy, b.n);
        survive(&bad);
    }
    unlink(path);
    close(bad.fd);
    free(copy);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(link_styles), cmocka_unit_test(refusals), cmocka_unit_test(truncated_files), cmocka_unit_test(single_bytes), cmocka_unit_test(random_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
