/* For C sources whose float32 results equal NumPy's to the bit: a product is rounded before it is added to, on every machine.
   Include it before any function. */

#ifndef EDGEFUSE_UNFUSED_H
#define EDGEFUSE_UNFUSED_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
/* nobody looks at floating-point exceptions: loops that choose between two values become vectors */
#pragma GCC optimize("fp-contract=off", "no-trapping-math")
#endif

#endif
