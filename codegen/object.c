/* object.c -- relocatable ELF objects: writing the one that holds the weights, reading which symbols an object lacks, hiding symbols.
 *
 * The weights' object is written by hand because LLVM and the linker would each hold the blob several times over:
 *
 *      ELF header | .rodata, at a multiple of 64 | .symtab: null, the blob | .strtab | .shstrtab | section headers
 *
 * ELF32 and ELF64 differ in the sizes and order of fields. All code here works on the 64-bit structs; narrow_* and widen_* convert at the edge.
 * Objects read here were written by LLVM or by the linker a moment ago; still, every offset is checked (section_data).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cg.h"
#include "outfile.h"

/* ---- fields of either class ---- */

static size_t shdr_bytes(bool wide) { return wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr); }
static size_t sym_bytes(bool wide) { return wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym); }
static size_t ehdr_bytes(bool wide) { return wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr); }

static Elf32_Ehdr narrow_ehdr(const Elf64_Ehdr *h)
{
    Elf32_Ehdr n = { .e_type = h->e_type, .e_machine = h->e_machine, .e_version = h->e_version, .e_shoff = (Elf32_Off)h->e_shoff, .e_flags = h->e_flags,
                     .e_ehsize = h->e_ehsize, .e_shentsize = h->e_shentsize, .e_shnum = h->e_shnum, .e_shstrndx = h->e_shstrndx };
    memcpy(n.e_ident, h->e_ident, EI_NIDENT);
    return n;
}

static Elf32_Shdr narrow_shdr(const Elf64_Shdr *s)
{
    return (Elf32_Shdr){ s->sh_name, s->sh_type, (Elf32_Word)s->sh_flags, (Elf32_Addr)s->sh_addr, (Elf32_Off)s->sh_offset, (Elf32_Word)s->sh_size,
                         s->sh_link, s->sh_info, (Elf32_Word)s->sh_addralign, (Elf32_Word)s->sh_entsize };
}

static Elf64_Shdr widen_shdr(const Elf32_Shdr *s)
{
    return (Elf64_Shdr){ s->sh_name, s->sh_type, s->sh_flags, s->sh_addr, s->sh_offset, s->sh_size, s->sh_link, s->sh_info, s->sh_addralign, s->sh_entsize };
}

static Elf32_Sym narrow_sym(const Elf64_Sym *s)
{
    return (Elf32_Sym){ s->st_name, (Elf32_Addr)s->st_value, (Elf32_Word)s->st_size, s->st_info, s->st_other, s->st_shndx };
}

static Elf64_Sym widen_sym(const Elf32_Sym *s)
{
    return (Elf64_Sym){ s->st_name, s->st_info, s->st_other, s->st_shndx, s->st_value, s->st_size };
}

/* ---- writing the weights ---- */

enum { SEC_NULL, SEC_RODATA, SEC_SYMTAB, SEC_STRTAB, SEC_SHSTRTAB, SEC_STACK, SEC_COUNT };
static const char section_names[] = "\0.rodata\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
enum { NAME_RODATA = 1, NAME_SYMTAB = 9, NAME_STRTAB = 17, NAME_SHSTRTAB = 25, NAME_STACK = 35 };

typedef struct WeightsObject {
    bool wide;
    Elf64_Ehdr header;
    Elf64_Shdr section[SEC_COUNT];
    Elf64_Sym symbol;
} WeightsObject;

