/* Programs of the study that are small in code and like what people run: an interpreter, objects, a
   generator of code, a simulation, a digest. Each returns a number that the work has to come to. */
#pragma once

#include <stdint.h>

uint32_t run_interpreter(uint32_t turns); /* 4,000 times seven operations a turn */
uint32_t run_virtuals(uint32_t turns);    /* 4,096 calls a turn */
uint32_t run_generator(uint32_t turns);   /* a function written, and called 64 times, a turn */
uint32_t run_nbody(uint32_t turns);       /* a step of five bodies a turn */
uint32_t run_sha256(uint32_t turns);      /* 1,024 bytes a turn */
