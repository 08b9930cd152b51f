/* elf_load.c -- a loader for exactly what `ingot compile` writes: ELF shared objects that need nothing from outside.
 *
 * Why not dlopen: a static program (ingot-run, a container, an early-boot tool) has none, and a model has no DT_NEEDED, no initialisers, no
 * thread-local data and no undefined symbols, so what remains is small: map the PT_LOAD segments from the file (clean pages stay shared with
 * every process that loads the model), apply the relocations against the object itself, and make the relocated pages read-only again.
 *
 *      file            process
 *      +--------+      bias + p_vaddr, whole span reserved first
 *      | LOAD r |  ->  MAP_PRIVATE, read-only          weights, strings
 *      | LOAD rx|  ->  MAP_PRIVATE, read + execute     code
 *      | LOAD rw|  ->  MAP_PRIVATE, written by relocation, then read-only (PT_GNU_RELRO): pointers in the descriptor
 *      +--------+
 *
 * Invariant: an offset, address, count or index that comes from the file is checked (image_at, in_file, symbol_at) before it is used, so a
 * truncated or hostile file ends in a sentence. Only running its code needs trust. Words are of the host's class: a 32-bit program loads ELF32.
 *
 * Terms and formats: System V ABI (gABI) chapters 4 and 5; DT_RELR: gABI proposal "Relative relocations"; psABI of each machine.
 */
#include "elf_load.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if UINTPTR_MAX > 0xffffffffu
typedef Elf64_Ehdr Ehdr;
typedef Elf64_Phdr Phdr;
typedef Elf64_Dyn Dyn;
typedef Elf64_Sym Sym;
typedef Elf64_Rela Rela;
typedef Elf64_Rel Rel;
#define HOST_CLASS ELFCLASS64
#define R_SYM(info) ELF64_R_SYM(info)
#define R_TYPE(info) ELF64_R_TYPE(info)
#else
typedef Elf32_Ehdr Ehdr;
typedef Elf32_Phdr Phdr;
typedef Elf32_Dyn Dyn;
typedef Elf32_Sym Sym;
typedef Elf32_Rela Rela;
typedef Elf32_Rel Rel;
#define HOST_CLASS ELFCLASS32
#define R_SYM(info) ELF32_R_SYM(info)
#define R_TYPE(info) ELF32_R_TYPE(info)
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST_DATA ELFDATA2LSB
#else
#define HOST_DATA ELFDATA2MSB
#endif

/* What this program was compiled for, and its psABI's numbers of the relocations that occur in a self-contained object. */
#if defined(__x86_64__)
enum { HOST_MACHINE = EM_X86_64, R_RELATIVE = R_X86_64_RELATIVE, R_WORD = R_X86_64_64, R_GLOBAL = R_X86_64_GLOB_DAT, R_JUMP = R_X86_64_JUMP_SLOT };
#elif defined(__aarch64__)
enum { HOST_MACHINE = EM_AARCH64, R_RELATIVE = R_AARCH64_RELATIVE, R_WORD = R_AARCH64_ABS64 };
enum { R_GLOBAL = R_AARCH64_GLOB_DAT, R_JUMP = R_AARCH64_JUMP_SLOT };
#elif defined(__arm__)
enum { HOST_MACHINE = EM_ARM, R_RELATIVE = R_ARM_RELATIVE, R_WORD = R_ARM_ABS32, R_GLOBAL = R_ARM_GLOB_DAT, R_JUMP = R_ARM_JUMP_SLOT };
#elif defined(__riscv)
enum { HOST_MACHINE = EM_RISCV, R_RELATIVE = R_RISCV_RELATIVE, R_WORD = sizeof(void *) == 8 ? R_RISCV_64 : R_RISCV_32 };
enum { R_GLOBAL = -1, R_JUMP = R_RISCV_JUMP_SLOT };
#elif defined(__i386__)
enum { HOST_MACHINE = EM_386, R_RELATIVE = R_386_RELATIVE, R_WORD = R_386_32, R_GLOBAL = R_386_GLOB_DAT, R_JUMP = R_386_JMP_SLOT };
#else
#error "elf_load.c: add this machine's relocation numbers"
#endif

