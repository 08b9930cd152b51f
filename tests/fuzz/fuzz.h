/* fuzz.h -- a fuzz target is one file with LLVMFuzzerTestOneInput; linked with libFuzzer it searches, linked with fuzz_replay.c it replays files. */
#ifndef INGOT_FUZZ_H
#define INGOT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