static void lay_out(WeightsObject *o, const FamilyInfo *f, uint64_t bytes, size_t name_bytes)
{
    size_t sym = sym_bytes(o->wide);
    uint64_t data = 64, symtab = data + bytes, strtab = symtab + 2 * sym, shstrtab = strtab + name_bytes + 2;
    uint64_t sections = (shstrtab + sizeof section_names + 7) / 8 * 8;
    o->section[SEC_RODATA] = (Elf64_Shdr){ NAME_RODATA, SHT_PROGBITS, SHF_ALLOC, 0, data, bytes, 0, 0, 64, 0 };
    o->section[SEC_SYMTAB] = (Elf64_Shdr){ NAME_SYMTAB, SHT_SYMTAB, 0, 0, symtab, 2 * sym, SEC_STRTAB, 1, 8, sym };
    o->section[SEC_STRTAB] = (Elf64_Shdr){ NAME_STRTAB, SHT_STRTAB, 0, 0, strtab, name_bytes + 2, 0, 0, 1, 0 };
    o->section[SEC_SHSTRTAB] = (Elf64_Shdr){ NAME_SHSTRTAB, SHT_STRTAB, 0, 0, shstrtab, sizeof section_names, 0, 0, 1, 0 };
    o->section[SEC_STACK] = (Elf64_Shdr){ NAME_STACK, SHT_PROGBITS, 0, 0, shstrtab, 0, 0, 0, 1, 0 };
    o->symbol = (Elf64_Sym){ 1, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), STV_HIDDEN, SEC_RODATA, 0, bytes };
    o->header = (Elf64_Ehdr){ .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, o->wide ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
                              .e_type = ET_REL, .e_machine = (Elf64_Half)f->machine, .e_version = EV_CURRENT, .e_shoff = sections, .e_flags = f->flags,
                              .e_ehsize = (Elf64_Half)ehdr_bytes(o->wide), .e_shentsize = (Elf64_Half)shdr_bytes(o->wide), .e_shnum = SEC_COUNT,
                              .e_shstrndx = SEC_SHSTRTAB };
}

static void write_header(const WeightsObject *o, FILE *f)
{
    static const char zeros[64];
    Elf32_Ehdr narrow = narrow_ehdr(&o->header);
    fwrite(o->wide ? (const void *)&o->header : (const void *)&narrow, 1, ehdr_bytes(o->wide), f);
    fwrite(zeros, 1, 64 - ehdr_bytes(o->wide), f);
}

static void write_tables(const WeightsObject *o, const char *name, FILE *f)
{
    static const char zeros[64];
    Elf32_Sym narrow = narrow_sym(&o->symbol);
    fwrite(zeros, 1, sym_bytes(o->wide), f);
    fwrite(o->wide ? (const void *)&o->symbol : (const void *)&narrow, 1, sym_bytes(o->wide), f);
    fwrite("", 1, 1, f);
    fwrite(name, 1, strlen(name) + 1, f);
    fwrite(section_names, 1, sizeof section_names, f);
    const Elf64_Shdr *last = &o->section[SEC_SHSTRTAB];
    fwrite(zeros, 1, o->header.e_shoff - (last->sh_offset + last->sh_size), f);
    for (int i = 0; i < SEC_COUNT; i++) {
        Elf32_Shdr s = narrow_shdr(&o->section[i]);
        fwrite(o->wide ? (const void *)&o->section[i] : (const void *)&s, 1, shdr_bytes(o->wide), f);
    }
}

bool weights_write_object(const Weights *w, const TargetInfo *t, const char *symbol, const char *path, Diag *d)
{
    WeightsObject o = { .wide = t->is_64bit };
    OutFile out;
    if (!o.wide && weights_bytes(w) >= INT32_MAX)
        return diag_error(d, (Loc){ .file = path }, "the model's %llu bytes of weights do not fit a 32-bit machine", (unsigned long long)weights_bytes(w));
    if (!outfile_open(&out, d, path))
        return false;
    lay_out(&o, target_family(t), weights_bytes(w), strlen(symbol));
    write_header(&o, out.f);
    if (!weights_write(w, out.f)) {
        int why = errno;
        outfile_abandon(&out);
        return diag_error(d, (Loc){ .file = path }, "cannot be written: %s", strerror(why));
    }
    write_tables(&o, symbol, out.f);
    return outfile_commit(&out);
}

