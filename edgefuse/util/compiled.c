/* What compiled.py asks a library before it trusts it: the same number there, one more whenever a struct or a signature changes. */

#include "native.h"

EXPORT int32_t edgefuse_abi(void) { return 8; }
