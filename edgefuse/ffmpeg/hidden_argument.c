/* Gives a child process an argument that `ps` and /proc/PID/cmdline do not show: preloaded into FFmpeg by hidden_argument.py.

   Where the environment has EDGEFUSE_HIDDEN_ARGUMENT, whose value only the process's own user can read, the argument PLACEHOLDER is replaced
   by it before main() runs. The argument vector is changed, and not the memory that the kernel shows. */

#include <stdlib.h>
#include <string.h>

#define VARIABLE "EDGEFUSE_HIDDEN_ARGUMENT"
#define PLACEHOLDER "edgefuse-hidden-argument"

/* glibc passes main()'s arguments to constructors; another C library may not, which the trial in hidden_argument.py finds */
__attribute__((constructor)) static void replace_argument(int argc, char **argv, char **environment)
{
    (void)environment;
    const char *value = getenv(VARIABLE);
    if (!value) return;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], PLACEHOLDER)) continue;
        char *copy = strdup(value);
        if (copy) argv[i] = copy;
    }
    unsetenv(VARIABLE);
}
