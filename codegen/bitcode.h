/* bitcode.h -- the bitcode of runtime/kernels that cmake/bitcode.cmake embeds, and other texts of this repository. */
#ifndef INGOT_BITCODE_H
#define INGOT_BITCODE_H

typedef struct BitcodeFile {
    const char *family, *name;      /* "aarch64", "gather"; NULL ends the table */
    const char *data, *end;
} BitcodeFile;

extern const BitcodeFile bitcode_files[];

/* runtime/ingot_abi.h, for generated headers; not terminated. */
extern const char ingot_abi_text[], ingot_abi_text_end[];

#endif