/* A file being loaded. */
typedef struct Loading {
    const char *path;
    int fd;
    uint64_t file_bytes;
    uintptr_t page;                 /* bytes of a memory page */
    Ehdr header;
    Phdr phdr[ELF_MAX_SEGMENTS];
    int nphdr;
    ElfImage *image;
    ingot_error *err;
} Loading;

/* Dynamic section: addresses in the file, 0 where absent. */
typedef struct Dynamic {
    uintptr_t hash, gnu_hash, symtab, strtab, strsz, rela, relasz, rel, relsz, relr, relrsz, jmprel, pltrelsz, pltrel;
    bool needs_library, needs_init, text_relocations;
} Dynamic;

#define REFUSE(l, ...) ingot_fail((l)->err, INGOT_ERR_FILE, __VA_ARGS__)

/* ---- header ---- */

static const char *machine_name(unsigned machine, unsigned class)
{
    static const struct { unsigned char machine, class; const char *name; } names[] = {
        { EM_X86_64, ELFCLASS64, "x86-64" }, { EM_AARCH64, ELFCLASS64, "aarch64" }, { EM_ARM, ELFCLASS32, "32-bit ARM" },
        { EM_386, ELFCLASS32, "32-bit x86" }, { EM_RISCV, ELFCLASS64, "riscv64" }, { EM_RISCV, ELFCLASS32, "riscv32" },
        { EM_PPC64, ELFCLASS64, "ppc64" }, { EM_S390, ELFCLASS64, "s390x" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].machine == machine && names[i].class == class)
            return names[i].name;
    return "another machine";
}

static bool in_file(const Loading *l, uint64_t offset, uint64_t bytes)
{
    return offset <= l->file_bytes && bytes <= l->file_bytes - offset;
}

