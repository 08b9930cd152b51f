/* toy_needs.h -- gives the toy model a pointer to something that no file defines; see test_elf_load.c. */
extern int somewhere_else;
extern int *toy_outside;
int *toy_outside = &somewhere_else;