/* ---- reading objects ---- */

typedef struct Object {
    unsigned char *data;
    size_t bytes;
    bool wide;
    uint64_t sections;
    int nsection, symtab;           /* symtab: section number, 0 if there is none */
} Object;

static Elf64_Shdr section_at(const Object *o, int i)
{
    Elf64_Shdr s;
    Elf32_Shdr n;
    const unsigned char *at = o->data + o->sections + (size_t)i * shdr_bytes(o->wide);
    if (o->wide)
        return *(Elf64_Shdr *)memcpy(&s, at, sizeof s);
    memcpy(&n, at, sizeof n);
    return widen_shdr(&n);
}

static bool open_sections(Object *o)
{
    if (o->bytes < sizeof(Elf64_Ehdr) || memcmp(o->data, ELFMAG, SELFMAG))
        return false;
    o->wide = o->data[EI_CLASS] == ELFCLASS64;
    const Elf64_Ehdr *h64 = (const void *)o->data;
    const Elf32_Ehdr *h32 = (const void *)o->data;
    o->sections = o->wide ? h64->e_shoff : h32->e_shoff;
    o->nsection = o->wide ? h64->e_shnum : h32->e_shnum;
    if (o->sections > o->bytes || (o->bytes - o->sections) / shdr_bytes(o->wide) < (size_t)o->nsection)
        return false;
    for (int i = 1; i < o->nsection; i++) {
        Elf64_Shdr s = section_at(o, i);
        if (s.sh_type != SHT_NOBITS && (s.sh_offset > o->bytes || s.sh_size > o->bytes - s.sh_offset || s.sh_link >= (unsigned)o->nsection))
            return false;
        if (s.sh_type == SHT_SYMTAB)
            o->symtab = i;
    }
    return true;
}

