/* Common header of all C sources: types, exported functions, and code that is compiled for several instruction sets. */

#ifndef EDGEFUSE_NATIVE_H
#define EDGEFUSE_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define GCC_ON_X86 1
#endif

#define INLINE static inline __attribute__((always_inline))

/* a function that Python calls */
#define EXPORT __attribute__((visibility("default")))

/* the same, compiled for each of these instruction sets; the best one for the processor is selected when the library is loaded */
#ifdef GCC_ON_X86
#define EXPORT_FOR(...) __attribute__((visibility("default"), target_clones(__VA_ARGS__), flatten))
#else
#define EXPORT_FOR(...) __attribute__((visibility("default"), flatten))
#endif

/* in a header that is included once for each vector width of LANES floats: a name with the width appended */
#define JOINED(name, lanes) name##_##lanes
#define JOIN(name, lanes) JOINED(name, lanes)
#define NAMED(name) JOIN(name, LANES)

/* calls the widest version of such a function that the processor supports */
#ifdef GCC_ON_X86
#define WIDEST(name, ...) (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? name##_8(__VA_ARGS__) : name##_4(__VA_ARGS__))
#else
#define WIDEST(name, ...) name##_4(__VA_ARGS__)
#endif

#endif