static bool read_at(const Loading *l, void *to, size_t bytes, uint64_t offset)
{
    return in_file(l, offset, bytes) && pread(l->fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* The identification bytes and machine come first and lie at the same place in ELF32 and ELF64, so a file for another machine gets its name. */
static int check_header(Loading *l)
{
    unsigned char ident[EI_NIDENT + 4];
    if (!read_at(l, ident, sizeof ident, 0) || memcmp(ident, ELFMAG, SELFMAG))
        return REFUSE(l, "%s: not a compiled model (not an ELF file)", l->path);
    unsigned class = ident[EI_CLASS], big = ident[EI_DATA] == ELFDATA2MSB;
    unsigned machine = big ? ident[19] + 256u * ident[18] : ident[18] + 256u * ident[19];
    if (machine != HOST_MACHINE || class != HOST_CLASS || ident[EI_DATA] != HOST_DATA)
        return REFUSE(l, "%s: model is for %s, this is %s", l->path, machine_name(machine, class), machine_name(HOST_MACHINE, HOST_CLASS));
    if (!read_at(l, &l->header, sizeof l->header, 0))
        return REFUSE(l, "%s: truncated", l->path);
    if (l->header.e_type != ET_DYN)
        return REFUSE(l, "%s: not a shared object%s", l->path, l->header.e_type == ET_REL ? " (an object file must be linked first)" : "");
    if (l->header.e_phentsize != sizeof(Phdr) || l->header.e_phnum < 1 || l->header.e_phnum > ELF_MAX_SEGMENTS)
        return REFUSE(l, "%s: malformed program header", l->path);
    l->nphdr = l->header.e_phnum;
    if (!read_at(l, l->phdr, sizeof(Phdr) * (size_t)l->nphdr, l->header.e_phoff))
        return REFUSE(l, "%s: truncated", l->path);
    return INGOT_OK;
}

/* ---- mapping ---- */

static uintptr_t page_floor(const Loading *l, uintptr_t x) { return x & ~(l->page - 1); }
static uintptr_t page_ceil(const Loading *l, uintptr_t x) { return (x + l->page - 1) & ~(l->page - 1); }

/* Segments must be inside the file, ascending and in pages of their own; [*low, *high) is what they span. */
static int check_segments(Loading *l, uintptr_t *low, uintptr_t *high)
{
    *low = *high = 0;
    bool any = false;
    for (int i = 0; i < l->nphdr; i++) {
        const Phdr *p = &l->phdr[i];
        if (p->p_type == PT_TLS)
            return REFUSE(l, "%s: has thread-local data, which a model has not", l->path);
        if (p->p_type != PT_LOAD)
            continue;
        if (!in_file(l, p->p_offset, p->p_filesz))
            return REFUSE(l, "%s: truncated (%llu bytes, a segment ends at %llu)", l->path, (unsigned long long)l->file_bytes,
                          (unsigned long long)p->p_offset + p->p_filesz);
        uintptr_t end = p->p_vaddr + p->p_memsz;
        if (p->p_filesz > p->p_memsz || end < p->p_vaddr || end > UINTPTR_MAX / 2 || (p->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
            return REFUSE(l, "%s: malformed segment", l->path);
        if ((p->p_vaddr ^ p->p_offset) & (l->page - 1) || (any && page_floor(l, p->p_vaddr) < *high))
            return REFUSE(l, "%s: linked for smaller memory pages than this system's %lu bytes", l->path, (unsigned long)l->page);
        if (!any)
            *low = page_floor(l, p->p_vaddr);
        *high = page_ceil(l, end);
        any = true;
    }
    return any ? INGOT_OK : REFUSE(l, "%s: has nothing to load", l->path);
}

/* One segment over the reservation. Memory beyond the file's bytes is zero: the rest of the last file page by hand, whole pages by a fresh
 * mapping. */
static bool map_segment(const Loading *l, const Phdr *p)
{
    int prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) | (p->p_flags & PF_X ? PROT_EXEC : 0);
    uintptr_t begin = l->image->bias + p->p_vaddr, file_end = begin + p->p_filesz, end = begin + p->p_memsz;
    uintptr_t at = page_floor(l, begin), filled = p->p_filesz ? page_ceil(l, file_end) : at;
    if (p->p_filesz && mmap((void *)at, filled - at, prot, MAP_PRIVATE | MAP_FIXED, l->fd, (off_t)page_floor(l, p->p_offset)) == MAP_FAILED)
        return false;
    if (end > file_end && filled > file_end && p->p_filesz) {
        if (!(prot & PROT_WRITE))
            return false;
        memset((void *)file_end, 0, (filled < end ? filled : end) - file_end);
    }
    return end <= filled || mmap((void *)filled, page_ceil(l, end) - filled, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int map_segments(Loading *l)
{
    uintptr_t low, high;
    if (check_segments(l, &low, &high))
        return INGOT_ERR_FILE;
    ElfImage *image = l->image;
    void *base = mmap(NULL, high - low, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return REFUSE(l, "%s: no address space for %llu bytes", l->path, (unsigned long long)(high - low));
    image->base = base;
    image->span = high - low;
    image->bias = (uintptr_t)base - low;
    for (int i = 0; i < l->nphdr; i++) {
        const Phdr *p = &l->phdr[i];
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        if (!map_segment(l, p))
            return REFUSE(l, "%s: a segment cannot be mapped: %s", l->path, errno ? strerror(errno) : "malformed");
        if (p->p_flags & PF_R)
            image->segment[image->nsegments++] = (ElfSegment){ image->bias + p->p_vaddr, image->bias + p->p_vaddr + p->p_memsz,
                                                               (p->p_flags & PF_W) != 0, (p->p_flags & PF_X) != 0 };
    }
    return INGOT_OK;
}

/* ---- bounds ---- */

static const ElfSegment *segment_of(const ElfImage *image, uintptr_t at, uint64_t bytes)
{
    for (int i = 0; i < image->nsegments; i++) {
        const ElfSegment *s = &image->segment[i];
        if (at >= s->begin && at <= s->end && bytes <= s->end - at)
            return s;
    }
    return NULL;
}

bool ingot_elf_holds(const ElfImage *image, const void *p, uint64_t bytes, bool code)
{
    const ElfSegment *s = segment_of(image, (uintptr_t)p, bytes);
    return s && (!code || s->executable);
}

bool ingot_elf_holds_string(const ElfImage *image, const char *p)
{
    const ElfSegment *s = segment_of(image, (uintptr_t)p, 1);
    return s && memchr(p, 0, s->end - (uintptr_t)p);
}

/* Memory at an address of the file, or NULL if those bytes are not all loaded. */
static const void *image_at(const ElfImage *image, uintptr_t address, uint64_t bytes)
{
    return segment_of(image, image->bias + address, bytes) ? (const void *)(image->bias + address) : NULL;
}

static bool load_u32(const ElfImage *image, uintptr_t address, uint32_t *x)
{
    const void *p = image_at(image, address, sizeof *x);
    if (p)
        memcpy(x, p, sizeof *x);
    return p != NULL;
}

/* ---- dynamic section ---- */

static void note_dynamic(Dynamic *d, const Dyn *e)
{
    uintptr_t x = e->d_un.d_ptr;
    switch (e->d_tag) {
    case DT_HASH: d->hash = x; break;
    case DT_GNU_HASH: d->gnu_hash = x; break;
    case DT_SYMTAB: d->symtab = x; break;
    case DT_STRTAB: d->strtab = x; break;
    case DT_STRSZ: d->strsz = x; break;
    case DT_RELA: d->rela = x; break;
    case DT_RELASZ: d->relasz = x; break;
    case DT_REL: d->rel = x; break;
    case DT_RELSZ: d->relsz = x; break;
    case DT_JMPREL: d->jmprel = x; break;
    case DT_PLTRELSZ: d->pltrelsz = x; break;
    case DT_PLTREL: d->pltrel = x; break;
    case 36: d->relr = x; break;        /* DT_RELR and DT_RELRSZ: older elf.h do not know them */
    case 35: d->relrsz = x; break;
    case DT_NEEDED: d->needs_library = true; break;
    case DT_INIT: d->needs_init = true; break;
    case DT_INIT_ARRAYSZ: d->needs_init |= x != 0; break;
    case DT_TEXTREL: d->text_relocations = true; break;
    default: break;
    }
}

static int read_dynamic(Loading *l, Dynamic *d)
{
    const Phdr *p = NULL;
    for (int i = 0; i < l->nphdr; i++)
        if (l->phdr[i].p_type == PT_DYNAMIC)
            p = &l->phdr[i];
    const char *at = p ? image_at(l->image, p->p_vaddr, p->p_memsz) : NULL;
    if (!at)
        return REFUSE(l, "%s: has no dynamic section", l->path);
    for (size_t i = 0; i < p->p_memsz / sizeof(Dyn); i++) {
        Dyn e;
        memcpy(&e, at + i * sizeof e, sizeof e);
        if (e.d_tag == DT_NULL)
            break;
        note_dynamic(d, &e);
    }
    if (d->needs_library || d->needs_init)
        return REFUSE(l, "%s: needs other libraries or start-up code, so it was not made by ingot", l->path);
    return d->text_relocations ? REFUSE(l, "%s: has relocations in its code", l->path) : INGOT_OK;
}

/* The largest symbol number that a GNU hash table mentions, plus one. Layout: nbuckets, first symbol, bloom words, shift; bloom; buckets; chains. */
static bool gnu_hash_count(const ElfImage *image, uintptr_t table, size_t *count)
{
    uint32_t head[4], last = 0, x;
    for (unsigned i = 0; i < 4; i++)
        if (!load_u32(image, table + 4 * i, &head[i]))
            return false;
    uintptr_t buckets = table + 16 + (uintptr_t)head[2] * sizeof(void *), chains = buckets + 4 * (uintptr_t)head[0];
    for (uint32_t i = 0; i < head[0]; i++) {
        if (!load_u32(image, buckets + 4 * (uintptr_t)i, &x))
            return false;
        last = x > last ? x : last;
    }
    *count = head[1];
    if (last < head[1])
        return true;
    do
        if (!load_u32(image, chains + 4 * (uintptr_t)(last - head[1]), &x))
            return false;
    while (!(x & 1) && ++last);
    *count = (size_t)last + 1;
    return true;
}

static int find_symbols(Loading *l, const Dynamic *d)
{
    ElfImage *image = l->image;
    size_t count = 0;
    uint32_t nchain = 0;
    bool known = false;
    if (d->hash && (known = load_u32(image, d->hash + 4, &nchain)))
        count = nchain;
    else if (d->gnu_hash)
        known = gnu_hash_count(image, d->gnu_hash, &count);
    const ElfSegment *names = segment_of(image, image->bias + d->strtab, d->strsz);
    image->symbols = image_at(image, d->symtab, (uint64_t)count * sizeof(Sym));
    image->strings = image_at(image, d->strtab, d->strsz);
    image->nsymbols = count;
    image->string_bytes = d->strsz;
    /* not writable: no relocation can overwrite the last NUL */
    if (!known || !image->symbols || !names || names->writable || !d->strsz || image->strings[d->strsz - 1])
        return REFUSE(l, "%s: malformed symbol table", l->path);
    return INGOT_OK;
}

static bool symbol_at(const ElfImage *image, size_t i, Sym *s, const char **name)
{
    if (i >= image->nsymbols)
        return false;
    memcpy(s, (const char *)image->symbols + i * sizeof *s, sizeof *s);
    *name = s->st_name < image->string_bytes ? image->strings + s->st_name : "";
    return true;
}

/* ---- relocation ---- */

static bool writable_word(const ElfImage *image, uintptr_t address, char **at)
{
    const ElfSegment *s = segment_of(image, image->bias + address, sizeof(uintptr_t));
    *at = (char *)(image->bias + address);
    return s && s->writable;
}

static int symbol_value(Loading *l, size_t index, uintptr_t *value)
{
    Sym s;
    const char *name;
    if (!symbol_at(l->image, index, &s, &name))
        return REFUSE(l, "%s: malformed relocation (symbol %zu of %zu)", l->path, index, l->image->nsymbols);
    if (s.st_shndx != SHN_UNDEF)
        *value = s.st_value + (s.st_shndx == SHN_ABS ? 0 : l->image->bias);
    else if (ELF64_ST_BIND(s.st_info) == STB_WEAK || index == 0)
        *value = 0;
    else
        return REFUSE(l, "%s: symbol '%s' is not defined in the file, so it was not made by ingot", l->path, name);
    return INGOT_OK;
}

/* addend NULL (REL): the addend is the word in place, except for the slots that the psABI says are overwritten. */
static int relocate_word(Loading *l, uintptr_t offset, unsigned type, size_t symbol, const intptr_t *addend)
{
    char *at;
    uintptr_t word, value = 0;
    if (type == 0)
        return INGOT_OK;                /* R_*_NONE */
    if (!writable_word(l->image, offset, &at))
        return REFUSE(l, "%s: malformed relocation (outside writable data)", l->path);
    memcpy(&word, at, sizeof word);
    uintptr_t plus = addend ? (uintptr_t)*addend : word;
    if (type == R_RELATIVE)
        value = l->image->bias + plus;
    else if (type == R_WORD || (int)type == R_GLOBAL || type == R_JUMP) {
        if (symbol_value(l, symbol, &value))
            return INGOT_ERR_FILE;
        value += addend || type == R_WORD ? plus : 0;
    } else
        return REFUSE(l, "%s: relocation type %u is not supported", l->path, type);
    memcpy(at, &value, sizeof value);
    return INGOT_OK;
}

static int relocate_table(Loading *l, uintptr_t table, uintptr_t bytes, bool with_addend)
{
    size_t size = with_addend ? sizeof(Rela) : sizeof(Rel);
    const char *at = image_at(l->image, table, bytes);
    if (bytes && !at)
        return REFUSE(l, "%s: malformed relocation table", l->path);
    for (size_t i = 0; i < bytes / size; i++) {
        Rela r = { 0 };
        memcpy(&r, at + i * size, size);        /* Rel is Rela without its last field */
        intptr_t addend = (intptr_t)r.r_addend;
        if (relocate_word(l, r.r_offset, (unsigned)R_TYPE(r.r_info), R_SYM(r.r_info), with_addend ? &addend : NULL))
            return INGOT_ERR_FILE;
    }
    return INGOT_OK;
}

static bool relocate_relative(Loading *l, uintptr_t offset)
{
    char *at;
    uintptr_t word;
    if (!writable_word(l->image, offset, &at))
        return false;
    memcpy(&word, at, sizeof word);
    word += l->image->bias;
    memcpy(at, &word, sizeof word);
    return true;
}

/* Packed relative relocations: an even entry is the address of one word; an odd entry is a bitmap over the words that follow the last address. */
static int relocate_packed(Loading *l, uintptr_t table, uintptr_t bytes)
{
    const char *at = image_at(l->image, table, bytes);
    if (bytes && !at)
        return REFUSE(l, "%s: malformed relocation table", l->path);
    uintptr_t where = 0, entry;
    for (size_t i = 0; i < bytes / sizeof entry; i++) {
        memcpy(&entry, at + i * sizeof entry, sizeof entry);
        bool ok = true;
        if (!(entry & 1)) {
            ok = relocate_relative(l, entry);
            where = entry + sizeof entry;
        } else {
            for (unsigned bit = 0; entry >>= 1; bit++)
                if (ok && entry & 1)
                    ok = relocate_relative(l, where + bit * sizeof entry);
            where += (8 * sizeof entry - 1) * sizeof entry;
        }
        if (!ok)
            return REFUSE(l, "%s: malformed relocation (outside writable data)", l->path);
    }
    return INGOT_OK;
}

static int relocate(Loading *l, const Dynamic *d)
{
    if (relocate_packed(l, d->relr, d->relrsz) || relocate_table(l, d->rela, d->relasz, true) || relocate_table(l, d->rel, d->relsz, false))
        return INGOT_ERR_FILE;
    return relocate_table(l, d->jmprel, d->pltrelsz, d->pltrel == DT_RELA);
}

/* Pointers are final: nothing writes to the image any more. */
static void protect_relocated(Loading *l)
{
    for (int i = 0; i < l->nphdr; i++) {
        const Phdr *p = &l->phdr[i];
        if (p->p_type != PT_GNU_RELRO || !image_at(l->image, p->p_vaddr, p->p_memsz))
            continue;
        uintptr_t begin = page_floor(l, l->image->bias + p->p_vaddr), end = page_floor(l, l->image->bias + p->p_vaddr + p->p_memsz);
        if (end > begin)
            mprotect((void *)begin, end - begin, PROT_READ);
    }
}

/* ---- entry points ---- */

static int load_file(Loading *l)
{
    Dynamic d = { 0 };
    if (check_header(l) || map_segments(l) || read_dynamic(l, &d) || find_symbols(l, &d) || relocate(l, &d))
        return INGOT_ERR_FILE;
    protect_relocated(l);
    return INGOT_OK;
}

int ingot_elf_load(const char *path, ElfImage *image, ingot_error *err)
{
    struct stat st;
    memset(image, 0, sizeof *image);
    Loading l = { .path = path, .image = image, .err = err, .page = (uintptr_t)sysconf(_SC_PAGESIZE) };
    l.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (l.fd < 0)
        return REFUSE(&l, "%s: %s", path, strerror(errno));
    int status;
    if (fstat(l.fd, &st) || !S_ISREG(st.st_mode))
        status = REFUSE(&l, "%s: not a regular file", path);
    else {
        l.file_bytes = (uint64_t)st.st_size;
        errno = 0;
        status = load_file(&l);
    }
    close(l.fd);
    if (status)
        ingot_elf_unload(image);
    return status;
}

void ingot_elf_unload(ElfImage *image)
{
    if (image->base)
        munmap(image->base, image->span);
    memset(image, 0, sizeof *image);
}

const void *ingot_elf_find_suffix(const ElfImage *image, const char *suffix)
{
    Sym s;
    const char *name;
    size_t want = strlen(suffix);
    for (size_t i = 1; symbol_at(image, i, &s, &name); i++) {
        size_t n = strlen(name);
        if (s.st_shndx != SHN_UNDEF && n >= want && !strcmp(name + n - want, suffix))
            return image_at(image, s.st_value, 1);
    }
    return NULL;
}