static bool object_open(Object *o, const char *path, bool writable, Diag *d)
{
    struct stat st;
    *o = (Object){ 0 };
    int fd = open(path, writable ? O_RDWR : O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        return diag_error(d, (Loc){ .file = path }, "cannot be read: %s", strerror(errno));
    o->bytes = (size_t)st.st_size;
    void *p = mmap(NULL, o->bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return diag_error(d, (Loc){ .file = path }, "cannot be read: %s", strerror(errno));
    o->data = p;
    if (open_sections(o))
        return true;
    munmap(p, o->bytes);
    return diag_error(d, (Loc){ .file = path }, "internal error: not a well-formed object file");
}

static void object_close(Object *o)
{
    munmap(o->data, o->bytes);
}

static int symbol_count(const Object *o)
{
    return o->symtab ? (int)(section_at(o, o->symtab).sh_size / sym_bytes(o->wide)) : 0;
}

static Elf64_Sym symbol_at(const Object *o, int i)
{
    Elf64_Sym s;
    Elf32_Sym n;
    const unsigned char *at = o->data + section_at(o, o->symtab).sh_offset + (size_t)i * sym_bytes(o->wide);
    if (o->wide)
        return *(Elf64_Sym *)memcpy(&s, at, sizeof s);
    memcpy(&n, at, sizeof n);
    return widen_sym(&n);
}

static const char *symbol_name(const Object *o, const Elf64_Sym *s)
{
    Elf64_Shdr names = section_at(o, (int)section_at(o, o->symtab).sh_link);
    return s->st_name < names.sh_size ? (const char *)o->data + names.sh_offset + s->st_name : "";
}

bool object_undefined(Arena *a, const char *path, int *n, const char *const **names, Diag *d)
{
    Object o;
    if (!object_open(&o, path, false, d))
        return false;
    const char **list = ARENA_ARRAY(a, const char *, symbol_count(&o));
    *n = 0;
    for (int i = 1; i < symbol_count(&o); i++) {
        Elf64_Sym s = symbol_at(&o, i);
        if (s.st_shndx == SHN_UNDEF && ELF64_ST_BIND(s.st_info) != STB_LOCAL)
            list[(*n)++] = arena_str(a, symbol_name(&o, &s));
    }
    *names = list;
    object_close(&o);
    return true;
}

/* ---- hiding symbols ---- */

static void set_symbol(Object *o, int i, const Elf64_Sym *s)
{
    Elf32_Sym n = narrow_sym(s);
    memcpy(o->data + section_at(o, o->symtab).sh_offset + (size_t)i * sym_bytes(o->wide), o->wide ? (const void *)s : (const void *)&n, sym_bytes(o->wide));
}

static void set_info(Object *o, int section, uint32_t info)
{
    size_t at = o->wide ? offsetof(Elf64_Shdr, sh_info) : offsetof(Elf32_Shdr, sh_info);
    memcpy(o->data + o->sections + (size_t)section * shdr_bytes(o->wide) + at, &info, sizeof info);
}

/* The symbol number within one relocation, whose r_info lies behind r_offset in every format. */
static void renumber_relocation(unsigned char *r, bool wide, const int *moved)
{
    if (wide) {
        uint64_t info;
        memcpy(&info, r + 8, sizeof info);
        info = ELF64_R_INFO((uint64_t)moved[ELF64_R_SYM(info)], ELF64_R_TYPE(info));
        memcpy(r + 8, &info, sizeof info);
    } else {
        uint32_t info;
        memcpy(&info, r + 4, sizeof info);
        info = ELF32_R_INFO((uint32_t)moved[ELF32_R_SYM(info)], ELF32_R_TYPE(info));
        memcpy(r + 4, &info, sizeof info);
    }
}

static void renumber_uses(Object *o, const int *moved)
{
    for (int i = 1; i < o->nsection; i++) {
        Elf64_Shdr s = section_at(o, i);
        if ((int)s.sh_link != o->symtab)
            continue;
        if (s.sh_type == SHT_GROUP)
            set_info(o, i, (uint32_t)moved[s.sh_info]);
        if (s.sh_type != SHT_REL && s.sh_type != SHT_RELA)
            continue;
        for (uint64_t at = 0; at + s.sh_entsize <= s.sh_size; at += s.sh_entsize)
            renumber_relocation(o->data + s.sh_offset + at, o->wide, moved);
    }
}

static bool becomes_local(const Object *o, const Elf64_Sym *s, int nkeep, const char *const *keep)
{
    if (ELF64_ST_BIND(s->st_info) == STB_LOCAL)
        return true;
    for (int i = 0; i < nkeep; i++)
        if (!strcmp(symbol_name(o, s), keep[i]))
            return false;
    return s->st_shndx != SHN_UNDEF;
}

/* Local symbols must come first in the table; so hiding one moves it, and relocations follow. */
bool object_hide_symbols(Arena *a, const char *path, int nkeep, const char *const *keep, Diag *d)
{
    Object o;
    if (!object_open(&o, path, true, d))
        return false;
    int n = symbol_count(&o), at = 0;
    Elf64_Sym *sym = ARENA_ARRAY(a, Elf64_Sym, n);
    int *moved = ARENA_ARRAY(a, int, n);
    for (int i = 0; i < n; i++)
        sym[i] = symbol_at(&o, i);
    for (int local = 1; local >= 0; local--) {
        for (int i = 0; i < n; i++)
            if (becomes_local(&o, &sym[i], nkeep, keep) == (local != 0))
                moved[i] = at++;
        if (local && o.symtab)
            set_info(&o, o.symtab, (uint32_t)at);
    }
    for (int i = 0; i < n; i++) {
        if (becomes_local(&o, &sym[i], nkeep, keep)) {
            sym[i].st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(sym[i].st_info));
            sym[i].st_other = STV_DEFAULT;
        }
        set_symbol(&o, moved[i], &sym[i]);
    }
    renumber_uses(&o, moved);
    object_close(&o);
    return true;
}
