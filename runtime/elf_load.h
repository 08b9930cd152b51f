/* elf_load.h -- map a self-contained shared object without the system's dynamic loader. See elf_load.c. */
#ifndef INGOT_ELF_LOAD_H
#define INGOT_ELF_LOAD_H

#include "rt.h"

enum { ELF_MAX_SEGMENTS = 16 };

typedef struct ElfSegment {
    uintptr_t begin, end;           /* addresses in this process */
    bool writable, executable;
} ElfSegment;

typedef struct ElfImage {
    void *base;                     /* the reserved address range; NULL: nothing is loaded */
    size_t span;
    uintptr_t bias;                 /* address in this process = bias + address in the file */
    int nsegments;
    ElfSegment segment[ELF_MAX_SEGMENTS];
    const void *symbols;            /* Elf_Sym[nsymbols], within one segment */
    size_t nsymbols;
    const char *strings;            /* ends with a NUL */
    size_t string_bytes;
} ElfImage;

/* INGOT_ERR_FILE and a sentence if the file is no loadable shared object for this machine or would need anything outside itself. */
int ingot_elf_load(const char *path, ElfImage *image, ingot_error *err);
void ingot_elf_unload(ElfImage *image);
/* Address of the first defined symbol whose name ends so; NULL: none. */
const void *ingot_elf_find_suffix(const ElfImage *image, const char *suffix);
/* Whether [p, p + bytes) lies in one loaded segment (one with code, if so asked). */
bool ingot_elf_holds(const ElfImage *image, const void *p, uint64_t bytes, bool code);
/* Whether a NUL-terminated string starts at p and ends in the same segment. */
bool ingot_elf_holds_string(const ElfImage *image, const char *p);

#endif
