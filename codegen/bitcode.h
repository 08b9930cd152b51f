/* bitcode.h -- the bitcode of runtime/kernels that cmake/bitcode.cmake embeds, and what codegen does with it. */
#ifndef INGOT_BITCODE_H
#define INGOT_BITCODE_H

typedef struct BitcodeFile {
    const char *family, *name;      /* "aarch64", "gather"; NULL ends the table */
    const char *data, *end;
} BitcodeFile;

extern const BitcodeFile bitcode_files[];

#endif
