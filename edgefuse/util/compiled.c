/* Version of the library's interface, checked by compiled.py, which has the same number. Increase both when a struct or signature changes. */

#include "native.h"

EXPORT int32_t edgefuse_abi(void) { return 11; }
